//! WebSocket connections of both planes: one way to open them, one way to tell why that failed.

use crate::base::{Error, ErrorCode, Result};
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header::AUTHORIZATION};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use url::Url;

pub(super) type WebSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long an answer to the handshake is waited for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The server's URL as apps and people write it, with the WebSocket scheme: http and https are taken for ws and wss.
///
/// Errors: `invalid_argument`.
pub(super) fn websocket_url(server: &str) -> Result<Url> {
    let bad = |what: String| Error::new(ErrorCode::InvalidArgument, format!("the server URL {server:?} {what}"));
    let mut url = Url::parse(server).map_err(|e| bad(format!("is not a URL: {e}")))?;
    let scheme = match url.scheme() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        other => return Err(bad(format!("has the scheme {other:?}; use http, https, ws or wss"))),
    };
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad("names no host".into()));
    }
    url.set_scheme(scheme).map_err(|()| bad("cannot be used".into()))?;
    Ok(url)
}

/// Opens a WebSocket. `bearer` is a token for the Authorization header; messages over `max_message` bytes end it.
///
/// Errors: `server_unreachable`, `tls_refused`, `token_*` and whatever else the server refused with, `timed_out`.
pub(super) async fn connect(url: &Url, bearer: Option<&str>, max_message: usize) -> Result<WebSocket> {
    let place = place(url);
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|e| Error::new(ErrorCode::InvalidArgument, format!("the server URL cannot be used: {e}")))?;
    if let Some(token) = bearer {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Error::new(ErrorCode::TokenMalformed, "the token holds characters that no JWT has"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let config = WebSocketConfig::default().max_message_size(Some(max_message)).max_frame_size(Some(max_message));
    let connecting = connect_async_tls_with_config(request, Some(config), true, Some(Connector::Rustls(tls_config())));
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(refusal(error, &place)),
        Err(_) => Err(Error::new(
            ErrorCode::ServerUnreachable,
            format!(
                "{place} did not answer within {} s; check the address and the firewall",
                CONNECT_TIMEOUT.as_secs()
            ),
        )),
    }
}

/// Scheme, host and port: what may stand in a message. Paths and queries may carry tokens.
fn place(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default())
}

fn refusal(error: WsError, place: &str) -> Error {
    match error {
        WsError::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            http_refusal(response.status(), body, place)
        }
        WsError::Io(e) if e.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => tls_refusal(&e, place),
        WsError::Tls(e) => tls_refusal(&e, place),
        WsError::Io(e) => Error::new(ErrorCode::ServerUnreachable, format!("cannot reach {place}: {e}")),
        WsError::Url(e) => Error::new(ErrorCode::InvalidArgument, format!("the server URL cannot be used: {e}")),
        other => Error::new(ErrorCode::ServerUnreachable, format!("{place} does not speak WebSocket: {other}")),
    }
}

fn tls_refusal(cause: &dyn std::fmt::Display, place: &str) -> Error {
    Error::new(ErrorCode::TlsRefused, format!("no trusted TLS connection to {place}: {cause}"))
}

/// Trill's servers answer with a code of our own; of others only the status is known.
fn http_refusal(status: StatusCode, body: &[u8], place: &str) -> Error {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: Detail,
    }
    #[derive(serde::Deserialize)]
    struct Detail {
        code: ErrorCode,
        #[serde(default)]
        message: String,
    }
    if let Ok(refusal) = serde_json::from_slice::<Refusal>(body) {
        return Error::new(refusal.error.code, refusal.error.message);
    }
    let said: String = String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(200).collect();
    let code = match status {
        StatusCode::UNAUTHORIZED => ErrorCode::TokenWrongKey,
        StatusCode::FORBIDDEN => ErrorCode::TokenMissingGrant,
        StatusCode::TOO_MANY_REQUESTS => ErrorCode::TooManyRequests,
        status if status.is_server_error() => ErrorCode::ServerUnavailable,
        _ => ErrorCode::ServerUnreachable,
    };
    Error::new(code, format!("{place} refused with {status} {said}").trim_end().to_owned())
}

/// The platform's trusted roots, so that an owner's private authority counts, and Mozilla's where there are none.
fn tls_config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        // Named here: a process with several providers linked has no default one.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    };
    CONFIG.get_or_init(make).clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    /// The refusal by a server that answers the first bytes with `reply`.
    async fn refused_by(scheme: &str, reply: &'static [u8]) -> ErrorCode {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("{scheme}://{}/rtc", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
            let _ = stream.try_read(&mut [0; 4096]);
            let _ = stream.write_all(reply).await;
        });
        let error = connect(&url, Some("a.b.c"), 1024).await.unwrap_err();
        server.await.unwrap();
        assert!(!error.message().contains("a.b.c"), "the token is in the message");
        error.code()
    }

    #[test]
    fn people_may_write_http_for_ws() {
        assert_eq!(websocket_url("http://h:1/x").unwrap().as_str(), "ws://h:1/x");
        assert_eq!(websocket_url("https://h").unwrap().as_str(), "wss://h/");
        for bad in ["", "h:1", "ftp://h", "http://"] {
            assert_eq!(websocket_url(bad).unwrap_err().code(), ErrorCode::InvalidArgument, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_unreachable() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let url = Url::parse(&format!("ws://{free}/")).unwrap();
        assert_eq!(connect(&url, None, 1024).await.unwrap_err().code(), ErrorCode::ServerUnreachable);
    }

    #[tokio::test]
    async fn a_server_without_tls_at_a_wss_address_is_a_tls_refusal() {
        assert_eq!(refused_by("wss", b"HTTP/1.1 400 Bad Request\r\n\r\n").await, ErrorCode::TlsRefused);
    }

    #[tokio::test]
    async fn a_refusal_in_our_own_words_keeps_its_code() {
        let reply = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 50\r\n\r\n{\"error\":{\"code\":\"token_expired\",\"message\":\"old\"}}";
        assert_eq!(refused_by("ws", reply).await, ErrorCode::TokenExpired);
    }

    #[tokio::test]
    async fn a_refusal_by_another_server_is_read_from_its_status() {
        let reply = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno";
        assert_eq!(refused_by("ws", reply).await, ErrorCode::TokenWrongKey);
        assert_eq!(refused_by("ws", b"HTTP/1.1 503 Busy\r\n\r\n").await, ErrorCode::ServerUnavailable);
    }
}
