//! Users, groups and calls, durably. All access goes through [`Store`], with SQL that SQLite and PostgreSQL both run.

mod class;
mod cursor;
mod directory;
mod log;
mod outbox;
mod schema;
mod sqlite;
#[cfg(test)]
pub(super) mod tests;

pub(super) use directory::ProfileChange;
pub(super) use sqlite::SqliteStore;

use super::config::fault;
use super::webhook::OutboxEntry;
use crate::base::{Error, ErrorCode, GroupId, Result, SessionId, Uid, UnixMillis};
use crate::ringing::service::CallRecord;
use crate::ringing::{Group, LogFilter, LogPage, User};
use async_trait::async_trait;
use std::path::PathBuf;

/// Where users and calls are kept. Every method fails with `store_failed` when the store does, and then it changed nothing.
#[async_trait]
pub(super) trait Store: Send + Sync {
    /// Takes note of a user who logs in: what is given replaces what was stored. Returns what is stored now. Errors:
    /// `user_removed` until an owner creates it again.
    async fn upsert_user(&self, user: User, now: UnixMillis) -> Result<User>;

    async fn user(&self, uid: &Uid) -> Result<Option<User>>;

    async fn group(&self, guid: &GroupId) -> Result<Option<Group>>;

    /// In the order of their uids; none when there is no such group.
    async fn group_members(&self, guid: &GroupId) -> Result<Vec<User>>;

    /// An owner removed this user, and has not created it again.
    async fn is_removed(&self, uid: &Uid) -> Result<bool>;

    /// In the order of their uids.
    async fn users(&self, after: Option<&Uid>, limit: usize) -> Result<Vec<User>>;

    /// Creates the user or replaces its profile. Whether it is new.
    async fn put_user(&self, user: &User, now: UnixMillis) -> Result<bool>;

    /// What is stored now; `None` when there is no such user.
    async fn change_user(&self, uid: &Uid, change: &ProfileChange) -> Result<Option<User>>;

    /// Out of its groups too. Whether there was one.
    async fn remove_user(&self, uid: &Uid, now: UnixMillis) -> Result<bool>;

    /// In the order of their guids; of `member`, those it is in.
    async fn groups(&self, member: Option<&Uid>, after: Option<&GroupId>, limit: usize) -> Result<Vec<Group>>;

    /// Creates the group or replaces its profile; its members stay. Whether it is new.
    async fn put_group(&self, group: &Group, now: UnixMillis) -> Result<bool>;

    /// What is stored now; `None` when there is no such group.
    async fn change_group(&self, guid: &GroupId, change: &ProfileChange) -> Result<Option<Group>>;

    /// Whether there was one.
    async fn remove_group(&self, guid: &GroupId) -> Result<bool>;

    /// A page of them, in the order of their uids.
    async fn members(&self, guid: &GroupId, after: Option<&Uid>, limit: usize) -> Result<Vec<User>>;

    async fn is_member(&self, guid: &GroupId, uid: &Uid) -> Result<bool>;

    /// Whether it was not in it before. Errors: `group_unknown`, `user_unknown`, `too_large` for more than `most`.
    async fn add_member(&self, guid: &GroupId, uid: &Uid, most: usize, now: UnixMillis) -> Result<bool>;

    /// Whether it was in it.
    async fn remove_member(&self, guid: &GroupId, uid: &Uid) -> Result<bool>;

    /// All of them, or none. They are on disk when it returns. `notices` are put at the end of the outbox.
    async fn save(&self, records: &[&CallRecord], notices: &[OutboxEntry]) -> Result<()>;

    /// The notices for one URL that stand in the outbox after `after`, oldest first.
    async fn outbox(&self, target: i64, after: i64, limit: usize) -> Result<Vec<OutboxEntry>>;

    /// How many notices are in the outbox.
    async fn outbox_len(&self) -> Result<i64>;

    async fn remove_from_outbox(&self, seqs: &[i64]) -> Result<()>;

    /// Drops the notices for URLs at `target` and after it. Returns how many that were.
    async fn drop_outbox_from(&self, target: i64) -> Result<u64>;

    /// The calls that are not over, and those that ended at or after `ended_since`.
    async fn recent(&self, ended_since: UnixMillis) -> Result<Vec<CallRecord>>;

    async fn call(&self, session: &SessionId) -> Result<Option<CallRecord>>;

    /// One page of the log of `party`, or of everybody. Errors: `invalid_argument` for a bad limit or cursor.
    async fn log(&self, party: Option<&Uid>, filter: &LogFilter) -> Result<LogPage>;

    /// Removes the calls that ended before that time from the log, the oldest first and `limit` at the most. Returns
    /// how many.
    async fn forget_calls(&self, ended_before: UnixMillis, limit: u32) -> Result<u64>;

    /// Fails when the store cannot be read: for health checks.
    async fn ping(&self) -> Result<()>;

    /// Finishes what is under way and closes.
    async fn close(&self);
}

/// A kind of database, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Database {
    Sqlite(PathBuf),
}

impl Database {
    /// A path, or a URL with a scheme. Errors: `configuration` for a scheme that this version does not have.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let path = match text.split_once(':') {
            Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
            Some((scheme, rest)) if rest.starts_with("//") => {
                return Err(fault(format!("database: {scheme} is not supported; give the path of an SQLite file")));
            }
            _ => text,
        };
        if path.is_empty() {
            return Err(fault("database is empty; give the path of an SQLite file"));
        }
        Ok(Self::Sqlite(path.into()))
    }
}

fn failed(doing: &str, error: impl std::fmt::Display) -> Error {
    tracing::error!(%error, doing, "the store failed");
    Error::new(ErrorCode::StoreFailed, format!("the store failed while {doing}: {error}; nothing was changed"))
}
