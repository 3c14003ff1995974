//! What a request brings: whose token it bears, and its path, query and body, each refused as JSON when it does not fit.

use super::error::HttpError;
use crate::base::{Error, ErrorCode, Result, Uid, UnixMillis};
use crate::identity::{AdminToken, UserToken};
use crate::server::api::Api;
use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Whose token a request bears.
pub(super) enum Caller {
    User(Uid),
    Admin,
}

/// The bearer of an admin token: what it was made for.
pub(super) struct Admin(pub(super) String);

pub(super) struct PathOf<T>(pub(super) T);
pub(super) struct QueryOf<T>(pub(super) T);
pub(super) struct JsonOf<T>(pub(super) T);

impl Caller {
    /// Whose calls may be seen; `None` for all.
    pub(super) fn uid(&self) -> Option<&Uid> {
        match self {
            Self::User(uid) => Some(uid),
            Self::Admin => None,
        }
    }

    /// Errors: `token_missing_grant`.
    pub(super) fn must_be(&self, uid: &Uid) -> Result<()> {
        match self {
            Self::User(caller) if caller != uid => {
                Err(Error::new(ErrorCode::TokenMissingGrant, "a user token reads only its own user"))
            }
            _ => Ok(()),
        }
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = HttpError;

    /// Errors: every `token_*` code but `token_wrong_room`, `user_removed`, `too_many_requests`.
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, HttpError> {
        let token = bearer(parts);
        let now = UnixMillis::now();
        match UserToken::verify(&api.keys, token, now) {
            Ok(user) => {
                api.rates.user(&user.uid)?;
                if api.store.is_removed(&user.uid).await? {
                    return Err(ErrorCode::UserRemoved.into());
                }
                Ok(Self::User(user.uid))
            }
            Err(error) if error.code() == ErrorCode::TokenMissingGrant => {
                AdminToken::verify(&api.keys, token, now).map(|_| Self::Admin).map_err(|_| {
                    let text = "this is neither a user token nor an admin token";
                    Error::new(ErrorCode::TokenMissingGrant, text).into()
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl FromRequestParts<Api> for Admin {
    type Rejection = HttpError;

    /// Errors: every `token_*` code but `token_wrong_room`.
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, HttpError> {
        Ok(Self(AdminToken::verify(&api.keys, bearer(parts), UnixMillis::now())?.name))
    }
}

fn bearer(parts: &Parts) -> &str {
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    header.strip_prefix("Bearer ").unwrap_or_default()
}

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for PathOf<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, HttpError> {
        let Path(value) = Path::from_request_parts(parts, api).await?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned> FromRequestParts<Api> for QueryOf<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, HttpError> {
        let Query(value) = Query::from_request_parts(parts, api).await?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned> FromRequest<Api> for JsonOf<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, HttpError> {
        // An object, and not an array of what its fields would be, which serde takes for one too.
        let Json(fields) = Json::<Map<String, Value>>::from_request(request, api).await?;
        let value = serde_json::from_value(Value::Object(fields));
        value.map(Self).map_err(|e| Error::new(ErrorCode::InvalidArgument, e.to_string()).into())
    }
}
