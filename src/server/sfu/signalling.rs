//! LiveKit's signalling endpoints: who may come in, and then the life of one WebSocket.
//!
//! `/rtc` (v0) and `/rtc/validate`. The v1 endpoints answer 404, on which clients fall back to v0; browsers see that 404
//! only with CORS headers.

use super::Inner;
use super::driver::{Command, RoomHandle, ToClient, client_channel};
use super::room::{Admission, ConnectionId};
use super::wire::{self, Encoding};
use crate::base::{Error, ErrorCode, ParticipantIdentity, Result, SessionId, UnixMillis};
use crate::identity::SessionToken;
use crate::task::answered;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use livekit_protocol::{DisconnectReason, LeaveRequest, Pong, leave_request, signal_request, signal_response};
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// A client that does not take a message for so long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a connection reads at a time: descriptions take a few of these, all else one. A client that is merely there holds it.
const READ_BUFFER: usize = 4 * 1024;

/// Messages that a client may send at once, in seconds of its rate.
const BURST_SECONDS: f64 = 5.0;

pub(super) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/rtc", get(connect))
        .route("/rtc/validate", get(validate))
        .route("/rtc/v1", get(no_such_version))
        .route("/rtc/v1/validate", get(no_such_version))
        .layer(axum::middleware::map_response(with_cors))
        .with_state(inner)
}

async fn with_cors(mut response: Response) -> Response {
    // Any origin: what protects a room is the token, which a browser does not send by itself.
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

async fn no_such_version() -> Response {
    refusal(
        StatusCode::NOT_FOUND,
        &Error::new(ErrorCode::NotSupported, "this server speaks version 0 of the protocol: /rtc"),
    )
}

/// The query of `/rtc`. What else clients say of themselves is not needed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Params {
    access_token: String,
    auto_subscribe: Option<String>,
    reconnect: Option<String>,
    sid: String,
    client_protocol: Option<i32>,
}

impl Params {
    fn is(value: Option<&String>, otherwise: bool) -> bool {
        value.map_or(otherwise, |value| matches!(value.as_str(), "1" | "true"))
    }
}

async fn validate(State(inner): State<Arc<Inner>>, Query(params): Query<Params>, headers: HeaderMap) -> Response {
    match admit(&inner, &params, &headers).await {
        Ok(_) => "success".into_response(),
        Err(error) => refusal(status(error.code()), &error),
    }
}

async fn connect(
    State(inner): State<Arc<Inner>>,
    Query(params): Query<Params>,
    headers: HeaderMap,
    upgrade: std::result::Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let (token, room) = match admit(&inner, &params, &headers).await {
        Ok(admitted) => admitted,
        Err(error) => {
            super::metrics::count(&inner.metrics().joins_refused_total, 1);
            tracing::info!(code = %error.code(), "a join was refused");
            return refusal(status(error.code()), &error);
        }
    };
    let Ok(upgrade) = upgrade else {
        let error = Error::new(ErrorCode::InvalidArgument, "/rtc is a WebSocket endpoint");
        return refusal(StatusCode::UPGRADE_REQUIRED, &error);
    };
    let firefox =
        headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).is_some_and(|a| a.contains("Firefox/"));
    // More than the limit is read, so that a message over it is refused with a clear reason, which unread bytes would cut off.
    let limit = inner.settings.config.limits.signal_bytes * 2;
    let upgrade = upgrade.read_buffer_size(READ_BUFFER).max_message_size(limit).max_frame_size(limit);
    upgrade.on_upgrade(move |socket| async move {
        let connection = inner.next_connection();
        let admission = Admission {
            connection,
            auto_subscribe: Params::is(params.auto_subscribe.as_ref(), true),
            client_protocol: params.client_protocol.unwrap_or_default(),
            track_in_stream_id: firefox,
            token: token.clone(),
        };
        let resume = Params::is(params.reconnect.as_ref(), false).then_some(params.sid);
        let mut session = Connection::new(socket, connection, &inner);
        session.run(&inner, &room, token, admission, resume).await;
    })
}

/// Checks the token, and asks the gate.
async fn admit(inner: &Inner, params: &Params, headers: &HeaderMap) -> Result<(SessionToken, SessionId)> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let token = if params.access_token.is_empty() { bearer.trim() } else { &params.access_token };
    let token = SessionToken::verify(&inner.settings.config.keys, token, UnixMillis::now())?;
    let room = SessionId::new(token.video.room.as_str())?;
    let said = token.name.len()
        + token.metadata.len()
        + token.attributes.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
    if said > inner.settings.config.limits.metadata_bytes {
        return Err(Error::new(
            ErrorCode::TooLarge,
            "name, metadata and attributes of the token are over the server's limit",
        ));
    }
    inner.gate.may_join(&room, &token.identity).await?;
    Ok((token, room))
}

fn refusal(status: StatusCode, error: &Error) -> Response {
    let body = serde_json::json!({ "error": { "code": error.code().name(), "message": error.message() } });
    (status, Json(body)).into_response()
}

/// The HTTP status that says the same as a code.
fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::TokenMissing
        | ErrorCode::TokenMalformed
        | ErrorCode::TokenAlgorithm
        | ErrorCode::TokenWrongKey
        | ErrorCode::TokenExpired
        | ErrorCode::TokenNotYetValid => StatusCode::UNAUTHORIZED,
        ErrorCode::InvalidArgument | ErrorCode::Malformed => StatusCode::BAD_REQUEST,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::CallNotFound | ErrorCode::SessionNotFound => StatusCode::NOT_FOUND,
        ErrorCode::ServerUnavailable | ErrorCode::StoreFailed | ErrorCode::RoomFull => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        // What the token grants, or what a call's state allows: missing grant, not a party, not yet accepted, ended.
        _ => StatusCode::FORBIDDEN,
    }
}

/// Why a connection's loop ended.
enum End {
    /// The client is gone without a word: it may resume.
    Lost,
    /// It broke a rule.
    Broke(u16, Error),
    /// The room has said all that it has to say.
    Done,
}

struct Connection {
    socket: WebSocket,
    id: ConnectionId,
    encoding: Encoding,
    /// The longest message that is taken, in bytes.
    limit: usize,
    allowance: Allowance,
    heard: Instant,
}

impl Connection {
    fn new(socket: WebSocket, id: ConnectionId, inner: &Inner) -> Self {
        let (now, limits) = (Instant::now(), &inner.settings.config.limits);
        let allowance = Allowance::new(now, limits.signals_per_second);
        Self { socket, id, encoding: Encoding::Binary, limit: limits.signal_bytes, allowance, heard: now }
    }

    async fn run(
        &mut self,
        inner: &Arc<Inner>,
        room: &SessionId,
        token: SessionToken,
        admission: Admission,
        resume: Option<String>,
    ) {
        let identity = token.identity.clone();
        let (client, mut from_room) = client_channel();
        let entered = match resume {
            Some(sid) => enter_again(inner, room, &identity, sid, self.id, client).await,
            None => enter(inner, room, admission, client).await,
        };
        let handle = match entered {
            Ok(handle) => handle,
            Err(error) => return self.turn_away(inner, &error).await,
        };
        // A call may have ended between the gate's first word and now: then closing its room did not reach this one.
        if let Err(error) = inner.gate.may_join(room, &identity).await {
            tracing::info!(%room, %error, "a participant came as its session closed");
            let (reply, _) = oneshot::channel();
            let _ = handle.send(Command::Remove { identity, reply }).await;
        }
        match self.serve(inner, &token, &handle, &mut from_room).await {
            End::Done => {}
            // The room may be over already, then nobody needs to know.
            End::Lost => drop(handle.send(Command::Lost { connection: self.id }).await),
            End::Broke(code, error) => {
                tracing::info!(%room, %error, "a signalling connection was closed");
                let _ = handle.send(Command::Failed { connection: self.id }).await;
                self.leave(DisconnectReason::UnknownReason, leave_request::Action::Disconnect).await;
                self.close(code, &error).await;
            }
        }
    }

    async fn serve(
        &mut self,
        inner: &Inner,
        token: &SessionToken,
        room: &RoomHandle,
        from_room: &mut mpsc::Receiver<ToClient>,
    ) -> End {
        // Not at once: the join response comes before anything else.
        let every = inner.settings.config.token_refresh;
        let mut refresh = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let ping_timeout = inner.settings.config.ping_timeout;
        loop {
            let silent = tokio::time::Instant::from_std(self.heard + ping_timeout);
            tokio::select! {
                word = from_room.recv() => match word {
                    Some(ToClient::Message(message)) => {
                        if !self.send(*message).await {
                            return End::Lost;
                        }
                    }
                    Some(ToClient::Close) => {
                        self.farewell(close_code::NORMAL, "").await;
                        return End::Done;
                    }
                    None => return End::Lost,
                },
                received = self.socket.recv() => {
                    if let Err(end) = self.received(room, received).await {
                        return end;
                    }
                }
                () = tokio::time::sleep_until(silent) => {
                    tracing::info!("a signalling connection was silent for too long");
                    self.farewell(close_code::AWAY, "timed_out: no ping came").await;
                    return End::Lost;
                }
                _ = refresh.tick() => {
                    let fresh = token.mint(inner.settings.config.keys.minting(), UnixMillis::now(), 2 * every);
                    if !self.send(signal_response::Message::RefreshToken(fresh)).await {
                        return End::Lost;
                    }
                }
            }
        }
    }

    async fn received(
        &mut self,
        room: &RoomHandle,
        received: Option<std::result::Result<Message, axum::Error>>,
    ) -> std::result::Result<(), End> {
        self.heard = Instant::now();
        let too_large = || {
            let error = Error::new(ErrorCode::TooLarge, "a signalling message is over the server's limit");
            Err(End::Broke(close_code::SIZE, error))
        };
        let message = match received {
            Some(Ok(Message::Binary(bytes))) if bytes.len() > self.limit => return too_large(),
            Some(Ok(Message::Text(text))) if text.len() > self.limit => return too_large(),
            Some(Ok(Message::Binary(bytes))) => wire::decode(&bytes),
            Some(Ok(Message::Text(text))) => {
                self.encoding = Encoding::Json;
                wire::decode_json(&text)
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Err(error)) if error.to_string().contains("too long") || error.to_string().contains("too big") => {
                return too_large();
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(End::Lost),
        };
        if !self.allowance.take(self.heard) {
            let error =
                Error::new(ErrorCode::TooManyRequests, "signalling messages come faster than the server allows");
            return Err(End::Broke(close_code::POLICY, error));
        }
        let message = message.map_err(|error| End::Broke(close_code::INVALID, error))?;
        let answered = match message {
            None => true,
            Some(signal_request::Message::Ping(_)) => {
                self.send(signal_response::Message::Pong(UnixMillis::now().0 as i64)).await
            }
            Some(signal_request::Message::PingReq(ping)) => {
                let pong = Pong { last_ping_timestamp: ping.timestamp, timestamp: UnixMillis::now().0 as i64 };
                self.send(signal_response::Message::PongResp(pong)).await
            }
            Some(message) => {
                let command = Command::Signal { connection: self.id, message: Box::new(message) };
                return room.send(command).await.map_err(|_| End::Lost);
            }
        };
        if answered { Ok(()) } else { Err(End::Lost) }
    }

    /// Tells a client that it cannot come in, now that it has a WebSocket.
    async fn turn_away(&mut self, inner: &Inner, error: &Error) {
        super::metrics::count(&inner.metrics().joins_refused_total, 1);
        tracing::info!(%error, "a participant was turned away");
        match error.code() {
            // Resuming is not possible, joining anew is.
            ErrorCode::ParticipantNotFound | ErrorCode::RoomClosed => {
                self.leave(DisconnectReason::StateMismatch, leave_request::Action::Reconnect).await;
            }
            _ => self.leave(DisconnectReason::JoinFailure, leave_request::Action::Disconnect).await,
        }
        self.close(close_code::AGAIN, error).await;
    }

    async fn leave(&mut self, reason: DisconnectReason, action: leave_request::Action) {
        let can_reconnect = action != leave_request::Action::Disconnect;
        let leave = LeaveRequest { can_reconnect, reason: reason as i32, action: action as i32, ..Default::default() };
        self.send(signal_response::Message::Leave(leave)).await;
    }

    async fn close(&mut self, code: u16, error: &Error) {
        self.farewell(code, &format!("{}: {}", error.code(), error.message())).await;
    }

    /// The close frame, and the wait for the client's: without it a browser reports an abnormal end. The reason has at
    /// most 123 bytes (RFC 6455, section 5.5).
    async fn farewell(&mut self, code: u16, reason: &str) {
        let reason: String = reason.chars().filter(char::is_ascii).take(123).collect();
        let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let handshake = async {
            if self.socket.send(frame).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        // A client that does not answer is cut off.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, handshake).await;
    }

    async fn send(&mut self, message: signal_response::Message) -> bool {
        let frame = match self.encoding {
            Encoding::Binary => Message::Binary(wire::encode(message).into()),
            Encoding::Json => Message::Text(wire::encode_json(message).into()),
        };
        matches!(tokio::time::timeout(SEND_TIMEOUT, self.socket.send(frame)).await, Ok(Ok(())))
    }
}

/// Goes into the room, which is made if it is not there.
async fn enter(
    inner: &Arc<Inner>,
    room: &SessionId,
    admission: Admission,
    client: mpsc::Sender<ToClient>,
) -> Result<RoomHandle> {
    let handle = inner.open(room)?;
    let (reply, answer) = oneshot::channel();
    let join = Command::Join { admission: Box::new(admission), client, reply };
    handle.send(join).await.map_err(|_| Error::from(ErrorCode::RoomClosed))?;
    answered(&handle, answer).await.ok_or(ErrorCode::RoomClosed)??;
    Ok(handle)
}

/// Resumes in a room that must be there.
async fn enter_again(
    inner: &Inner,
    room: &SessionId,
    identity: &ParticipantIdentity,
    id: String,
    connection: ConnectionId,
    client: mpsc::Sender<ToClient>,
) -> Result<RoomHandle> {
    let handle = inner.find(room).ok_or(ErrorCode::ParticipantNotFound)?;
    let (reply, answer) = oneshot::channel();
    let resume = Command::Resume { id, identity: identity.clone(), connection, client, reply };
    handle.send(resume).await.map_err(|_| Error::from(ErrorCode::RoomClosed))?;
    answered(&handle, answer).await.ok_or(ErrorCode::RoomClosed)??;
    Ok(handle)
}

/// How many messages a client may still send.
struct Allowance {
    rate: f64,
    left: f64,
    at: Instant,
}

impl Allowance {
    fn new(now: Instant, per_second: u32) -> Self {
        let rate = f64::from(per_second);
        Self { rate, left: rate * BURST_SECONDS, at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + since * self.rate).min(self.rate * BURST_SECONDS);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_used_up_and_comes_back_with_time() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start, 2);
        for _ in 0..10 {
            assert!(allowance.take(start));
        }
        assert!(!allowance.take(start));
        assert!(allowance.take(start + Duration::from_millis(500)));
        assert!(!allowance.take(start + Duration::from_millis(500)));
    }
}
