//! One attempt to deliver a notice over HTTP.

use super::OutboxEntry;
use super::schedule::Outcome;
use crate::base::UnixMillis;
use crate::identity::WebhookSigner;
use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How much of an answer is read. What it says is only for the log.
const MAX_ANSWER: usize = 16 * 1024;

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Posts to one URL, over connections that it keeps.
pub(super) struct Poster {
    url: String,
    /// Scheme, host and port: what may stand in a log. Paths and queries may carry secrets.
    place: String,
    signer: WebhookSigner,
    timeout: Duration,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why an attempt failed: for the schedule, and for the log.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) outcome: Outcome,
    pub(super) reason: String,
}

impl Poster {
    pub(super) fn new(url: &Url, signer: WebhookSigner, timeout: Duration, connections: usize) -> Self {
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls_config()).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(connections)
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        let port = url.port_or_known_default().unwrap_or_default();
        let place = format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default());
        Self { url: url.to_string(), place, signer, timeout, client }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Delivered when the receiver answers with 2xx within the time.
    pub(super) async fn post(&self, notice: &OutboxEntry) -> Result<(), Failure> {
        match tokio::time::timeout(self.timeout, self.attempt(notice)).await {
            Ok(result) => result,
            Err(_) => Err(unreachable(format!("no answer within {:.1} s", self.timeout.as_secs_f32()))),
        }
    }

    async fn attempt(&self, notice: &OutboxEntry) -> Result<(), Failure> {
        let now = UnixMillis::now();
        let request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("trill/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &notice.id)
            .header("webhook-timestamp", now.as_secs())
            .header("webhook-signature", self.signer.sign(&notice.id, now, notice.body.as_bytes()))
            .body(Full::new(Bytes::copy_from_slice(notice.body.as_bytes())))
            .map_err(|e| unreachable(format!("the URL cannot be used: {e}")))?;
        let response = self.client.request(request).await.map_err(|e| unreachable(causes(&e)))?;
        let status = response.status();
        // Read, so that the connection can be used again; an answer over the limit costs the connection.
        let answer = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        if status.is_success() {
            return Ok(());
        }
        let said = answer.map(|body| body.to_bytes()).unwrap_or_default();
        Err(refusal(status, &said))
    }
}

fn refusal(status: StatusCode, said: &[u8]) -> Failure {
    // Who says so is not the app behind the address, or wants to be left alone for a while.
    let nobody_there = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let outcome = if nobody_there { Outcome::Unreachable } else { Outcome::Refused };
    let said: String = String::from_utf8_lossy(said).chars().filter(|c| !c.is_control()).take(200).collect();
    let hint =
        if status.is_redirection() { " (redirects are not followed: set the URL that it points to)" } else { "" };
    Failure { outcome, reason: format!("{status}{hint} {said}").trim_end().to_owned() }
}

fn unreachable(reason: String) -> Failure {
    Failure { outcome: Outcome::Unreachable, reason }
}

/// An error and what it came from: the outer ones alone say little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// The platform's trusted roots, so that an owner's private authority counts, and Mozilla's where there are none.
fn tls_config() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    // Named here: a process with several providers linked has no default one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
