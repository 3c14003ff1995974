//! Errors as HTTP tells them: a fitting status, and `{"error": {"code", "message"}}`.

use crate::base::{Error, ErrorCode};
use crate::ringing::wire::WireError;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

pub(super) struct HttpError {
    status: StatusCode,
    error: Error,
}

impl HttpError {
    /// For what HTTP tells apart and the list of codes does not.
    pub(super) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { status, error: Error::new(code, message) }
    }
}

impl From<Error> for HttpError {
    fn from(error: Error) -> Self {
        Self { status: status_of(error.code()), error }
    }
}

impl From<ErrorCode> for HttpError {
    fn from(code: ErrorCode) -> Self {
        Error::from(code).into()
    }
}

impl From<QueryRejection> for HttpError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidArgument, rejection.body_text())
    }
}

impl From<PathRejection> for HttpError {
    fn from(rejection: PathRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidArgument, rejection.body_text())
    }
}

impl From<JsonRejection> for HttpError {
    fn from(rejection: JsonRejection) -> Self {
        let (status, code) = match (&rejection, rejection.status()) {
            (JsonRejection::MissingJsonContentType(_), status) => (status, ErrorCode::Malformed),
            (_, status @ StatusCode::PAYLOAD_TOO_LARGE) => (status, ErrorCode::TooLarge),
            (JsonRejection::JsonDataError(_), _) => (StatusCode::BAD_REQUEST, ErrorCode::InvalidArgument),
            _ => (StatusCode::BAD_REQUEST, ErrorCode::Malformed),
        };
        Self::new(status, code, rejection.body_text())
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": WireError::from(self.error) });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            StatusCode::TOO_MANY_REQUESTS => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1")),
            _ => None,
        };
        response
    }
}

fn status_of(code: ErrorCode) -> StatusCode {
    use ErrorCode::*;
    match code {
        TokenMissing | TokenMalformed | TokenAlgorithm | TokenWrongKey | TokenExpired | TokenNotYetValid => {
            StatusCode::UNAUTHORIZED
        }
        TokenMissingGrant | TokenWrongRoom | NotAParty | NotAMember | UserRemoved => StatusCode::FORBIDDEN,
        CallNotFound | UserUnknown | GroupUnknown => StatusCode::NOT_FOUND,
        NotYetAccepted | AlreadyEnded | NotAllowedInState | BusySelf | AlreadyJoined => StatusCode::CONFLICT,
        TimedOut => StatusCode::REQUEST_TIMEOUT,
        TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        StoreFailed | ServerUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        InvalidArgument | Malformed | CallingSelf => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
