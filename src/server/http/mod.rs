//! The HTTP side: the WebSocket's door, REST for users, groups and calls, health and metrics.
//!
//! - `serve`, `patient`, `address`: connections, and where they come from.
//! - `input`, `error`: what every handler takes and refuses. `carried_out`: what it finishes though its client hangs up.
//! - `calls`, `users`, `groups` (with `profile`, `pages`): the REST API. `openapi` describes it.

mod address;
mod calls;
mod carried_out;
mod error;
mod groups;
mod input;
mod openapi;
mod pages;
mod patient;
mod profile;
mod serve;
mod users;

pub(super) use serve::serve;

use super::api::Api;
use super::socket;
use crate::base::{Error, ErrorCode, Result};
use address::Peer;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use error::HttpError;

/// Ours and `sessions`, the session server's, under the same limits.
pub(super) fn router(api: Api, sessions: Router) -> Router {
    Router::new()
        .route("/v1/ring", get(ring))
        .route("/v1/calls", get(calls::list))
        .route("/v1/calls/{session}", get(calls::read))
        .route("/v1/calls/{session}/token", post(calls::session_token))
        .route("/v1/users", get(users::list))
        .route("/v1/users/{uid}", get(users::read).put(users::put).patch(users::patch).delete(users::delete))
        .route("/v1/groups", get(groups::list))
        .route("/v1/groups/{guid}", get(groups::read).put(groups::put).patch(groups::patch).delete(groups::delete))
        .route("/v1/groups/{guid}/members", get(groups::members))
        .route("/v1/groups/{guid}/members/{uid}", put(groups::add_member).delete(groups::remove_member))
        .route("/v1/openapi.json", get(openapi::serve))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(no_such_method)
        .fallback(no_such_path)
        .layer(DefaultBodyLimit::max(api.limits.body_size))
        .with_state(api.clone())
        .merge(sessions)
        .layer(from_fn_with_state(api, admit))
        .layer(from_fn(cors))
}

/// What is checked before anything else is done: how often this address asks. And no request takes for ever.
async fn admit(State(api): State<Api>, request: Request, next: Next) -> Result<Response, HttpError> {
    let path = request.uri().path();
    let watching = matches!(path, "/healthz" | "/metrics");
    if let Some(Peer(peer)) = request.extensions().get().copied().filter(|_| !watching) {
        let address = address::client(peer, request.headers(), &api.trusted_proxies);
        let login = path == "/v1/ring" || path == "/rtc" || path.starts_with("/rtc/");
        let admitted = match login {
            true => api.rates.login(address),
            false => api.rates.address(address),
        };
        if let Err(error) = admitted {
            tracing::debug!(%address, %error, "refused");
            return Err(error.into());
        }
    }
    let limit = api.limits.request_timeout;
    tokio::time::timeout(limit, next.run(request)).await.map_err(|_| {
        Error::new(ErrorCode::TimedOut, format!("the request was not complete within {} s", limit.as_secs_f32())).into()
    })
}

async fn ring(State(api): State<Api>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Result<Response, HttpError> {
    if api.metrics.connections() >= i64::try_from(api.limits.connections).unwrap_or(i64::MAX) {
        let text = "as many devices are connected as this server allows; try again later";
        return Err(Error::new(ErrorCode::ServerUnavailable, text).into());
    }
    let open = Open::new(&api);
    let host = own_url(&headers);
    // Somewhat more than the limit is read, so that a message over it is refused with a clear reason.
    let most = api.limits.message_size * 4;
    let upgrade = upgrade.read_buffer_size(socket::READ_BUFFER).max_message_size(most).max_frame_size(most);
    Ok(upgrade.on_upgrade(async move |socket| {
        socket::serve(socket, api, host).await;
        drop(open);
    }))
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

async fn no_such_path() -> HttpError {
    let text = "there is nothing at this path; GET /v1/openapi.json tells what there is";
    HttpError::new(StatusCode::NOT_FOUND, ErrorCode::NotSupported, text)
}

async fn no_such_method() -> HttpError {
    let text = "this path does not take that method; the Allow header tells which it takes";
    HttpError::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::NotSupported, text)
}

/// Browsers of any origin may ask: what counts is the token, which no browser sends by itself.
async fn cors(request: Request, next: Next) -> Response {
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if preflight {
        let methods = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, Content-Type"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }
    response
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
