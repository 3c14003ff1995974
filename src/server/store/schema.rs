//! The tables, and the steps from one version of them to the next.

use sqlx::{Row, Sqlite, Transaction};

/// Step n takes the tables from version n to n + 1. A released step is never edited; new ones are added.
const STEPS: &[&[&str]] = &[CALLS, GROUPS, WEBHOOKS];

const CALLS: &[&str] = &[
    "CREATE TABLE users (
        uid TEXT PRIMARY KEY,
        name TEXT,
        avatar TEXT,
        created_at BIGINT NOT NULL
    )",
    // What is filtered by has a column; the rest is in the record, as JSON.
    "CREATE TABLE calls (
        session_id TEXT PRIMARY KEY,
        initiated_at BIGINT NOT NULL,
        ended_at BIGINT,
        call_type TEXT NOT NULL,
        category TEXT NOT NULL,
        status TEXT NOT NULL,
        record TEXT NOT NULL
    )",
    "CREATE INDEX calls_by_end ON calls (ended_at)",
    "CREATE INDEX calls_by_time ON calls (initiated_at, session_id)",
    // One row for each party: its log.
    "CREATE TABLE call_parties (
        session_id TEXT NOT NULL REFERENCES calls (session_id),
        uid TEXT NOT NULL,
        direction TEXT NOT NULL,
        initiated_at BIGINT NOT NULL,
        PRIMARY KEY (session_id, uid)
    )",
    "CREATE INDEX call_parties_by_time ON call_parties (uid, initiated_at, session_id)",
];

const GROUPS: &[&str] = &[
    // JSON.
    "ALTER TABLE users ADD COLUMN metadata TEXT",
    "CREATE TABLE groups (
        guid TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        avatar TEXT,
        metadata TEXT,
        created_at BIGINT NOT NULL
    )",
    "CREATE TABLE group_members (
        guid TEXT NOT NULL REFERENCES groups (guid) ON DELETE CASCADE,
        uid TEXT NOT NULL REFERENCES users (uid) ON DELETE CASCADE,
        added_at BIGINT NOT NULL,
        PRIMARY KEY (guid, uid)
    )",
    "CREATE INDEX group_members_by_user ON group_members (uid, guid)",
];

const WEBHOOKS: &[&str] = &[
    // What is still to be delivered. Delivered rows are taken out.
    "CREATE TABLE webhook_outbox (
        seq BIGINT PRIMARY KEY,
        target BIGINT NOT NULL,
        lane TEXT NOT NULL,
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        at BIGINT NOT NULL,
        expires_at BIGINT,
        body TEXT NOT NULL
    )",
    "CREATE INDEX webhook_outbox_by_target ON webhook_outbox (target, seq)",
];

/// Brings the tables to the newest version, in the transaction of the caller.
pub(super) async fn migrate(transaction: &mut Transaction<'_, Sqlite>) -> Result<(), sqlx::Error> {
    sqlx::query("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
        .execute(&mut **transaction)
        .await?;
    let row = sqlx::query("SELECT MAX(version) FROM schema_version").fetch_one(&mut **transaction).await?;
    let version: i64 = row.try_get::<Option<i64>, _>(0)?.unwrap_or(0);
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if done > STEPS.len() {
        let text = format!("its tables are of version {version}, from a newer Trill than this one");
        return Err(sqlx::Error::Configuration(text.into()));
    }
    for (step, statements) in STEPS.iter().enumerate().skip(done) {
        for statement in *statements {
            sqlx::query(*statement).execute(&mut **transaction).await?;
        }
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind(step as i64 + 1)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}
