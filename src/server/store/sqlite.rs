//! The embedded store: one SQLite file.

use super::class::class_of;
use super::log::{bigint, page, record};
use super::{ProfileChange, Store, directory, failed, outbox, schema};
use crate::base::{ErrorCode, GroupId, Result, SessionId, Uid, UnixMillis};
use crate::ringing::service::CallRecord;
use crate::ringing::{Direction, Group, LogFilter, LogPage, ReceiverType, User};
use crate::server::webhook::OutboxEntry;
use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Row, Sqlite, SqlitePool, Transaction};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a change waits for another program that holds the file, before it fails with `store_failed`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections that read. They never wait for the one that writes (WAL).
const READERS: u32 = 4;

pub(in crate::server) struct SqliteStore {
    /// One connection: SQLite has one writer at a time, and waiting in our own queue is fair.
    writer: SqlitePool,
    readers: SqlitePool,
    /// The place of the next notice in the outbox. It only grows while the store is open: who reads the outbox goes by it.
    next_seq: AtomicI64,
    /// Held while the store is open. The system lets go of it when the process ends, however it ends.
    lock: Mutex<Option<File>>,
}

impl SqliteStore {
    /// Opens the file, makes it if it is not there, and brings its tables up to date.
    ///
    /// Errors: `store_failed`, also when another server has it open: both would act for the same calls.
    pub(in crate::server) async fn open(path: &Path) -> Result<Self> {
        let doing = format!("opening {}", path.display());
        let lock = Mutex::new(Some(lock(path).map_err(|e| failed(&doing, e))?));
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: a commit that was answered is on disk, also when the machine loses power.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |max| SqlitePoolOptions::new().max_connections(max).acquire_timeout(BUSY_TIMEOUT * 3);
        let writer = pool(1).connect_with(options.clone()).await.map_err(|e| failed(&doing, e))?;
        let mut transaction = writer.begin().await.map_err(|e| failed(&doing, e))?;
        schema::migrate(&mut transaction).await.map_err(|e| failed(&doing, e))?;
        transaction.commit().await.map_err(|e| failed(&doing, e))?;
        let next_seq = AtomicI64::new(outbox::last(&writer).await? + 1);
        let readers = pool(READERS).connect_with(options).await.map_err(|e| failed(&doing, e))?;
        Ok(Self { writer, readers, next_seq, lock })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn upsert_user(&self, user: User, now: UnixMillis) -> Result<User> {
        // Most logins change nothing, and then nothing is written: a server's restart is not a storm of writes.
        if let Some(stored) = self.user(&user.uid).await? {
            let same = |new: &Option<String>, old: &Option<String>| new.is_none() || new == old;
            if same(&user.name, &stored.name) && same(&user.avatar, &stored.avatar) && user.metadata.is_none() {
                return Ok(stored);
            }
        }
        let row = sqlx::query(
            "INSERT INTO users (uid, name, avatar, metadata, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (uid) DO UPDATE SET name = COALESCE(excluded.name, users.name),
                                             avatar = COALESCE(excluded.avatar, users.avatar),
                                             metadata = COALESCE(excluded.metadata, users.metadata)
             WHERE users.removed_at IS NULL
             RETURNING uid, name, avatar, metadata",
        )
        .bind(user.uid.as_str())
        .bind(&user.name)
        .bind(&user.avatar)
        .bind(user.metadata.as_ref().map(|json| json.to_string()))
        .bind(bigint(now))
        .fetch_optional(&self.writer)
        .await
        .map_err(|e| failed("storing a user", e))?;
        read_user(&row.ok_or(ErrorCode::UserRemoved)?)
    }

    async fn user(&self, uid: &Uid) -> Result<Option<User>> {
        let row = sqlx::query("SELECT uid, name, avatar, metadata FROM users WHERE uid = $1 AND removed_at IS NULL")
            .bind(uid.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| failed("reading a user", e))?;
        row.as_ref().map(read_user).transpose()
    }

    async fn group(&self, guid: &GroupId) -> Result<Option<Group>> {
        let row = sqlx::query("SELECT guid, name, avatar, metadata FROM groups WHERE guid = $1")
            .bind(guid.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| failed("reading a group", e))?;
        row.as_ref().map(read_group).transpose()
    }

    async fn group_members(&self, guid: &GroupId) -> Result<Vec<User>> {
        let rows = sqlx::query(
            "SELECT u.uid, u.name, u.avatar, u.metadata FROM group_members m JOIN users u ON u.uid = m.uid
             WHERE m.guid = $1 ORDER BY u.uid",
        )
        .bind(guid.as_str())
        .fetch_all(&self.readers)
        .await
        .map_err(|e| failed("reading a group's members", e))?;
        rows.iter().map(read_user).collect()
    }

    async fn is_removed(&self, uid: &Uid) -> Result<bool> {
        directory::is_removed(&self.readers, uid).await
    }

    async fn users(&self, after: Option<&Uid>, limit: usize) -> Result<Vec<User>> {
        directory::users(&self.readers, after, limit).await
    }

    async fn put_user(&self, user: &User, now: UnixMillis) -> Result<bool> {
        directory::put_user(&self.writer, user, now).await
    }

    async fn change_user(&self, uid: &Uid, change: &ProfileChange) -> Result<Option<User>> {
        directory::change_user(&self.writer, uid, change).await
    }

    async fn remove_user(&self, uid: &Uid, now: UnixMillis) -> Result<bool> {
        directory::remove_user(&self.writer, uid, now).await
    }

    async fn groups(&self, member: Option<&Uid>, after: Option<&GroupId>, limit: usize) -> Result<Vec<Group>> {
        directory::groups(&self.readers, member, after, limit).await
    }

    async fn put_group(&self, group: &Group, now: UnixMillis) -> Result<bool> {
        directory::put_group(&self.writer, group, now).await
    }

    async fn change_group(&self, guid: &GroupId, change: &ProfileChange) -> Result<Option<Group>> {
        directory::change_group(&self.writer, guid, change).await
    }

    async fn remove_group(&self, guid: &GroupId) -> Result<bool> {
        directory::remove_group(&self.writer, guid).await
    }

    async fn members(&self, guid: &GroupId, after: Option<&Uid>, limit: usize) -> Result<Vec<User>> {
        directory::members(&self.readers, guid, after, limit).await
    }

    async fn is_member(&self, guid: &GroupId, uid: &Uid) -> Result<bool> {
        directory::is_member(&self.readers, guid, uid).await
    }

    async fn add_member(&self, guid: &GroupId, uid: &Uid, most: usize, now: UnixMillis) -> Result<bool> {
        directory::add_member(&self.writer, guid, uid, most, now).await
    }

    async fn remove_member(&self, guid: &GroupId, uid: &Uid) -> Result<bool> {
        directory::remove_member(&self.writer, guid, uid).await
    }

    async fn save(&self, records: &[&CallRecord], notices: &[OutboxEntry]) -> Result<()> {
        let doing = "storing calls";
        let mut transaction = self.writer.begin().await.map_err(|e| failed(doing, e))?;
        for record in records {
            save_one(&mut transaction, record).await.map_err(|e| failed(doing, e))?;
        }
        for notice in notices {
            let seq = self.next_seq.fetch_add(1, Ordering::Relaxed);
            outbox::insert(&mut transaction, seq, notice).await.map_err(|e| failed(doing, e))?;
        }
        transaction.commit().await.map_err(|e| failed(doing, e))
    }

    async fn outbox(&self, target: i64, after: i64, limit: usize) -> Result<Vec<OutboxEntry>> {
        outbox::read(&self.readers, target, after, limit).await
    }

    async fn outbox_len(&self) -> Result<i64> {
        outbox::len(&self.readers).await
    }

    async fn remove_from_outbox(&self, seqs: &[i64]) -> Result<()> {
        outbox::remove(&self.writer, seqs).await
    }

    async fn drop_outbox_from(&self, target: i64) -> Result<u64> {
        outbox::drop_from(&self.writer, target).await
    }

    async fn recent(&self, ended_since: UnixMillis) -> Result<Vec<CallRecord>> {
        let rows = sqlx::query("SELECT record FROM calls WHERE ended_at IS NULL OR ended_at >= $1")
            .bind(bigint(ended_since))
            .fetch_all(&self.readers)
            .await
            .map_err(|e| failed("reading the recent calls", e))?;
        rows.iter().map(read_record).collect()
    }

    async fn call(&self, session: &SessionId) -> Result<Option<CallRecord>> {
        let row = sqlx::query("SELECT record FROM calls WHERE session_id = $1")
            .bind(session.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| failed("reading a call", e))?;
        row.as_ref().map(read_record).transpose()
    }

    async fn log(&self, party: Option<&Uid>, filter: &LogFilter) -> Result<LogPage> {
        page(&self.readers, party, filter).await
    }

    async fn forget_calls(&self, ended_before: UnixMillis, limit: u32) -> Result<u64> {
        let doing = "removing old calls";
        let mut transaction = self.writer.begin().await.map_err(|e| failed(doing, e))?;
        let mut removed = 0;
        for sql in [
            "DELETE FROM call_parties WHERE session_id IN
                (SELECT session_id FROM calls WHERE ended_at < $1 ORDER BY ended_at, session_id LIMIT $2)",
            "DELETE FROM calls WHERE session_id IN
                (SELECT session_id FROM calls WHERE ended_at < $1 ORDER BY ended_at, session_id LIMIT $2)",
        ] {
            let query = sqlx::query(sql).bind(bigint(ended_before)).bind(i64::from(limit));
            removed = query.execute(&mut *transaction).await.map_err(|e| failed(doing, e))?.rows_affected();
        }
        transaction.commit().await.map_err(|e| failed(doing, e))?;
        Ok(removed)
    }

    async fn ping(&self) -> Result<()> {
        let read = sqlx::query("SELECT 1 FROM calls LIMIT 1").fetch_optional(&self.readers).await;
        read.map(drop).map_err(|e| failed("checking it", e))
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Takes the lock file beside the database for this process.
fn lock(path: &Path) -> std::io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let file = File::options().create(true).write(true).truncate(false).open(name)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(std::io::Error::other("another server has it open; end that one, or choose another database"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

async fn save_one(transaction: &mut Transaction<'_, Sqlite>, record: &CallRecord) -> Result<(), sqlx::Error> {
    let call = &record.call;
    let json = serde_json::to_string(record).map_err(|e| sqlx::Error::Encode(Box::new(e)))?;
    let guid = (call.receiver_type == ReceiverType::Group).then_some(call.receiver.id.as_str());
    // What is filtered by has a column; the rest is in the record.
    sqlx::query(
        "INSERT INTO calls (session_id, initiated_at, ended_at, class, guid, record) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (session_id) DO UPDATE SET ended_at = excluded.ended_at, class = excluded.class,
                                                record = excluded.record",
    )
    .bind(call.session_id.as_str())
    .bind(bigint(call.initiated_at))
    .bind(call.ended_at.map(bigint))
    .bind(class_of(call, Direction::Outgoing))
    .bind(guid)
    .bind(json)
    .execute(&mut **transaction)
    .await?;
    for participant in &call.participants {
        let outgoing = call.is_initiator(&participant.uid);
        let direction = if outgoing { Direction::Outgoing } else { Direction::Incoming };
        let peer = match (outgoing, guid) {
            (true, Some(_)) => None,
            (true, None) => Some(call.receiver.id.as_str()),
            (false, _) => Some(call.initiator.uid.as_str()),
        };
        sqlx::query(
            "INSERT INTO call_parties (session_id, uid, initiated_at, class, peer, guid)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (session_id, uid) DO UPDATE SET class = excluded.class
             WHERE call_parties.class <> excluded.class",
        )
        .bind(call.session_id.as_str())
        .bind(participant.uid.as_str())
        .bind(bigint(call.initiated_at))
        .bind(class_of(call, direction))
        .bind(peer)
        .bind(guid)
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

pub(super) fn read_user(row: &SqliteRow) -> Result<User> {
    let doing = "reading a user";
    let (uid, name, avatar, metadata) = read_profile::<Option<String>>(row).map_err(|e| failed(doing, e))?;
    Ok(User { uid: Uid::new(uid).map_err(|e| failed(doing, e))?, name, avatar, metadata })
}

pub(super) fn read_group(row: &SqliteRow) -> Result<Group> {
    let doing = "reading a group";
    let (guid, name, avatar, metadata) = read_profile::<String>(row).map_err(|e| failed(doing, e))?;
    Ok(Group { guid: GroupId::new(guid).map_err(|e| failed(doing, e))?, name, avatar, metadata })
}

/// Id, name, avatar and metadata, in this order.
fn read_profile<'r, N>(row: &'r SqliteRow) -> Result<Profile<N>, sqlx::Error>
where
    N: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    let metadata = row.try_get::<Option<&str>, _>(3)?.map(serde_json::from_str).transpose();
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, metadata.map_err(|e| sqlx::Error::Decode(Box::new(e)))?))
}

type Profile<N> = (String, N, Option<String>, Option<serde_json::Value>);

fn read_record(row: &SqliteRow) -> Result<CallRecord> {
    let text: String = row.try_get(0).map_err(|e| failed("reading a call", e))?;
    record(&text)
}
