//! Signalling with a Trill server: LiveKit's protocol, version 0.

use super::super::target::connect;
use super::participant::{Participant, SignalRequest, SignalResponse};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol::{self as lk, AddTrackRequest, TrackSource, TrackType};
use prost::Message as _;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use trill::base::{Error, ErrorCode, Result, SessionId, UnixMillis};
use trill::identity::{ApiKey, SessionToken};
use url::Url;

/// The server waits for 15 s.
const PING: Duration = Duration::from_secs(5);
const TOKEN_TTL: Duration = Duration::from_secs(3600);

const CAMERA: &str = "camera";

/// Joins, and stays until something fails. The room's name and its own are those of the load.
pub async fn stay(url: &Url, key: &ApiKey, name: &str, participant: &Participant) -> Result<()> {
    let publishes = participant.role.publisher.is_some();
    let room = SessionId::new(format!("load-{}", participant.role.room))?;
    let token = SessionToken::for_call(name.parse()?, String::new(), &room).mint(key, UnixMillis::now(), TOKEN_TTL);
    let mut url = url.clone();
    url.query_pairs_mut()
        .append_pair("access_token", &token)
        .append_pair("auto_subscribe", if publishes { "0" } else { "1" });
    let mut socket = connect(&url, url.as_str()).await?;
    let mut ping = tokio::time::interval(PING);
    loop {
        let received = tokio::select! {
            received = socket.next() => received,
            _ = ping.tick() => {
                let ping = SignalRequest::Ping(UnixMillis::now().0 as i64);
                socket.send(binary(ping)).await.map_err(lost)?;
                continue;
            }
        };
        let message = match received {
            Some(Ok(Message::Binary(bytes))) => lk::SignalResponse::decode(bytes).map_err(lost)?.message,
            Some(Ok(Message::Close(close))) => {
                return Err(told(close.map(|c| c.reason.to_string()).unwrap_or_default()));
            }
            Some(Ok(_)) => None,
            Some(Err(error)) => return Err(lost(error)),
            None => return Err(told(String::new())),
        };
        let answer = match message {
            Some(SignalResponse::Join(_)) if publishes => Some(SignalRequest::AddTrack(AddTrackRequest {
                cid: CAMERA.into(),
                r#type: TrackType::Video as i32,
                source: TrackSource::Camera as i32,
                width: 640,
                height: 360,
                ..Default::default()
            })),
            Some(SignalResponse::TrackPublished(_)) => Some(participant.publish(CAMERA)?),
            Some(message) => participant.signalled(&message)?,
            None => None,
        };
        if let Some(answer) = answer {
            socket.send(binary(answer)).await.map_err(lost)?;
        }
    }
}

fn binary(message: SignalRequest) -> Message {
    Message::binary(lk::SignalRequest { message: Some(message) }.encode_to_vec())
}

/// The server has closed, and says why.
fn told(reason: String) -> Error {
    if reason.contains(ErrorCode::RoomFull.name()) {
        let text = "the server takes no more participants in one session: raise its limits.participants for the time of \
                    the load (TRILL_LIMITS__PARTICIPANTS), or take more --rooms";
        return Error::new(ErrorCode::RoomFull, text);
    }
    Error::new(ErrorCode::ConnectionLost, format!("the server closed a connection: {reason:?}"))
}

fn lost(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::ConnectionLost, format!("signalling failed: {error}"))
}
