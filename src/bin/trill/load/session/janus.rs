//! Signalling with Janus and its VideoRoom plugin, over its WebSocket: to compare, with the very same participants.

use super::super::target::{Socket, connect, refused};
use super::participant::{Participant, SignalRequest, SignalResponse};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol::SessionDescription;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use trill::base::{Error, ErrorCode, Result};
use url::Url;

/// Janus forgets a session after 60 s of silence.
const KEEPALIVE: Duration = Duration::from_secs(25);
/// Janus counts rooms and publishers by numbers.
const FIRST_ROOM: usize = 7000;
const FIRST_FEED: usize = 1;

struct Handle {
    socket: Socket,
    session: Value,
    handle: Value,
}

/// Makes the rooms of a load. Errors: `server_unreachable`, `malformed`.
pub async fn make_rooms(url: &Url, rooms: usize, publishers: usize) -> Result<()> {
    let mut handle = Handle::attach(url).await?;
    for room in FIRST_ROOM..FIRST_ROOM + rooms {
        // What a load before this one left behind.
        handle.ask(json!({ "request": "destroy", "room": room }), None).await?;
        handle.next().await?;
        let create = json!({ "request": "create", "room": room, "publishers": publishers, "videocodec": "vp8",
                             "bitrate": 0, "permanent": false });
        handle.ask(create, None).await?;
        handle.next().await?;
    }
    Ok(())
}

/// Joins, and stays until something fails.
pub async fn stay(url: &Url, participant: &Participant) -> Result<()> {
    let (role, mut handle) = (participant.role, Handle::attach(url).await?);
    let room = FIRST_ROOM + role.room;
    match role.publisher {
        Some(publisher) => {
            let SignalRequest::Offer(offer) = participant.publish("camera")? else {
                return Err(ErrorCode::Internal.into());
            };
            let join = json!({ "request": "joinandconfigure", "ptype": "publisher", "room": room,
                               "id": FIRST_FEED + usize::from(publisher) });
            handle.ask(join, Some(("offer", offer.sdp))).await?;
        }
        None => {
            let feeds: Vec<_> = (0..role.publishers).map(|n| json!({ "feed": FIRST_FEED + n })).collect();
            let join = json!({ "request": "join", "ptype": "subscriber", "room": room, "streams": feeds });
            handle.ask(join, None).await?;
        }
    }
    loop {
        let said = handle.next().await?;
        let Some((kind, sdp)) = said["jsep"]["type"].as_str().zip(said["jsep"]["sdp"].as_str()) else { continue };
        let description = SessionDescription { r#type: kind.into(), sdp: sdp.into(), ..Default::default() };
        let message = match kind {
            "offer" => SignalResponse::Offer(description),
            _ => SignalResponse::Answer(description),
        };
        if let Some(SignalRequest::Answer(answer)) = participant.signalled(&message)? {
            handle.ask(json!({ "request": "start" }), Some(("answer", answer.sdp))).await?;
        }
    }
}

impl Handle {
    async fn attach(url: &Url) -> Result<Self> {
        let mut request = url.as_str().into_client_request().map_err(|error| refused(url, &error))?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("janus-protocol"));
        let socket = connect(url, request).await?;
        let mut this = Self { socket, session: Value::Null, handle: Value::Null };
        this.send(json!({ "janus": "create", "transaction": "create" })).await?;
        this.session = this.next().await?["data"]["id"].take();
        let attach = json!({ "janus": "attach", "plugin": "janus.plugin.videoroom", "transaction": "attach",
                             "session_id": this.session });
        this.send(attach).await?;
        this.handle = this.next().await?["data"]["id"].take();
        Ok(this)
    }

    async fn ask(&mut self, body: Value, description: Option<(&str, String)>) -> Result<()> {
        let mut message = json!({ "janus": "message", "transaction": "ask", "session_id": self.session,
                                  "handle_id": self.handle, "body": body });
        if let Some((kind, sdp)) = description {
            message["jsep"] = json!({ "type": kind, "sdp": sdp, "trickle": false });
        }
        self.send(message).await
    }

    /// What Janus says next beyond acknowledgements. Errors are errors, but for a room that was not there to destroy.
    async fn next(&mut self) -> Result<Value> {
        const NO_SUCH_ROOM: u64 = 426;
        loop {
            let received = match tokio::time::timeout(KEEPALIVE, self.socket.next()).await {
                Ok(received) => received,
                Err(_) => {
                    let alive = json!({ "janus": "keepalive", "transaction": "alive", "session_id": self.session });
                    self.send(alive).await?;
                    continue;
                }
            };
            let text = match received {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(_))) | None => return Err(failed("Janus closed a connection")),
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(failed(error)),
            };
            let said: Value = serde_json::from_str(&text)
                .map_err(|e| Error::new(ErrorCode::Malformed, format!("Janus said what is no JSON: {e}")))?;
            let data = &said["plugindata"]["data"];
            if data["error_code"].as_u64().is_some_and(|code| code != NO_SUCH_ROOM) || said["janus"] == "error" {
                return Err(failed(text));
            }
            match said["janus"].as_str() {
                Some("success" | "event") => return Ok(said),
                Some("hangup") => return Err(failed("Janus hung up a media connection")),
                _ => {}
            }
        }
    }

    async fn send(&mut self, message: Value) -> Result<()> {
        self.socket.send(Message::text(message.to_string())).await.map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::ConnectionLost, format!("signalling with Janus failed: {error}"))
}
