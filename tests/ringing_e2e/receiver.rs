//! What an owner runs to receive webhooks, as bad as tests want it.

use crate::support::SOON;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use trill::base::UnixMillis;
use trill::ringing::webhook::{Notice, NoticeKind};

/// One request, as it came in.
#[derive(Clone, Debug)]
pub struct Delivered {
    pub headers: HeaderMap,
    pub body: String,
    pub notice: Notice,
}

/// What is answered to a request.
#[derive(Clone)]
pub enum Reply {
    Status(u16),
    Redirect(String),
    /// After this time, with 200.
    Late(Duration),
    /// 500 and a body of so many bytes.
    Long(usize),
}

type Behaviour = Arc<Mutex<dyn FnMut(&Delivered) -> Reply + Send>>;

pub struct Receiver {
    pub address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Delivered>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Takes everything.
    pub async fn start() -> Self {
        Self::answering(|_| Reply::Status(200)).await
    }

    pub async fn answering(behaviour: impl FnMut(&Delivered) -> Reply + Send + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), behaviour).await
    }

    pub async fn at(address: SocketAddr, behaviour: impl FnMut(&Delivered) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let behaviour: Behaviour = Arc::new(Mutex::new(behaviour));
        let router = Router::new().fallback(receive).with_state((sender, behaviour));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, requests, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook?app=test", self.address)
    }

    /// The next request, whatever was answered to it.
    pub async fn next(&mut self) -> Delivered {
        timeout(SOON, self.requests.recv()).await.expect("a webhook in time").unwrap()
    }

    pub async fn expect(&mut self, kind: NoticeKind) -> Delivered {
        let delivered = self.next().await;
        assert_eq!(delivered.notice.kind, kind, "{}", delivered.body);
        delivered
    }

    pub fn expect_nothing_more(&mut self) {
        let more = self.requests.try_recv();
        assert!(more.is_err(), "a webhook that nobody expected: {more:?}");
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Delivered {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
    }

    /// As docs/webhooks.md tells a receiver to.
    pub fn is_signed_with(&self, secret: &[u8]) -> bool {
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let age = UnixMillis::now().as_secs().abs_diff(timestamp.parse().unwrap());
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(format!("{id}.{timestamp}.{}", self.body).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        age < 300 && self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }
}

async fn receive(
    State((sender, behaviour)): State<(mpsc::UnboundedSender<Delivered>, Behaviour)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let notice = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
    let delivered = Delivered { headers, body, notice };
    let reply = behaviour.lock().unwrap()(&delivered);
    // The test may be over.
    let _ = sender.send(delivered);
    match reply {
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::Redirect(to) => (StatusCode::FOUND, [("location", to)]).into_response(),
        Reply::Late(after) => {
            tokio::time::sleep(after).await;
            StatusCode::OK.into_response()
        }
        Reply::Long(bytes) => (StatusCode::INTERNAL_SERVER_ERROR, "x".repeat(bytes)).into_response(),
    }
}
