//! The tables, and the steps from one version of them to the next.

use sqlx::{Row, Sqlite, Transaction};

/// Step n takes the tables from version n to n + 1. A released step is never edited; new ones are added.
const STEPS: &[&[&str]] = &[CALLS, GROUPS, WEBHOOKS, CLASSES, REMOVED];

pub(super) const CALLS: &[&str] = &[
    "CREATE TABLE users (
        uid TEXT PRIMARY KEY,
        name TEXT,
        avatar TEXT,
        created_at BIGINT NOT NULL
    )",
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

/// What the log is filtered by becomes one number (`class.rs`), so that each filter has an index in the order of time.
const CLASSES: &[&str] = &[
    "ALTER TABLE calls ADD COLUMN class BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE calls ADD COLUMN guid TEXT",
    "UPDATE calls SET class = 8 * CASE status WHEN 'initiated' THEN 0 WHEN 'ongoing' THEN 1 WHEN 'ended' THEN 2
            WHEN 'rejected' THEN 3 WHEN 'busy' THEN 4 WHEN 'cancelled' THEN 5 WHEN 'unanswered' THEN 6 ELSE 7 END
        + CASE call_type WHEN 'VIDEO' THEN 4 ELSE 0 END + CASE category WHEN 'meet' THEN 2 ELSE 0 END",
    "ALTER TABLE call_parties ADD COLUMN class BIGINT NOT NULL DEFAULT 0",
    // Whom this party called, or who called it; absent when it called a group.
    "ALTER TABLE call_parties ADD COLUMN peer TEXT",
    "ALTER TABLE call_parties ADD COLUMN guid TEXT",
    // Until now every call was between two users.
    "UPDATE call_parties SET
        class = (SELECT c.class FROM calls c WHERE c.session_id = call_parties.session_id)
            + CASE direction WHEN 'incoming' THEN 1 ELSE 0 END,
        peer = (SELECT MIN(o.uid) FROM call_parties o
                WHERE o.session_id = call_parties.session_id AND o.uid <> call_parties.uid)",
    "ALTER TABLE calls DROP COLUMN call_type",
    "ALTER TABLE calls DROP COLUMN category",
    "ALTER TABLE calls DROP COLUMN status",
    "ALTER TABLE call_parties DROP COLUMN direction",
    "CREATE INDEX calls_by_class ON calls (class, initiated_at, session_id)",
    "CREATE INDEX calls_by_group ON calls (guid, class, initiated_at, session_id) WHERE guid IS NOT NULL",
    "CREATE INDEX call_parties_by_class ON call_parties (uid, class, initiated_at, session_id)",
    "CREATE INDEX call_parties_by_peer ON call_parties (uid, peer, class, initiated_at, session_id)
        WHERE peer IS NOT NULL",
    "CREATE INDEX call_parties_by_group ON call_parties (uid, guid, class, initiated_at, session_id, peer)
        WHERE guid IS NOT NULL",
];

/// A removed user stays as its id alone, so that its tokens are refused.
const REMOVED: &[&str] = &["ALTER TABLE users ADD COLUMN removed_at BIGINT"];

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
