//! The call log as SQL.

use super::cursor::{Cursor, Side};
use super::failed;
use crate::base::{Error, ErrorCode, Result, Uid, UnixMillis};
use crate::ringing::service::CallRecord;
use crate::ringing::{Call, LogFilter, LogPage};
use sqlx::{QueryBuilder, Row, Sqlite, SqlitePool};

/// One page of the log of `party`, or of everybody.
pub(super) async fn page(pool: &SqlitePool, party: Option<&Uid>, filter: &LogFilter) -> Result<LogPage> {
    let limit = filter.checked_limit()? as usize;
    let cursor = filter.cursor.as_deref().map(Cursor::parse).transpose()?;
    if party.is_none() && filter.uid.is_none() && filter.direction.is_some() {
        return Err(Error::new(ErrorCode::InvalidArgument, "direction needs a user to be seen from: give uid too"));
    }
    // One more than asked for tells whether there is another page.
    let rows = query(party, filter, cursor.as_ref(), limit + 1)
        .build()
        .fetch_all(pool)
        .await
        .map_err(|e| failed("reading the call log", e))?;
    let mut calls = Vec::with_capacity(rows.len());
    for row in rows {
        let text: String = row.try_get(0).map_err(|e| failed("reading the call log", e))?;
        calls.push(record(&text)?.call);
    }
    let more = calls.len() > limit;
    calls.truncate(limit);
    Ok(paged(calls, cursor, more))
}

pub(super) fn record(text: &str) -> Result<CallRecord> {
    serde_json::from_str(text).map_err(|e| failed("reading the record of a call", e))
}

/// `calls` in the order they were read: away from the cursor.
fn paged(mut calls: Vec<Call>, cursor: Option<Cursor>, more: bool) -> LogPage {
    let side = cursor.as_ref().map_or(Side::Older, |cursor| cursor.side);
    if side == Side::Newer {
        calls.reverse();
    }
    let link = |call: Option<&Call>, side| call.map(|call| Cursor::at(call, side).to_text());
    let (next, previous) = match side {
        Side::Older => (more, cursor.is_some()),
        Side::Newer => (true, more),
    };
    LogPage {
        next: link(calls.last(), Side::Older).filter(|_| next),
        previous: link(calls.first(), Side::Newer).filter(|_| previous),
        calls,
    }
}

fn query(party: Option<&Uid>, filter: &LogFilter, cursor: Option<&Cursor>, limit: usize) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("SELECT c.record FROM ");
    // Whose log it is; an owner who asks for one user sees that user's.
    match party.or(filter.uid.as_ref()) {
        Some(uid) => {
            sql.push("call_parties p JOIN calls c ON c.session_id = p.session_id WHERE p.uid = ");
            sql.push_bind(uid.as_str().to_owned());
            if let Some(direction) = filter.direction {
                sql.push(" AND p.direction = ").push_bind(direction.name());
            }
        }
        None => {
            sql.push("calls c WHERE 1 = 1");
        }
    }
    if let (Some(_), Some(other)) = (party, &filter.uid) {
        sql.push(" AND EXISTS (SELECT 1 FROM call_parties o WHERE o.session_id = c.session_id AND o.uid = ");
        sql.push_bind(other.as_str().to_owned()).push(")");
    }
    if let Some(call_type) = filter.call_type {
        sql.push(" AND c.call_type = ").push_bind(call_type.name());
    }
    if let Some(status) = filter.status {
        sql.push(" AND c.status = ").push_bind(status.name());
    }
    if let Some(category) = filter.category {
        sql.push(" AND c.category = ").push_bind(category.name());
    }
    if let Some(since) = filter.since {
        sql.push(" AND c.initiated_at >= ").push_bind(bigint(since));
    }
    if let Some(until) = filter.until {
        sql.push(" AND c.initiated_at < ").push_bind(bigint(until));
    }
    if let Some(cursor) = cursor {
        sql.push(match cursor.side {
            Side::Older => " AND (c.initiated_at, c.session_id) < (",
            Side::Newer => " AND (c.initiated_at, c.session_id) > (",
        });
        sql.push_bind(bigint(cursor.initiated_at)).push(", ");
        sql.push_bind(cursor.session.as_str().to_owned()).push(")");
    }
    sql.push(match cursor.map(|cursor| cursor.side) {
        Some(Side::Newer) => " ORDER BY c.initiated_at, c.session_id LIMIT ",
        _ => " ORDER BY c.initiated_at DESC, c.session_id DESC LIMIT ",
    });
    sql.push_bind(limit as i64);
    sql
}

pub(super) fn bigint(time: UnixMillis) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}
