//! The call log as SQL.

use super::class::classes;
use super::cursor::{Cursor, Side};
use super::failed;
use crate::base::{Error, ErrorCode, Result, Uid, UnixMillis};
use crate::ringing::service::CallRecord;
use crate::ringing::{Call, Direction, LogFilter, LogPage};
use sqlx::{QueryBuilder, Row, Sqlite, SqlitePool};

/// One page of the log of `party`, or of everybody.
pub(super) async fn page(pool: &SqlitePool, party: Option<&Uid>, filter: &LogFilter) -> Result<LogPage> {
    let limit = filter.checked_limit()? as usize;
    let cursor = filter.cursor.as_deref().map(Cursor::parse).transpose()?;
    if party.is_none() && filter.uid.is_none() && filter.direction.is_some() {
        return Err(Error::new(ErrorCode::InvalidArgument, "direction needs a user to be seen from: give uid too"));
    }
    if filter.recording == Some(true) {
        // No call has one: this version does not record.
        return Ok(LogPage::default());
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

/// The records of one page: the newest (or next newer) of each run of an index that the filter lets through, merged.
pub(super) fn query<'a>(
    party: Option<&'a Uid>,
    filter: &'a LogFilter,
    cursor: Option<&'a Cursor>,
    limit: usize,
) -> QueryBuilder<Sqlite> {
    let run = Run { owner: party.or(filter.uid.as_ref()), peer: party.and(filter.uid.as_ref()), filter, cursor, limit };
    let mut sql = QueryBuilder::new("SELECT c.record FROM (SELECT session_id, initiated_at FROM (");
    let mut first = true;
    for class in run.classes() {
        if !std::mem::take(&mut first) {
            sql.push(" UNION ALL ");
        }
        run.push(&mut sql, class);
    }
    sql.push(") AS runs");
    run.push_order(&mut sql);
    // SQLite would merge the two steps, and then fetch the record of every candidate.
    sql.push(") AS page JOIN calls c ON c.session_id = page.session_id ORDER BY ").push(match run.descending() {
        true => "page.initiated_at DESC, page.session_id DESC",
        false => "page.initiated_at, page.session_id",
    });
    sql
}

/// What is common to the runs that a page is merged from.
struct Run<'a> {
    /// Whose log it is; an owner of the server who asks for one user sees that user's.
    owner: Option<&'a Uid>,
    /// Whom the owner of the log called or was called by.
    peer: Option<&'a Uid>,
    filter: &'a LogFilter,
    cursor: Option<&'a Cursor>,
    limit: usize,
}

impl Run<'_> {
    /// `None` alone: one run over all classes, in the order of time.
    fn classes(&self) -> Vec<Option<i64>> {
        let filter = self.filter;
        let any = filter.status.is_none()
            && filter.call_type.is_none()
            && filter.category.is_none()
            && filter.direction.is_none()
            && self.peer.is_none()
            && filter.guid.is_none();
        if any {
            return vec![None];
        }
        let directions = if self.owner.is_some() { Direction::ALL } else { &[Direction::Outgoing] };
        classes(filter, directions).into_iter().map(Some).collect()
    }

    fn push(&self, sql: &mut QueryBuilder<Sqlite>, class: Option<i64>) {
        sql.push("SELECT session_id, initiated_at FROM (SELECT session_id, initiated_at FROM ");
        match self.owner {
            Some(owner) => sql.push("call_parties WHERE uid = ").push_bind(owner.as_str().to_owned()),
            None => sql.push("calls WHERE TRUE"),
        };
        if let Some(guid) = &self.filter.guid {
            sql.push(" AND guid = ").push_bind(guid.as_str().to_owned());
        }
        if let Some(peer) = self.peer {
            sql.push(" AND peer = ").push_bind(peer.as_str().to_owned());
        }
        if let Some(class) = class {
            sql.push(" AND class = ").push_bind(class);
        }
        if let Some(since) = self.filter.since {
            sql.push(" AND initiated_at >= ").push_bind(bigint(since));
        }
        if let Some(until) = self.filter.until {
            sql.push(" AND initiated_at < ").push_bind(bigint(until));
        }
        if let Some(cursor) = self.cursor {
            sql.push(match cursor.side {
                Side::Older => " AND (initiated_at, session_id) < (",
                Side::Newer => " AND (initiated_at, session_id) > (",
            });
            sql.push_bind(bigint(cursor.initiated_at)).push(", ");
            sql.push_bind(cursor.session.as_str().to_owned()).push(")");
        }
        self.push_order(sql);
        sql.push(")");
    }

    fn push_order(&self, sql: &mut QueryBuilder<Sqlite>) {
        sql.push(match self.descending() {
            true => " ORDER BY initiated_at DESC, session_id DESC LIMIT ",
            false => " ORDER BY initiated_at, session_id LIMIT ",
        });
        sql.push_bind(self.limit as i64);
    }

    fn descending(&self) -> bool {
        self.cursor.is_none_or(|cursor| cursor.side == Side::Older)
    }
}

pub(super) fn bigint(time: UnixMillis) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}
