//! The HTTP side: the WebSocket's door, the call log, session tokens, health and metrics.

use super::api::{Api, mint_session_token};
use super::socket;
use crate::base::{Error, ErrorCode, Result, SessionId, Uid, UnixMillis};
use crate::identity::{AdminToken, UserToken};
use crate::ringing::wire::{MAX_MESSAGE, SessionAccess, WireError};
use crate::ringing::{Call, LogFilter, LogPage};
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/ring", get(ring))
        .route("/v1/calls", get(calls))
        .route("/v1/calls/{session}", get(call))
        .route("/v1/calls/{session}/token", post(session_token))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(MAX_MESSAGE))
        .layer(from_fn(cors))
        .with_state(api)
}

/// An error as HTTP tells it: a fitting status, and `{"error":{"code":...,"message":...}}`.
struct HttpError(Error);

impl From<Error> for HttpError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": WireError::from(self.0.clone()) });
        (status_of(self.0.code()), Json(body)).into_response()
    }
}

async fn ring(State(api): State<Api>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Result<Response, HttpError> {
    if api.metrics.connections() >= i64::try_from(api.max_connections).unwrap_or(i64::MAX) {
        let text = "as many devices are connected as this server allows; try again later";
        return Err(Error::new(ErrorCode::ServerUnavailable, text).into());
    }
    let open = Open::new(&api);
    let host = own_url(&headers);
    let upgrade = upgrade.max_message_size(socket::MAX_FRAME).max_frame_size(socket::MAX_FRAME);
    Ok(upgrade.on_upgrade(async move |socket| {
        socket::serve(socket, api, host).await;
        drop(open);
    }))
}

async fn calls(
    State(api): State<Api>,
    headers: HeaderMap,
    filter: Result<Query<LogFilter>, QueryRejection>,
) -> Result<Json<LogPage>, HttpError> {
    let caller = Caller::of(&api, &headers)?;
    let Query(filter) = filter.map_err(|e| Error::new(ErrorCode::InvalidArgument, e.body_text()))?;
    Ok(Json(api.store.log(caller.uid(), &filter).await?))
}

async fn call(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(session): Path<String>,
) -> Result<Json<Call>, HttpError> {
    let caller = Caller::of(&api, &headers)?;
    Ok(Json(api.call(&SessionId::new(session)?, caller.uid()).await?))
}

async fn session_token(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(session): Path<String>,
) -> Result<Json<SessionAccess>, HttpError> {
    let caller = Caller::of(&api, &headers)?;
    let uid = caller.uid().ok_or_else(|| {
        Error::new(ErrorCode::NotAParty, "an owner is not a party to calls; use `trill token` or the user's token")
    })?;
    let call = api.call(&SessionId::new(session)?, Some(uid)).await?;
    Ok(Json(mint_session_token(&api, &call, uid, None, own_url(&headers).as_deref())?))
}

/// 200 while the store answers.
async fn health(State(api): State<Api>) -> Result<Json<serde_json::Value>, HttpError> {
    api.store.ping().await?;
    Ok(Json(serde_json::json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })))
}

async fn metrics(State(api): State<Api>) -> Response {
    let text = api.metrics.render(&api.sfu_metrics.samples());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// Browsers of any origin may ask: what counts is the token, which no browser sends by itself.
async fn cors(request: Request, next: Next) -> Response {
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, Content-Type"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }
    response
}

/// Whose token a request bears.
enum Caller {
    User(Uid),
    Admin,
}

impl Caller {
    /// Errors: every `token_*` code but `token_wrong_room`.
    fn of(api: &Api, headers: &HeaderMap) -> Result<Self> {
        let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = header.strip_prefix("Bearer ").unwrap_or_default();
        let now = UnixMillis::now();
        match UserToken::verify(&api.keys, token, now) {
            Ok(user) => Ok(Self::User(user.uid)),
            Err(error) if error.code() == ErrorCode::TokenMissingGrant => {
                AdminToken::verify(&api.keys, token, now).map(|_| Self::Admin).map_err(|_| {
                    Error::new(ErrorCode::TokenMissingGrant, "this is neither a user token nor an admin token")
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Whose calls may be seen; `None` for all.
    fn uid(&self) -> Option<&Uid> {
        match self {
            Self::User(uid) => Some(uid),
            Self::Admin => None,
        }
    }
}

/// Counts a connection for as long as it lives.
struct Open(Api);

impl Open {
    fn new(api: &Api) -> Self {
        api.metrics.connection_opened();
        Self(api.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.connection_closed();
    }
}

/// This server's address as the client used it: where to send that client for the session when nothing else is set.
fn own_url(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let host = text("host")?;
    let scheme = if text("x-forwarded-proto") == Some("https") { "wss" } else { "ws" };
    let url = url::Url::parse(&format!("{scheme}://{host}")).ok()?;
    // A host alone: nothing that a hostile header could hang on to it.
    (url.path() == "/" && url.query().is_none() && url.username().is_empty()).then(|| format!("{scheme}://{host}"))
}

fn status_of(code: ErrorCode) -> StatusCode {
    use ErrorCode::*;
    match code {
        TokenMissing | TokenMalformed | TokenAlgorithm | TokenWrongKey | TokenExpired | TokenNotYetValid => {
            StatusCode::UNAUTHORIZED
        }
        TokenMissingGrant | TokenWrongRoom | NotAParty | NotAMember => StatusCode::FORBIDDEN,
        CallNotFound | UserUnknown | GroupUnknown => StatusCode::NOT_FOUND,
        NotYetAccepted | AlreadyEnded | NotAllowedInState | BusySelf | AlreadyJoined => StatusCode::CONFLICT,
        TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        StoreFailed | ServerUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        InvalidArgument | Malformed | CallingSelf => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
