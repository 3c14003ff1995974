//! Users, groups and their members as SQL.

use super::failed;
use super::log::bigint;
use super::sqlite::{read_group, read_user};
use crate::base::{Error, ErrorCode, GroupId, Result, Uid, UnixMillis};
use crate::ringing::{Group, User};
use sqlx::{SqlitePool, query};

/// What becomes of each field: `None` leaves it, `Some(None)` removes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct ProfileChange {
    pub(in crate::server) name: Option<Option<String>>,
    pub(in crate::server) avatar: Option<Option<String>>,
    pub(in crate::server) metadata: Option<Option<serde_json::Value>>,
}

pub(super) async fn is_removed(pool: &SqlitePool, uid: &Uid) -> Result<bool> {
    let row = query("SELECT 1 FROM users WHERE uid = $1 AND removed_at IS NOT NULL")
        .bind(uid.as_str())
        .fetch_optional(pool)
        .await
        .map_err(|e| failed("reading a user", e))?;
    Ok(row.is_some())
}

pub(super) async fn users(pool: &SqlitePool, after: Option<&Uid>, limit: usize) -> Result<Vec<User>> {
    let rows = query(
        "SELECT uid, name, avatar, metadata FROM users WHERE uid > $1 AND removed_at IS NULL ORDER BY uid LIMIT $2",
    )
    .bind(after.map_or("", Uid::as_str))
    .bind(limit as i64)
    .fetch_all(pool)
    .await
    .map_err(|e| failed("reading users", e))?;
    rows.iter().map(read_user).collect()
}

/// Whether the user is new, or was removed before.
pub(super) async fn put_user(writer: &SqlitePool, user: &User, now: UnixMillis) -> Result<bool> {
    let doing = "storing a user";
    let mut transaction = writer.begin().await.map_err(|e| failed(doing, e))?;
    let known = query("SELECT 1 FROM users WHERE uid = $1 AND removed_at IS NULL")
        .bind(user.uid.as_str())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(|e| failed(doing, e))?;
    query(
        "INSERT INTO users (uid, name, avatar, metadata, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (uid) DO UPDATE SET name = excluded.name, avatar = excluded.avatar,
                                         metadata = excluded.metadata, removed_at = NULL",
    )
    .bind(user.uid.as_str())
    .bind(&user.name)
    .bind(&user.avatar)
    .bind(json(user.metadata.as_ref()))
    .bind(bigint(now))
    .execute(&mut *transaction)
    .await
    .map_err(|e| failed(doing, e))?;
    transaction.commit().await.map_err(|e| failed(doing, e))?;
    Ok(known.is_none())
}

pub(super) async fn change_user(writer: &SqlitePool, uid: &Uid, change: &ProfileChange) -> Result<Option<User>> {
    let row = query(
        "UPDATE users SET name = CASE WHEN $2 THEN $3 ELSE name END, avatar = CASE WHEN $4 THEN $5 ELSE avatar END,
                          metadata = CASE WHEN $6 THEN $7 ELSE metadata END
         WHERE uid = $1 AND removed_at IS NULL RETURNING uid, name, avatar, metadata",
    )
    .bind(uid.as_str())
    .bind(change.name.is_some())
    .bind(change.name.clone().flatten())
    .bind(change.avatar.is_some())
    .bind(change.avatar.clone().flatten())
    .bind(change.metadata.is_some())
    .bind(json(change.metadata.as_ref().and_then(Option::as_ref)))
    .fetch_optional(writer)
    .await
    .map_err(|e| failed("changing a user", e))?;
    row.as_ref().map(read_user).transpose()
}

/// What was known of the user is gone, but for its id: its tokens are refused by that.
pub(super) async fn remove_user(writer: &SqlitePool, uid: &Uid, now: UnixMillis) -> Result<bool> {
    let doing = "removing a user";
    let mut transaction = writer.begin().await.map_err(|e| failed(doing, e))?;
    let removed = query(
        "UPDATE users SET removed_at = $2, name = NULL, avatar = NULL, metadata = NULL
         WHERE uid = $1 AND removed_at IS NULL",
    )
    .bind(uid.as_str())
    .bind(bigint(now))
    .execute(&mut *transaction)
    .await
    .map_err(|e| failed(doing, e))?;
    query("DELETE FROM group_members WHERE uid = $1")
        .bind(uid.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(|e| failed(doing, e))?;
    transaction.commit().await.map_err(|e| failed(doing, e))?;
    Ok(removed.rows_affected() > 0)
}

pub(super) async fn groups(
    pool: &SqlitePool,
    member: Option<&Uid>,
    after: Option<&GroupId>,
    limit: usize,
) -> Result<Vec<Group>> {
    let sql = match member {
        None => "SELECT guid, name, avatar, metadata FROM groups WHERE guid > $1 AND $3 IS NULL ORDER BY guid LIMIT $2",
        Some(_) => {
            "SELECT g.guid, g.name, g.avatar, g.metadata FROM group_members m JOIN groups g ON g.guid = m.guid
             WHERE m.guid > $1 AND m.uid = $3 ORDER BY m.guid LIMIT $2"
        }
    };
    let rows = query(sql)
        .bind(after.map_or("", GroupId::as_str))
        .bind(limit as i64)
        .bind(member.map(Uid::as_str))
        .fetch_all(pool)
        .await
        .map_err(|e| failed("reading groups", e))?;
    rows.iter().map(read_group).collect()
}

/// Whether the group is new.
pub(super) async fn put_group(writer: &SqlitePool, group: &Group, now: UnixMillis) -> Result<bool> {
    let doing = "storing a group";
    let mut transaction = writer.begin().await.map_err(|e| failed(doing, e))?;
    let known = query("SELECT 1 FROM groups WHERE guid = $1")
        .bind(group.guid.as_str())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(|e| failed(doing, e))?;
    query(
        "INSERT INTO groups (guid, name, avatar, metadata, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (guid) DO UPDATE SET name = excluded.name, avatar = excluded.avatar,
                                          metadata = excluded.metadata",
    )
    .bind(group.guid.as_str())
    .bind(&group.name)
    .bind(&group.avatar)
    .bind(json(group.metadata.as_ref()))
    .bind(bigint(now))
    .execute(&mut *transaction)
    .await
    .map_err(|e| failed(doing, e))?;
    transaction.commit().await.map_err(|e| failed(doing, e))?;
    Ok(known.is_none())
}

pub(super) async fn change_group(writer: &SqlitePool, guid: &GroupId, change: &ProfileChange) -> Result<Option<Group>> {
    let row = query(
        "UPDATE groups SET name = COALESCE($2, name), avatar = CASE WHEN $3 THEN $4 ELSE avatar END,
                           metadata = CASE WHEN $5 THEN $6 ELSE metadata END
         WHERE guid = $1 RETURNING guid, name, avatar, metadata",
    )
    .bind(guid.as_str())
    .bind(change.name.clone().flatten())
    .bind(change.avatar.is_some())
    .bind(change.avatar.clone().flatten())
    .bind(change.metadata.is_some())
    .bind(json(change.metadata.as_ref().and_then(Option::as_ref)))
    .fetch_optional(writer)
    .await
    .map_err(|e| failed("changing a group", e))?;
    row.as_ref().map(read_group).transpose()
}

pub(super) async fn remove_group(writer: &SqlitePool, guid: &GroupId) -> Result<bool> {
    let removed = query("DELETE FROM groups WHERE guid = $1")
        .bind(guid.as_str())
        .execute(writer)
        .await
        .map_err(|e| failed("removing a group", e))?;
    Ok(removed.rows_affected() > 0)
}

pub(super) async fn members(pool: &SqlitePool, guid: &GroupId, after: Option<&Uid>, limit: usize) -> Result<Vec<User>> {
    let rows = query(
        "SELECT u.uid, u.name, u.avatar, u.metadata FROM group_members m JOIN users u ON u.uid = m.uid
         WHERE m.guid = $1 AND m.uid > $2 ORDER BY m.uid LIMIT $3",
    )
    .bind(guid.as_str())
    .bind(after.map_or("", Uid::as_str))
    .bind(limit as i64)
    .fetch_all(pool)
    .await
    .map_err(|e| failed("reading a group's members", e))?;
    rows.iter().map(read_user).collect()
}

pub(super) async fn is_member(pool: &SqlitePool, guid: &GroupId, uid: &Uid) -> Result<bool> {
    let row = query("SELECT 1 FROM group_members WHERE guid = $1 AND uid = $2")
        .bind(guid.as_str())
        .bind(uid.as_str())
        .fetch_optional(pool)
        .await
        .map_err(|e| failed("reading a group's members", e))?;
    Ok(row.is_some())
}

/// Whether it was not in it before. The checks and the change are one transaction: the group never grows over `most`.
pub(super) async fn add_member(
    writer: &SqlitePool,
    guid: &GroupId,
    uid: &Uid,
    most: usize,
    now: UnixMillis,
) -> Result<bool> {
    let doing = "adding a member";
    let mut transaction = writer.begin().await.map_err(|e| failed(doing, e))?;
    let (group, user, member, count): (bool, bool, bool, i64) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM groups WHERE guid = $1),
                EXISTS (SELECT 1 FROM users WHERE uid = $2 AND removed_at IS NULL),
                EXISTS (SELECT 1 FROM group_members WHERE guid = $1 AND uid = $2),
                (SELECT COUNT(*) FROM group_members WHERE guid = $1)",
    )
    .bind(guid.as_str())
    .bind(uid.as_str())
    .fetch_one(&mut *transaction)
    .await
    .map_err(|e| failed(doing, e))?;
    if !group {
        return Err(ErrorCode::GroupUnknown.into());
    }
    if !user {
        return Err(ErrorCode::UserUnknown.into());
    }
    if member {
        return Ok(false);
    }
    if usize::try_from(count).is_ok_and(|count| count >= most) {
        return Err(Error::new(ErrorCode::TooLarge, format!("the group has {count} members, as many as may be")));
    }
    query("INSERT INTO group_members (guid, uid, added_at) VALUES ($1, $2, $3)")
        .bind(guid.as_str())
        .bind(uid.as_str())
        .bind(bigint(now))
        .execute(&mut *transaction)
        .await
        .map_err(|e| failed(doing, e))?;
    transaction.commit().await.map_err(|e| failed(doing, e))?;
    Ok(true)
}

pub(super) async fn remove_member(writer: &SqlitePool, guid: &GroupId, uid: &Uid) -> Result<bool> {
    let removed = query("DELETE FROM group_members WHERE guid = $1 AND uid = $2")
        .bind(guid.as_str())
        .bind(uid.as_str())
        .execute(writer)
        .await
        .map_err(|e| failed("removing a member", e))?;
    Ok(removed.rows_affected() > 0)
}

fn json(metadata: Option<&serde_json::Value>) -> Option<String> {
    metadata.map(|value| value.to_string())
}
