//! The call log, one call, and the token for its session.

use super::error::HttpError;
use super::input::{Caller, PathOf, QueryOf};
use super::own_url;
use crate::base::{Error, ErrorCode, GroupId, Result, SessionId, Uid, UnixMillis};
use crate::ringing::wire::SessionAccess;
use crate::ringing::{Call, CallStatus, CallType, Category, Direction, LogFilter, LogPage};
use crate::server::api::{Api, mint_session_token};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;

/// The largest integer that every JSON reader holds exactly (RFC 8259, section 6).
const MAX_TIME: u64 = (1 << 53) - 1;

/// [`LogFilter`] in a URL. Over HTTP a field that does not exist is refused: it is a slip of the pen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallsQuery {
    limit: Option<u32>,
    #[serde(rename = "type")]
    call_type: Option<CallType>,
    status: Option<CallStatus>,
    direction: Option<Direction>,
    category: Option<Category>,
    uid: Option<Uid>,
    guid: Option<GroupId>,
    recording: Option<bool>,
    since: Option<UnixMillis>,
    until: Option<UnixMillis>,
    cursor: Option<String>,
}

impl CallsQuery {
    fn filter(self) -> Result<LogFilter> {
        if [self.since, self.until].into_iter().flatten().any(|time| time.0 > MAX_TIME) {
            return Err(Error::new(ErrorCode::InvalidArgument, "since and until are in ms, and at most 2^53 - 1"));
        }
        Ok(LogFilter {
            limit: self.limit,
            call_type: self.call_type,
            status: self.status,
            direction: self.direction,
            category: self.category,
            uid: self.uid,
            guid: self.guid,
            recording: self.recording,
            since: self.since,
            until: self.until,
            cursor: self.cursor,
        })
    }
}

pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    QueryOf(query): QueryOf<CallsQuery>,
) -> Result<Json<LogPage>, HttpError> {
    Ok(Json(api.store.log(caller.uid(), &query.filter()?).await?))
}

pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    PathOf(session): PathOf<SessionId>,
) -> Result<Json<Call>, HttpError> {
    Ok(Json(api.call(&session, caller.uid()).await?))
}

pub(super) async fn session_token(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    PathOf(session): PathOf<SessionId>,
) -> Result<Json<SessionAccess>, HttpError> {
    let uid = caller.uid().ok_or_else(|| {
        Error::new(ErrorCode::NotAParty, "an owner is not a party to calls; use `trill token` or the user's token")
    })?;
    let call = api.call(&session, Some(uid)).await?;
    Ok(Json(mint_session_token(&api, &call, uid, None, own_url(&headers).as_deref()).await?))
}
