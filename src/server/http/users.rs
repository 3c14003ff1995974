//! Users, for the server's owner; and a user's own profile, for itself.

use super::carried_out::carried_out;
use super::error::HttpError;
use super::input::{Admin, Caller, JsonOf, PathOf, QueryOf};
use super::pages::{PageQuery, next_of};
use super::profile::{Profile, ProfilePatch};
use crate::base::{ErrorCode, Uid, UnixMillis};
use crate::ringing::User;
use crate::server::api::Api;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
pub(super) struct UserPage {
    users: Vec<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Uid>,
}

pub(super) async fn list(
    State(api): State<Api>,
    _: Admin,
    QueryOf(query): QueryOf<PageQuery<Uid>>,
) -> Result<Json<UserPage>, HttpError> {
    let limit = query.limit()?;
    let mut users = api.store.users(query.after.as_ref(), limit + 1).await?;
    let next = next_of(&mut users, limit, |user| user.uid.clone());
    Ok(Json(UserPage { users, next }))
}

pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    PathOf(uid): PathOf<Uid>,
) -> Result<Json<User>, HttpError> {
    caller.must_be(&uid)?;
    Ok(Json(api.store.user(&uid).await?.ok_or(ErrorCode::UserUnknown)?))
}

/// Creates the user, or replaces its profile. One that was deleted may log in again from then on.
pub(super) async fn put(
    State(api): State<Api>,
    Admin(by): Admin,
    PathOf(uid): PathOf<Uid>,
    JsonOf(profile): JsonOf<Profile>,
) -> Result<(StatusCode, Json<User>), HttpError> {
    profile.check(api.limits.metadata_size)?;
    let metadata = profile.metadata.map(Value::Object);
    let user = User { uid, name: profile.name, avatar: profile.avatar, metadata };
    let created = api.store.put_user(&user, UnixMillis::now()).await?;
    tracing::info!(%by, uid = %user.uid, created, "user put");
    Ok((if created { StatusCode::CREATED } else { StatusCode::OK }, Json(user)))
}

pub(super) async fn patch(
    State(api): State<Api>,
    Admin(by): Admin,
    PathOf(uid): PathOf<Uid>,
    JsonOf(patch): JsonOf<ProfilePatch>,
) -> Result<Json<User>, HttpError> {
    let change = patch.change(api.limits.metadata_size)?;
    let user = api.store.change_user(&uid, &change).await?.ok_or(ErrorCode::UserUnknown)?;
    tracing::info!(%by, %uid, "user changed");
    Ok(Json(user))
}

/// The user is out of its groups and calls, and its devices are logged out, when this is answered.
pub(super) async fn delete(
    State(api): State<Api>,
    Admin(by): Admin,
    PathOf(uid): PathOf<Uid>,
) -> Result<StatusCode, HttpError> {
    carried_out(async move {
        if !api.store.remove_user(&uid, UnixMillis::now()).await? {
            return Err(ErrorCode::UserUnknown.into());
        }
        tracing::info!(%by, %uid, "user removed");
        api.ringing.remove_user(uid).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
