//! One device's WebSocket: hello, then requests and events until one side ends it.

use super::api::{Api, mint_session_token};
use super::rates::DeviceRate;
use super::ringing::Outgoing;
use crate::base::{DeviceId, Error, ErrorCode, RequestId, Result, Uid, UnixMillis};
use crate::identity::{UserToken, WakeToken};
use crate::ringing::service::ConnectionId;
use crate::ringing::wire::{
    Answer, ClientMessage, Hello, Query, Request, RequestMessage, Response, ServerMessage, VERSION,
};
use crate::ringing::{User, WakePayload};
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a device may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection reads at a time. Most messages are shorter, and a device that is merely there holds this much.
pub(super) const READ_BUFFER: usize = 2 * 1024;

/// Runs a connection to its end. `host` is the URL of this server as the device reached it.
pub(super) async fn serve(mut socket: WebSocket, api: Api, host: Option<String>) {
    let hello = tokio::time::timeout(HELLO_TIMEOUT, hello(&mut socket, api.limits.message_size))
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorCode::TimedOut, "no hello came within 10 s")));
    let login = match hello {
        Ok(hello) => log_in(&api, hello).await,
        Err(error) => Err(error),
    };
    api.metrics.login(&login);
    match login {
        Ok(Login { connection, uid, device, until, from_ringing }) => {
            let (rate, under_way) = (api.rates.device(), HashMap::new());
            let mut connected = Connection { socket, api, host, connection, uid, device, rate, under_way };
            let end = connected.run(until, from_ringing).await;
            connected.api.ringing.disconnect(connection).await;
            tracing::info!(?connection, uid = %connected.uid, device = %connected.device, reason = %end, "disconnected");
            close(&mut connected.socket, end).await;
        }
        Err(error) => {
            tracing::info!(%error, "login refused");
            close(&mut socket, error).await;
        }
    }
}

async fn hello(socket: &mut WebSocket, max_message: usize) -> Result<Hello> {
    match next_text(socket).await? {
        Some(text) => match ClientMessage::parse(&text, max_message)? {
            ClientMessage::Hello(hello) => Ok(hello),
            ClientMessage::Request(_) => Err(Error::new(ErrorCode::NotLoggedIn, "the first message must be hello")),
        },
        None => Err(gone("the device closed the connection before hello")),
    }
}

struct Login {
    connection: ConnectionId,
    uid: Uid,
    device: DeviceId,
    /// When the token holds no longer.
    until: UnixMillis,
    from_ringing: mpsc::Receiver<Outgoing>,
}

async fn log_in(api: &Api, hello: Hello) -> Result<Login> {
    if hello.version != VERSION {
        let text = format!("this server speaks version {VERSION} of the ringing protocol, not {}", hello.version);
        return Err(Error::new(ErrorCode::NotSupported, text));
    }
    let now = UnixMillis::now();
    let (token, until) = UserToken::verify_until(&api.keys, &hello.token, now)?;
    let user = User { name: token.name, avatar: token.avatar, ..User::new(token.uid) };
    let user = api.store.upsert_user(user, now).await?;
    let (uid, device) = (user.uid.clone(), hello.device_id);
    let (connection, from_ringing) = api.ringing.connect(user, device.clone(), hello.call_waiting).await?;
    // The owner may have removed the user between the two: then ringing was told before it knew of this device.
    let removed = api.store.is_removed(&uid).await;
    if !matches!(removed, Ok(false)) {
        api.ringing.disconnect(connection).await;
        return Err(removed.err().unwrap_or_else(|| ErrorCode::UserRemoved.into()));
    }
    tracing::info!(?connection, %uid, %device, "logged in");
    Ok(Login { connection, uid, device, until, from_ringing })
}

struct Connection {
    socket: WebSocket,
    api: Api,
    host: Option<String>,
    connection: ConnectionId,
    uid: Uid,
    device: DeviceId,
    rate: DeviceRate,
    /// The methods of the commands whose response has not come yet.
    under_way: HashMap<RequestId, &'static str>,
}

impl Connection {
    /// Returns why it ended.
    async fn run(&mut self, until: UnixMillis, mut from_ringing: mpsc::Receiver<Outgoing>) -> Error {
        let expiry = tokio::time::sleep(until.since(UnixMillis::now()));
        tokio::pin!(expiry);
        let interval = self.api.ping_interval;
        let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
        let mut heard_at = Instant::now();
        loop {
            let step = tokio::select! {
                message = self.socket.recv() => {
                    heard_at = Instant::now();
                    self.incoming(message).await
                }
                outgoing = from_ringing.recv() => match outgoing {
                    Some(Outgoing::Message(message)) => {
                        self.count(&message);
                        self.send(&message).await
                    }
                    Some(Outgoing::Close(error)) => Err(error),
                    None => Err(Error::new(ErrorCode::TooManyRequests, "the device reads too slowly; connect again")),
                },
                // A half-open connection: the device is gone and no packet says so.
                _ = ping.tick() => match heard_at.elapsed() > interval * 2 {
                    true => Err(gone("the device does not answer pings")),
                    false => self.send_raw(Message::Ping(Default::default())).await,
                },
                () = &mut expiry => Err(Error::new(ErrorCode::TokenExpired, "the token expired; log in with a new one")),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn incoming(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<()> {
        let Some(text) = read_text(message)? else { return Ok(()) };
        match ClientMessage::parse(&text, self.api.limits.message_size)? {
            ClientMessage::Request(message) => self.request(message).await,
            ClientMessage::Hello(_) => Err(Error::new(ErrorCode::Malformed, "hello came twice")),
        }
    }

    /// Errors end the connection; what is wrong with the request alone goes into its response.
    async fn request(&mut self, message: RequestMessage) -> Result<()> {
        let request = self.rate.check().and_then(|()| self.api.rates.user(&self.uid)).and_then(|()| message.parse());
        let (method, result) = match request {
            Ok(Request::Command(command)) => {
                self.under_way.insert(message.id.clone(), command.method());
                return self.api.ringing.command(self.connection, message.id, command).await;
            }
            Ok(Request::Query(query)) => (Request::Query(query.clone()).method(), self.query(query).await),
            Err(error) => ("refused", Err(error)),
        };
        self.api.metrics.request(method, result.as_ref().err().map(Error::code));
        self.send(&ServerMessage::Response(Response::new(message.id, result))).await
    }

    async fn query(&mut self, query: Query) -> Result<Answer> {
        match query {
            Query::Call(call) => {
                let call = self.api.call(&call.session_id, Some(&self.uid)).await?;
                Ok(Answer::Call(Box::new(call)))
            }
            Query::Calls(filter) => Ok(Answer::Calls(self.api.store.log(Some(&self.uid), &filter).await?)),
            Query::Wake(push) => {
                let WakeToken(push) =
                    WakeToken::<WakePayload>::verify(&self.api.keys, &push.payload, UnixMillis::now())?;
                if push.uid != self.uid {
                    return Err(Error::new(ErrorCode::NotAParty, "the push is for another user"));
                }
                let call = self.api.call(&push.session_id, Some(&self.uid)).await?;
                Ok(Answer::Call(Box::new(call)))
            }
            Query::SessionToken(call) => {
                let call = self.api.call(&call.session_id, Some(&self.uid)).await?;
                let access =
                    mint_session_token(&self.api, &call, &self.uid, Some(&self.device), self.host.as_deref()).await?;
                Ok(Answer::SessionToken(access))
            }
        }
    }

    fn count(&mut self, message: &ServerMessage) {
        if let ServerMessage::Response(response) = message
            && let Some(method) = self.under_way.remove(&response.id)
        {
            self.api.metrics.request(method, response.error.as_ref().map(|error| error.code));
        }
    }

    async fn send(&mut self, message: &ServerMessage) -> Result<()> {
        self.send_raw(Message::text(message.to_json())).await
    }

    async fn send_raw(&mut self, message: Message) -> Result<()> {
        match tokio::time::timeout(self.api.limits.write_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(gone(format!("the connection broke: {error}"))),
            Err(_) => {
                self.api.metrics.slow_reader();
                Err(gone("the device takes no data"))
            }
        }
    }
}

/// `None` when it is no text message but is as it should be.
fn read_text(message: Option<Result<Message, axum::Error>>) -> Result<Option<String>> {
    match message {
        Some(Ok(Message::Text(text))) => Ok(Some(text.as_str().to_owned())),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Binary(_))) => Err(Error::new(ErrorCode::Malformed, "messages are text, not binary")),
        Some(Ok(Message::Close(_))) | None => Err(gone("the device closed the connection")),
        // A frame over MAX_FRAME ends here as well, as a fault of the WebSocket.
        Some(Err(error)) => Err(gone(format!("the connection broke: {error}"))),
    }
}

async fn next_text(socket: &mut WebSocket) -> Result<Option<String>> {
    loop {
        match socket.recv().await {
            None => return Ok(None),
            message => {
                if let Some(text) = read_text(message)? {
                    return Ok(Some(text));
                }
            }
        }
    }
}

/// Says why, as far as the device still listens, and closes.
async fn close(socket: &mut WebSocket, error: Error) {
    let code = match error.code() {
        ErrorCode::ServerUnavailable => close_code::RESTART,
        ErrorCode::StoreFailed | ErrorCode::Internal => close_code::ERROR,
        ErrorCode::TooLarge => close_code::SIZE,
        _ => close_code::POLICY,
    };
    let reason = error.code().name().into();
    let goodbye = async {
        socket.send(Message::text(ServerMessage::bye(error).to_json())).await?;
        socket.send(Message::Close(Some(CloseFrame { code, reason }))).await?;
        // Until the device has answered, so that the reason is not overtaken by a reset of the connection.
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<_, axum::Error>(())
    };
    // A device that is gone hears nothing.
    tokio::time::timeout(Duration::from_secs(2), goodbye).await.ok();
}

fn gone(what: impl Into<String>) -> Error {
    Error::new(ErrorCode::ConnectionLost, what)
}
