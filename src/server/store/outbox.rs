//! The outbox of webhooks as SQL: written with the calls, read in order, and emptied as they are delivered.

use super::failed;
use super::log::bigint;
use crate::base::{Result, UnixMillis};
use crate::server::webhook::OutboxEntry;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqlitePool, Transaction};

/// The most rows that one statement takes out: well under the number of parameters that databases allow.
const CHUNK: usize = 500;

/// Puts a notice at its place, in the transaction of the calls that it tells of.
pub(super) async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    seq: i64,
    entry: &OutboxEntry,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO webhook_outbox (seq, target, lane, id, kind, at, expires_at, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(seq)
    .bind(entry.target)
    .bind(&entry.lane)
    .bind(&entry.id)
    .bind(&entry.kind)
    .bind(bigint(entry.at))
    .bind(entry.expires_at.map(bigint))
    .bind(&entry.body)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The notices for one URL that come after `after`, oldest first.
pub(super) async fn read(pool: &SqlitePool, target: i64, after: i64, limit: usize) -> Result<Vec<OutboxEntry>> {
    let rows = sqlx::query(
        "SELECT seq, target, lane, id, kind, at, expires_at, body FROM webhook_outbox
         WHERE target = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(target)
    .bind(after)
    .bind(limit as i64)
    .fetch_all(pool)
    .await
    .map_err(|e| failed("reading the webhooks", e))?;
    rows.iter().map(|row| entry(row).map_err(|e| failed("reading a webhook", e))).collect()
}

/// The place of the last notice, 0 when there is none.
pub(super) async fn last(writer: &SqlitePool) -> Result<i64> {
    let row = sqlx::query("SELECT COALESCE(MAX(seq), 0) FROM webhook_outbox").fetch_one(writer).await;
    row.and_then(|row| row.try_get(0)).map_err(|e| failed("reading the webhooks", e))
}

pub(super) async fn len(pool: &SqlitePool) -> Result<i64> {
    let row = sqlx::query("SELECT COUNT(*) FROM webhook_outbox").fetch_one(pool).await;
    row.and_then(|row| row.try_get(0)).map_err(|e| failed("counting the webhooks", e))
}

pub(super) async fn remove(writer: &SqlitePool, seqs: &[i64]) -> Result<()> {
    let doing = "taking webhooks out";
    let mut transaction = writer.begin().await.map_err(|e| failed(doing, e))?;
    for chunk in seqs.chunks(CHUNK) {
        let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM webhook_outbox WHERE seq IN (");
        let mut separated = sql.separated(", ");
        for seq in chunk {
            separated.push_bind(*seq);
        }
        sql.push(")");
        sql.build().execute(&mut *transaction).await.map_err(|e| failed(doing, e))?;
    }
    transaction.commit().await.map_err(|e| failed(doing, e))
}

/// Drops what is for URLs at `target` and after it. Returns how many that were.
pub(super) async fn drop_from(writer: &SqlitePool, target: i64) -> Result<u64> {
    let done = sqlx::query("DELETE FROM webhook_outbox WHERE target >= $1").bind(target).execute(writer).await;
    done.map(|done| done.rows_affected()).map_err(|e| failed("dropping webhooks", e))
}

fn entry(row: &SqliteRow) -> Result<OutboxEntry, sqlx::Error> {
    let time = |time: i64| UnixMillis(u64::try_from(time).unwrap_or_default());
    Ok(OutboxEntry {
        seq: row.try_get(0)?,
        target: row.try_get(1)?,
        lane: row.try_get(2)?,
        id: row.try_get(3)?,
        kind: row.try_get(4)?,
        at: time(row.try_get(5)?),
        expires_at: row.try_get::<Option<i64>, _>(6)?.map(time),
        body: row.try_get(7)?,
    })
}
