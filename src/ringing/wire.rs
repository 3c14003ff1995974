//! The JSON messages between a device and the server, one per WebSocket text message. docs/ringing-protocol.md.
//!
//! Strict on what is needed, tolerant of fields it does not know: both sides may be newer than the other.

use super::call::{Call, CallType, Category, ReceiverType, User, named};
use super::event::CallEvent;
use super::log::{LogFilter, LogPage};
use crate::base::{DeviceId, Error, ErrorCode, RequestId, Result, SessionId, UnixMillis};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The version of the protocol that this code speaks.
pub const VERSION: u32 = 1;

/// The largest message the server takes unless its owner says otherwise, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// The largest message a device takes, in bytes: a page of the log is the largest there is, full of groups' calls.
pub const MAX_SERVER_MESSAGE: usize = 8 * 1024 * 1024;

/// What a device sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ClientMessage {
    /// The first message of a connection, and only that.
    Hello(Hello),
    Request(RequestMessage),
}

/// Logs a device in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    pub version: u32,
    /// A user token. It travels here and not in the URL, which servers and proxies log.
    pub token: String,
    pub device_id: DeviceId,
    /// Ring even while this user is in another call; otherwise such a call is answered with busy.
    #[serde(default)]
    pub call_waiting: bool,
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello")
            .field("version", &self.version)
            .field("device_id", &self.device_id)
            .finish_non_exhaustive()
    }
}

/// A request in its envelope: it has one response of the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestMessage {
    /// Unique among this device's requests: what was sent twice has one effect and one answer.
    pub id: RequestId,
    pub method: String,
    #[serde(default)]
    pub params: Value,
}

/// What a device can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Command(Command),
    Query(Query),
}

/// A request that may change a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Initiate(Initiate),
    /// This device of the callee rings.
    Ringing(SessionRef),
    Accept(SessionRef),
    Reject(Reject),
    End(SessionRef),
}

/// A request that reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    SessionToken(SessionRef),
    Call(SessionRef),
    Calls(LogFilter),
    /// What became of the call that a push announced.
    Wake(PushRef),
}

/// Calls somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Initiate {
    /// A uid or a guid.
    pub receiver: String,
    pub receiver_type: ReceiverType,
    #[serde(rename = "type")]
    pub call_type: CallType,
    #[serde(default = "Initiate::default_category")]
    pub category: Category,
    /// How long it rings, in seconds: 5-180, 45 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// The app's own; at most 4 KiB of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

impl Initiate {
    /// Calls one user, with the defaults for all else.
    pub fn user(uid: &crate::base::Uid, call_type: CallType) -> Self {
        Self {
            receiver: uid.to_string(),
            receiver_type: ReceiverType::User,
            call_type,
            category: Category::Call,
            timeout: None,
            metadata: None,
        }
    }

    /// Calls a group, with the defaults for all else.
    pub fn group(guid: &crate::base::GroupId, call_type: CallType) -> Self {
        Self {
            receiver: guid.to_string(),
            receiver_type: ReceiverType::Group,
            call_type,
            category: Category::Call,
            timeout: None,
            metadata: None,
        }
    }

    fn default_category() -> Category {
        Category::Call
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRef {
    pub session_id: SessionId,
}

/// A wake payload, as a push service carried it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRef {
    pub payload: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reject {
    pub session_id: SessionId,
    pub reason: RejectReason,
}

named! {
    RejectReason {
        /// By the callee: it does not want the call.
        Rejected = "REJECTED",
        /// By the callee: it is in another call.
        Busy = "BUSY",
        /// By the initiator, before an answer.
        Cancelled = "CANCELLED",
    }
}

/// What the server sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
#[allow(clippy::large_enum_variant, reason = "short-lived, and most of them are the large ones")]
pub enum ServerMessage {
    /// The answer to hello: logged in.
    Welcome(Welcome),
    Response(Response),
    Event(CallEvent),
    /// The last message of a connection that the server ends: why.
    Bye {
        error: WireError,
    },
    /// From a newer server; to be passed over.
    #[serde(other)]
    Unknown,
}

/// Who is logged in, and the calls that concern this device as they are now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    pub version: u32,
    pub user: User,
    /// The server's clock.
    pub time: UnixMillis,
    /// How often the server sends a WebSocket ping; a device that hears nothing for three of these reconnects.
    pub ping_interval_ms: u64,
    /// Calls that ring here, and the one that this device dials or is in.
    pub calls: Vec<Call>,
}

/// The one response to a request: an answer or an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub id: RequestId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    Call(Box<Call>),
    SessionToken(SessionAccess),
    Calls(LogPage),
}

/// What a party to an ongoing call joins its session with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionAccess {
    /// The session server: ws or wss.
    pub url: String,
    /// A LiveKit access token for the room of this call.
    pub token: String,
    pub expires_at: UnixMillis,
}

impl std::fmt::Debug for SessionAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionAccess").field("url", &self.url).finish_non_exhaustive()
    }
}

/// An error as it travels: the code's name and the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireError {
    pub code: ErrorCode,
    #[serde(default)]
    pub message: String,
}

impl From<Error> for WireError {
    fn from(error: Error) -> Self {
        Self { code: error.code(), message: error.message().to_owned() }
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        Error::new(error.code, error.message)
    }
}

impl ClientMessage {
    /// Errors: `too_large` for more than `max` bytes, `malformed`. The sender's connection is to be closed with them.
    pub fn parse(text: &str, max: usize) -> Result<Self> {
        parse(text, max)
    }

    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl ServerMessage {
    /// Errors: `too_large`, `malformed`.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text, MAX_SERVER_MESSAGE)
    }

    pub fn to_json(&self) -> String {
        to_json(self)
    }

    pub fn bye(error: Error) -> Self {
        Self::Bye { error: error.into() }
    }
}

impl Response {
    pub fn new(id: RequestId, result: Result<Answer>) -> Self {
        match result {
            Ok(answer) => Self { id, answer: Some(answer), error: None },
            Err(error) => Self { id, answer: None, error: Some(error.into()) },
        }
    }

    /// Errors: what the server refused with; `malformed` when there is neither answer nor error.
    pub fn into_result(self) -> Result<Answer> {
        match (self.answer, self.error) {
            (_, Some(error)) => Err(error.into()),
            (Some(answer), None) => Ok(answer),
            (None, None) => Err(Error::new(ErrorCode::Malformed, "the response has neither answer nor error")),
        }
    }
}

impl RequestMessage {
    pub fn new(id: RequestId, request: &Request) -> Self {
        let params = match request {
            Request::Command(Command::Initiate(params)) => to_value(params),
            Request::Command(Command::Reject(params)) => to_value(params),
            Request::Command(Command::Ringing(params) | Command::Accept(params) | Command::End(params))
            | Request::Query(Query::SessionToken(params) | Query::Call(params)) => to_value(params),
            Request::Query(Query::Calls(params)) => to_value(params),
            Request::Query(Query::Wake(params)) => to_value(params),
        };
        Self { id, method: request.method().to_owned(), params }
    }

    /// Errors, for the response: `not_supported` for a method this version does not have, `malformed` for its params.
    pub fn parse(&self) -> Result<Request> {
        Ok(match self.method.as_str() {
            "initiate" => Request::Command(Command::Initiate(self.params()?)),
            "ringing" => Request::Command(Command::Ringing(self.params()?)),
            "accept" => Request::Command(Command::Accept(self.params()?)),
            "reject" => Request::Command(Command::Reject(self.params()?)),
            "end" => Request::Command(Command::End(self.params()?)),
            "sessionToken" => Request::Query(Query::SessionToken(self.params()?)),
            "call" => Request::Query(Query::Call(self.params()?)),
            "calls" if self.params.is_null() => Request::Query(Query::Calls(LogFilter::default())),
            "calls" => Request::Query(Query::Calls(self.params()?)),
            "wake" => Request::Query(Query::Wake(self.params()?)),
            other => {
                let shown: String = other.chars().take(40).collect();
                return Err(Error::new(ErrorCode::NotSupported, format!("there is no method {shown:?}")));
            }
        })
    }

    fn params<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.params)
            .map_err(|e| Error::new(ErrorCode::Malformed, format!("params of {}: {e}", self.method)))
    }
}

impl Request {
    /// The name on the wire.
    pub fn method(&self) -> &'static str {
        match self {
            Request::Command(command) => command.method(),
            Request::Query(Query::SessionToken(_)) => "sessionToken",
            Request::Query(Query::Call(_)) => "call",
            Request::Query(Query::Calls(_)) => "calls",
            Request::Query(Query::Wake(_)) => "wake",
        }
    }

    /// The call that it is about.
    pub(super) fn session(&self) -> Option<&SessionId> {
        match self {
            Request::Command(Command::Ringing(call) | Command::Accept(call) | Command::End(call))
            | Request::Query(Query::SessionToken(call) | Query::Call(call)) => Some(&call.session_id),
            Request::Command(Command::Reject(reject)) => Some(&reject.session_id),
            Request::Command(Command::Initiate(_)) | Request::Query(Query::Calls(_) | Query::Wake(_)) => None,
        }
    }
}

impl Command {
    /// The name on the wire.
    pub fn method(&self) -> &'static str {
        match self {
            Command::Initiate(_) => "initiate",
            Command::Ringing(_) => "ringing",
            Command::Accept(_) => "accept",
            Command::Reject(_) => "reject",
            Command::End(_) => "end",
        }
    }
}

fn parse<T: DeserializeOwned>(text: &str, limit: usize) -> Result<T> {
    if text.len() > limit {
        return Err(Error::new(ErrorCode::TooLarge, format!("the message is over {} KiB", limit / 1024)));
    }
    serde_json::from_str(text).map_err(|e| Error::new(ErrorCode::Malformed, format!("the message is malformed: {e}")))
}

fn to_json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("messages of our own types serialise")
}

fn to_value(params: &impl Serialize) -> Value {
    serde_json::to_value(params).expect("params of our own types serialise")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Uid;

    #[test]
    fn every_request_survives_the_wire() {
        let session = SessionRef { session_id: SessionId::new("s").unwrap() };
        let requests = [
            Request::Command(Command::Initiate(Initiate::user(&Uid::new("bob").unwrap(), CallType::Video))),
            Request::Command(Command::Ringing(session.clone())),
            Request::Command(Command::Accept(session.clone())),
            Request::Command(Command::Reject(Reject {
                session_id: session.session_id.clone(),
                reason: RejectReason::Busy,
            })),
            Request::Command(Command::End(session.clone())),
            Request::Query(Query::SessionToken(session.clone())),
            Request::Query(Query::Call(session)),
            Request::Query(Query::Calls(LogFilter { limit: Some(3), ..LogFilter::default() })),
            Request::Query(Query::Wake(PushRef { payload: "a.b.c".into() })),
        ];
        for request in requests {
            let sent = ClientMessage::Request(RequestMessage::new(RequestId::new("1").unwrap(), &request));
            let ClientMessage::Request(got) = ClientMessage::parse(&sent.to_json(), MAX_MESSAGE).unwrap() else {
                panic!()
            };
            assert_eq!(got.parse().unwrap(), request);
        }
    }

    #[test]
    fn an_unknown_method_or_bad_params_fail_the_request_and_not_the_connection() {
        let parse = |text| match ClientMessage::parse(text, MAX_MESSAGE).unwrap() {
            ClientMessage::Request(message) => message.parse().unwrap_err().code(),
            ClientMessage::Hello(_) => panic!(),
        };
        assert_eq!(parse(r#"{"type":"request","id":"1","method":"fly"}"#), ErrorCode::NotSupported);
        assert_eq!(parse(r#"{"type":"request","id":"1","method":"accept","params":{}}"#), ErrorCode::Malformed);
    }

    #[test]
    fn unknown_fields_and_message_types_of_a_newer_server_are_passed_over() {
        let message = r#"{"type":"weather","sun":true}"#;
        assert_eq!(ServerMessage::parse(message).unwrap(), ServerMessage::Unknown);
        let message = r#"{"type":"bye","error":{"code":"shut_down","message":"later","more":1},"more":2}"#;
        assert!(matches!(ServerMessage::parse(message).unwrap(), ServerMessage::Bye { .. }));
    }

    #[test]
    fn a_message_over_the_limit_is_not_looked_at() {
        let text = " ".repeat(MAX_MESSAGE + 1);
        assert_eq!(ClientMessage::parse(&text, MAX_MESSAGE).unwrap_err().code(), ErrorCode::TooLarge);
    }

    #[test]
    fn tokens_do_not_show_in_debug_output() {
        let hello = Hello {
            version: VERSION,
            token: "secret-token".into(),
            device_id: DeviceId::new("d").unwrap(),
            call_waiting: false,
        };
        assert!(!format!("{hello:?}").contains("secret-token"));
    }
}
