//! A bare WebSocket to the server, for what no engine would do.

use crate::support::*;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A bare connection, for saying what no engine would.
pub async fn bare(server: &TestServer) -> Socket {
    let url = format!("ws://{}/v1/ring", server.server.http_addr());
    tokio_tungstenite::connect_async(url).await.unwrap().0
}

pub async fn bare_logged_in(server: &TestServer, uid: &str) -> Socket {
    let mut socket = bare(server).await;
    let hello = serde_json::json!({"type":"hello","version":1,"token":user_token(uid),"deviceId":"bare","future":{}});
    socket.send(Message::text(hello.to_string())).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap()["type"], "welcome");
    socket
}

/// The next text message; `None` when the server has closed.
pub async fn next(socket: &mut Socket) -> Option<serde_json::Value> {
    loop {
        match timeout(SOON, socket.next()).await.expect("an answer in time") {
            Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(_)) => {}
        }
    }
}

/// The connection ends with this reason, and nothing after it.
pub async fn expect_bye(socket: &mut Socket, code: &str) {
    let bye = next(socket).await.expect("a reason before the end");
    assert_eq!((bye["type"].as_str(), bye["error"]["code"].as_str()), (Some("bye"), Some(code)), "{bye}");
    assert_eq!(next(socket).await, None);
}
