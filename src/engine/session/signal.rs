//! The signalling connection: LiveKit's v0 protocol over a WebSocket, one protobuf per binary message.

use crate::base::{Error, ErrorCode, Result};
use crate::engine::connect::{self, WebSocket};
use crate::session::ConnectRequest;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message as _;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

/// The client protocol that we speak: what a server of LiveKit's may expect of us.
const CLIENT_PROTOCOL: u32 = 16;

/// The largest message taken from the server: a roster of thousands.
const MAX_MESSAGE: usize = 4 << 20;

/// Messages that wait for the network. A connection that cannot take them is broken.
const QUEUE: usize = 256;

/// For the last words, with whatever network.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(300);

/// The one signalling connection of a session, or the attempt at one.
#[derive(Default)]
pub(super) enum Signal {
    #[default]
    Down,
    Dialling(Dialling),
    Up {
        reader: SplitStream<WebSocket>,
        queue: mpsc::Sender<proto::signal_request::Message>,
        writer: JoinHandle<()>,
    },
}

/// Ends with its owner.
pub(super) struct Dialling(JoinHandle<Result<WebSocket>>);

impl Drop for Dialling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What came of waiting.
pub(super) enum SignalEvent {
    /// From here on messages can come. The local address that reaches the server.
    Opened(Option<IpAddr>),
    Failed(Error),
    Message(Box<proto::signal_response::Message>),
    Closed,
}

impl Signal {
    /// Starts over: whatever connection there was is dropped.
    pub(super) fn dial(&mut self, server: &Url, token: &str, request: &ConnectRequest) {
        let url = rtc_url(server, request);
        let token = token.to_owned();
        *self =
            Self::Dialling(Dialling(tokio::spawn(
                async move { connect::connect(&url, Some(&token), MAX_MESSAGE).await },
            )));
    }

    /// Waits for the next event; without a connection, forever. May be dropped at any time without loss.
    pub(super) async fn next(&mut self) -> SignalEvent {
        match self {
            Self::Down => std::future::pending().await,
            Self::Dialling(Dialling(dialling)) => {
                let dialled = dialling.await;
                *self = Self::Down;
                match dialled {
                    Ok(Ok(socket)) => SignalEvent::Opened(self.opened(socket)),
                    Ok(Err(error)) => SignalEvent::Failed(error),
                    Err(_) => SignalEvent::Failed(ErrorCode::Cancelled.into()),
                }
            }
            Self::Up { reader, .. } => {
                let event = read(reader).await;
                if matches!(event, SignalEvent::Closed) {
                    *self = Self::Down;
                }
                event
            }
        }
    }

    /// Queues a message; without a connection it is dropped, as the machine says all that matters again.
    pub(super) fn send(&mut self, message: proto::signal_request::Message) {
        if let Self::Up { queue, .. } = self
            && queue.try_send(message).is_err()
        {
            tracing::debug!("the signalling connection does not take a message");
        }
    }

    /// Sends what is queued, a close frame after it, and hangs up. Bounded.
    pub(super) async fn finish(&mut self) {
        if let Self::Up { queue, mut writer, .. } = std::mem::take(self) {
            drop(queue);
            if tokio::time::timeout(FLUSH_TIMEOUT, &mut writer).await.is_err() {
                writer.abort();
            }
        }
    }

    fn opened(&mut self, socket: WebSocket) -> Option<IpAddr> {
        let address = match socket.get_ref() {
            MaybeTlsStream::Plain(stream) => stream.local_addr().ok(),
            MaybeTlsStream::Rustls(stream) => stream.get_ref().0.local_addr().ok(),
            _ => None,
        };
        let (sink, reader) = socket.split();
        let (queue, waiting) = mpsc::channel(QUEUE);
        *self = Self::Up { reader, queue, writer: tokio::spawn(write(sink, waiting)) };
        address.map(|address| address.ip())
    }
}

async fn read(reader: &mut SplitStream<WebSocket>) -> SignalEvent {
    loop {
        match reader.next().await {
            Some(Ok(Message::Binary(bytes))) => match proto::SignalResponse::decode(bytes) {
                Ok(proto::SignalResponse { message: Some(message), .. }) => {
                    return SignalEvent::Message(Box::new(message));
                }
                // A kind that our protocol types do not know yet.
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the server sent a message that is no SignalResponse; hanging up");
                    return SignalEvent::Closed;
                }
            },
            Some(Ok(Message::Close(_))) | None => return SignalEvent::Closed,
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(%error, "the signalling connection broke");
                return SignalEvent::Closed;
            }
        }
    }
}

async fn write(mut sink: SplitSink<WebSocket, Message>, mut waiting: mpsc::Receiver<proto::signal_request::Message>) {
    while let Some(message) = waiting.recv().await {
        let bytes = proto::SignalRequest { message: Some(message) }.encode_to_vec();
        if sink.send(Message::binary(bytes)).await.is_err() {
            // The reader sees the same.
            return;
        }
    }
    let _ = sink.close().await;
}

/// `<server>/rtc`, with what the protocol puts in the query. The token is not among it: queries end up in logs.
fn rtc_url(server: &Url, request: &ConnectRequest) -> Url {
    let mut url = server.clone();
    let path = format!("{}/rtc", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_fragment(None);
    let flag = |on: bool| if on { "1" } else { "0" };
    let mut query = url.query_pairs_mut();
    query
        .clear()
        .append_pair("auto_subscribe", flag(request.auto_subscribe))
        .append_pair("adaptive_stream", "0")
        .append_pair("sdk", "trill")
        .append_pair("version", env!("CARGO_PKG_VERSION"))
        .append_pair("protocol", &CLIENT_PROTOCOL.to_string());
    if let Some(resume) = &request.resume {
        query.append_pair("reconnect", "1").append_pair("sid", resume.participant.as_str());
    }
    drop(query);
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ParticipantId;
    use crate::session::ResumeRequest;

    #[test]
    fn the_query_says_what_the_protocol_asks_for_and_holds_no_token() {
        let server = connect::websocket_url("https://example.org/prefix/?access_token=x").unwrap();
        let resume = Some(ResumeRequest { participant: ParticipantId::new("PA_1").unwrap() });
        let url = rtc_url(&server, &ConnectRequest { auto_subscribe: true, token: None, resume });
        assert_eq!(url.path(), "/prefix/rtc");
        let query = url.query().unwrap();
        assert!(query.contains("auto_subscribe=1") && query.contains("reconnect=1&sid=PA_1"), "{query}");
        assert!(!query.contains("token"), "{query}");
    }
}
