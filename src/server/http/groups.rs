//! Groups and who is in them: managed by the server's owner, read by their members.

use super::carried_out::carried_out;
use super::error::HttpError;
use super::input::{Admin, Caller, JsonOf, PathOf, QueryOf};
use super::pages::{PageQuery, next_of};
use super::profile::{Profile, ProfilePatch};
use crate::base::{Error, ErrorCode, GroupId, Result, Uid, UnixMillis};
use crate::ringing::{Group, User};
use crate::server::api::Api;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
pub(super) struct GroupPage {
    groups: Vec<Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<GroupId>,
}

#[derive(Serialize)]
pub(super) struct MemberPage {
    members: Vec<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Uid>,
}

/// All groups for the owner; for a user those that it is in.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    QueryOf(query): QueryOf<PageQuery<GroupId>>,
) -> Result<Json<GroupPage>, HttpError> {
    let limit = query.limit()?;
    let mut groups = api.store.groups(caller.uid(), query.after.as_ref(), limit + 1).await?;
    let next = next_of(&mut groups, limit, |group| group.guid.clone());
    let groups = groups.into_iter().map(|group| shown_to(&caller, group)).collect();
    Ok(Json(GroupPage { groups, next }))
}

pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    PathOf(guid): PathOf<GroupId>,
) -> Result<Json<Group>, HttpError> {
    let group = readable(&api, &caller, &guid).await?;
    Ok(Json(shown_to(&caller, group)))
}

/// Creates the group, or replaces its profile; its members stay.
pub(super) async fn put(
    State(api): State<Api>,
    Admin(by): Admin,
    PathOf(guid): PathOf<GroupId>,
    JsonOf(profile): JsonOf<Profile>,
) -> Result<(StatusCode, Json<Group>), HttpError> {
    profile.check(api.limits.metadata_size)?;
    let name = profile.name.ok_or_else(|| Error::new(ErrorCode::InvalidArgument, "a group needs a name"))?;
    let metadata = profile.metadata.map(Value::Object);
    let group = Group { guid, name, avatar: profile.avatar, metadata };
    let created = api.store.put_group(&group, UnixMillis::now()).await?;
    tracing::info!(%by, guid = %group.guid, created, "group put");
    Ok((if created { StatusCode::CREATED } else { StatusCode::OK }, Json(group)))
}

pub(super) async fn patch(
    State(api): State<Api>,
    Admin(by): Admin,
    PathOf(guid): PathOf<GroupId>,
    JsonOf(patch): JsonOf<ProfilePatch>,
) -> Result<Json<Group>, HttpError> {
    let change = patch.change(api.limits.metadata_size)?;
    if change.name == Some(None) {
        return Err(Error::new(ErrorCode::InvalidArgument, "a group needs a name").into());
    }
    let group = api.store.change_group(&guid, &change).await?.ok_or(ErrorCode::GroupUnknown)?;
    tracing::info!(%by, %guid, "group changed");
    Ok(Json(group))
}

/// Its calls are over when this is answered.
pub(super) async fn delete(
    State(api): State<Api>,
    Admin(by): Admin,
    PathOf(guid): PathOf<GroupId>,
) -> Result<StatusCode, HttpError> {
    carried_out(async move {
        if !api.store.remove_group(&guid).await? {
            return Err(ErrorCode::GroupUnknown.into());
        }
        tracing::info!(%by, %guid, "group removed");
        api.ringing.remove_group(guid).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

pub(super) async fn members(
    State(api): State<Api>,
    caller: Caller,
    PathOf(guid): PathOf<GroupId>,
    QueryOf(query): QueryOf<PageQuery<Uid>>,
) -> Result<Json<MemberPage>, HttpError> {
    let limit = query.limit()?;
    readable(&api, &caller, &guid).await?;
    let mut members = api.store.members(&guid, query.after.as_ref(), limit + 1).await?;
    let next = next_of(&mut members, limit, |user| user.uid.clone());
    if caller.uid().is_some() {
        members.iter_mut().for_each(|user| user.metadata = None);
    }
    Ok(Json(MemberPage { members, next }))
}

/// Puts the user into the group; no change if it is in already.
pub(super) async fn add_member(
    State(api): State<Api>,
    Admin(by): Admin,
    PathOf((guid, uid)): PathOf<(GroupId, Uid)>,
) -> Result<StatusCode, HttpError> {
    let user = api.store.user(&uid).await?.ok_or(ErrorCode::UserUnknown)?;
    carried_out(async move {
        if api.store.add_member(&guid, &uid, api.limits.group_size, UnixMillis::now()).await? {
            tracing::info!(%by, %guid, %uid, "member added");
            api.ringing.add_member(guid, user).await?;
        }
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Takes the user out of the group and of its calls; no change if it is not in it.
pub(super) async fn remove_member(
    State(api): State<Api>,
    Admin(by): Admin,
    PathOf((guid, uid)): PathOf<(GroupId, Uid)>,
) -> Result<StatusCode, HttpError> {
    api.store.group(&guid).await?.ok_or(ErrorCode::GroupUnknown)?;
    carried_out(async move {
        if api.store.remove_member(&guid, &uid).await? {
            tracing::info!(%by, %guid, %uid, "member removed");
            api.ringing.remove_member(guid, uid).await?;
        }
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A group as far as the caller may see it at all. Errors: `group_unknown`, `not_a_member`.
async fn readable(api: &Api, caller: &Caller, guid: &GroupId) -> Result<Group> {
    let group = api.store.group(guid).await?.ok_or(ErrorCode::GroupUnknown)?;
    match caller.uid() {
        Some(uid) if !api.store.is_member(guid, uid).await? => {
            Err(Error::new(ErrorCode::NotAMember, "a user token reads only the groups that its user is in"))
        }
        _ => Ok(group),
    }
}

/// The metadata is the owner's own.
fn shown_to(caller: &Caller, group: Group) -> Group {
    match caller {
        Caller::Admin => group,
        Caller::User(_) => Group { metadata: None, ..group },
    }
}
