//! The SQLite store by itself: its log, its plans, its steps from older tables.

use super::cursor::{Cursor, Side};
use super::log::query;
use super::{SqliteStore, Store};
use crate::base::{DeviceId, GroupId, SessionId, Uid, UnixMillis};
use crate::ringing::service::CallRecord;
use crate::ringing::{
    Call, CallStatus, CallType, Category, Direction, EndReason, LogFilter, Participant, ParticipantState, Receiver,
    ReceiverType, User,
};
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqliteConnection};
use tempfile::TempDir;

pub(in crate::server) const DAY: u64 = 86_400_000;

pub(in crate::server) async fn store() -> (TempDir, SqliteStore) {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(&dir.path().join("trill.db")).await.unwrap();
    (dir, store)
}

fn uid(uid: &str) -> Uid {
    Uid::new(uid).unwrap()
}

/// A call that alice, bob or carol made at a time that `n` gives; every status, type, category and pair comes up.
pub(in crate::server) fn nth(n: u64) -> CallRecord {
    let (from, to) = [("alice", "bob"), ("bob", "alice"), ("alice", "carol"), ("carol", "bob")][n as usize % 4];
    let status = CallStatus::ALL[n as usize / 4 % CallStatus::ALL.len()];
    let call_type = CallType::ALL[n as usize / 3 % 2];
    let category = Category::ALL[usize::from(n.is_multiple_of(7))];
    record(n, from, to, status, call_type, category)
}

fn record(n: u64, from: &str, to: &str, status: CallStatus, call_type: CallType, category: Category) -> CallRecord {
    let participant = |name: &str, state| Participant {
        uid: uid(name),
        device_id: Some(DeviceId::new("d").unwrap()),
        state,
        joined: false,
        joined_at: None,
        left_at: None,
    };
    let to_group = to.starts_with('#');
    let callees = if to_group { vec!["bob", "carol"] } else { vec![to] };
    let callees = callees.into_iter().map(|name| participant(name, ParticipantState::Missed));
    // Two calls of the same millisecond each: then the session id tells which comes first.
    let at = UnixMillis(DAY + n / 2);
    let call = Call {
        session_id: SessionId::new(format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).unwrap(),
        revision: 1,
        initiator: User::new(uid(from)),
        receiver: Receiver { id: to.into(), name: None, avatar: None },
        receiver_type: if to_group { ReceiverType::Group } else { ReceiverType::User },
        call_type,
        category,
        status,
        initiated_at: at,
        started_at: None,
        ended_at: status.is_over().then_some(at),
        ended_by: None,
        end_reason: status.is_over().then_some(EndReason::HungUp),
        duration_ms: 0,
        participants: std::iter::once(participant(from, ParticipantState::Accepted)).chain(callees).collect(),
        metadata: None,
    };
    CallRecord { call, rings_until: at, call_waiting: Vec::new(), removed: Vec::new(), requests: Vec::new() }
}

fn sorted(mut calls: Vec<Call>) -> Vec<Call> {
    calls.sort_by(|a, b| (b.initiated_at, &b.session_id).cmp(&(a.initiated_at, &a.session_id)));
    calls
}

pub(in crate::server) async fn save(store: &SqliteStore, records: &[CallRecord]) {
    store.save(&records.iter().collect::<Vec<_>>(), &[]).await.unwrap();
}

/// All pages of a filter, forward; and each page again on the way back.
async fn walk(store: &SqliteStore, party: Option<&Uid>, filter: &LogFilter) -> Vec<Call> {
    let mut pages = vec![store.log(party, filter).await.unwrap()];
    while let Some(next) = pages.last().unwrap().next.clone() {
        let filter = LogFilter { cursor: Some(next), ..filter.clone() };
        pages.push(store.log(party, &filter).await.unwrap());
    }
    for pair in pages.windows(2).rev() {
        let filter = LogFilter { cursor: pair[1].previous.clone(), ..filter.clone() };
        assert_eq!(store.log(party, &filter).await.unwrap().calls, pair[0].calls, "back, {filter:?}");
    }
    pages.into_iter().flat_map(|page| page.calls).collect()
}

/// Every filter with each of its fields set or not.
fn every_filter() -> Vec<LogFilter> {
    let mut filters = Vec::new();
    for set in 0..1u32 << 8 {
        let on = |bit: u32| set & (1 << bit) != 0;
        filters.push(LogFilter {
            limit: Some(3),
            call_type: on(0).then_some(CallType::Video),
            status: on(1).then_some(CallStatus::Unanswered),
            direction: on(2).then_some(Direction::Incoming),
            category: on(3).then_some(Category::Call),
            uid: on(4).then(|| uid("bob")),
            guid: on(5).then(|| GroupId::new("#team").unwrap()),
            recording: None,
            since: on(6).then_some(UnixMillis(DAY + 10)),
            until: on(7).then_some(UnixMillis(DAY + 70)),
            cursor: None,
        });
    }
    filters
}

/// What the filter means, said once more and without an index.
fn matches(call: &Call, party: Option<&Uid>, filter: &LogFilter) -> bool {
    let owner = party.or(filter.uid.as_ref());
    let direction = |uid: &Uid| if call.is_initiator(uid) { Direction::Outgoing } else { Direction::Incoming };
    let peer = |other: &Uid| match owner.is_some_and(|owner| call.is_initiator(owner)) {
        true => call.receiver_type == ReceiverType::User && call.receiver.id == other.as_str(),
        false => call.is_initiator(other),
    };
    let group = |guid: &GroupId| call.receiver_type == ReceiverType::Group && call.receiver.id == guid.as_str();
    owner.is_none_or(|owner| call.participant(owner).is_some())
        && filter.direction.is_none_or(|wanted| owner.is_some_and(|owner| direction(owner) == wanted))
        && (party.is_none() || filter.uid.as_ref().is_none_or(peer))
        && filter.guid.as_ref().is_none_or(group)
        && filter.call_type.is_none_or(|wanted| call.call_type == wanted)
        && filter.status.is_none_or(|wanted| call.status == wanted)
        && filter.category.is_none_or(|wanted| call.category == wanted)
        && filter.since.is_none_or(|since| call.initiated_at >= since)
        && filter.until.is_none_or(|until| call.initiated_at < until)
}

#[tokio::test]
async fn every_combination_of_filters_finds_what_it_says_on_pages_that_hold_both_ways() {
    let (_dir, store) = store().await;
    let mut records: Vec<CallRecord> = (0..120).map(nth).collect();
    for n in 120..160 {
        let CallRecord { call, .. } = nth(n);
        let from = call.initiator.uid;
        records.push(record(n, from.as_str(), "#team", call.status, call.call_type, call.category));
    }
    save(&store, &records).await;
    let alice = uid("alice");
    let mut found = 0;
    for filter in every_filter() {
        for party in [Some(&alice), None] {
            if party.is_none() && filter.uid.is_none() && filter.direction.is_some() {
                continue;
            }
            let expected = records.iter().map(|record| record.call.clone());
            let expected = sorted(expected.filter(|call| matches(call, party, &filter)).collect());
            found += usize::from(!expected.is_empty());
            assert_eq!(walk(&store, party, &filter).await, expected, "{party:?} {filter:?}");
        }
    }
    assert!(found > 100, "only {found} of the filters found anything");
    let recorded = LogFilter { recording: Some(true), ..LogFilter::default() };
    assert_eq!(store.log(Some(&alice), &recorded).await.unwrap().calls, []);
    let unrecorded = LogFilter { recording: Some(false), ..LogFilter::default() };
    assert_eq!(store.log(Some(&alice), &unrecorded).await.unwrap().calls.len(), 30);
}

#[tokio::test]
async fn a_call_is_found_by_the_status_that_it_has_now() {
    let (_dir, store) = store().await;
    let at = |status| record(1, "alice", "bob", status, CallType::Audio, Category::Call);
    let count = async |status| {
        let filter = LogFilter { status: Some(status), ..LogFilter::default() };
        let bob = store.log(Some(&uid("bob")), &filter).await.unwrap().calls.len();
        assert_eq!(store.log(None, &filter).await.unwrap().calls.len(), bob);
        bob
    };
    for status in [CallStatus::Initiated, CallStatus::Ongoing, CallStatus::Ended] {
        save(&store, &[at(status)]).await;
        assert_eq!(count(status).await, 1, "{status}");
    }
    assert_eq!(count(CallStatus::Ongoing).await, 0);
}

/// However large the log: a page is read from runs of an index, never by going through a table.
#[tokio::test]
async fn no_filter_makes_the_store_go_through_all_calls() {
    let (dir, store) = store().await;
    let mut database = SqliteConnection::connect(dir.path().join("trill.db").to_str().unwrap()).await.unwrap();
    let alice = uid("alice");
    for filter in every_filter() {
        for (party, side) in [(Some(&alice), Side::Older), (None, Side::Older), (Some(&alice), Side::Newer)] {
            if party.is_none() && filter.uid.is_none() && filter.direction.is_some() {
                continue;
            }
            let cursor = Cursor { side, initiated_at: UnixMillis(DAY), session: SessionId::new("s").unwrap() };
            for cursor in [None, Some(&cursor)] {
                let explain = format!("EXPLAIN QUERY PLAN {}", query(party, &filter, cursor, 31).sql().as_str());
                let plan = database.fetch_all(sqlx::query(AssertSqlSafe(explain))).await.unwrap();
                for row in plan {
                    let step: String = row.get("detail");
                    // Going along an index in the order of time ends with the page; so does what was merged before.
                    let along = step.starts_with("SCAN calls USING") && step.contains("INDEX calls_by_time");
                    let merged = ["page", "runs", "(subquery", "SUBQUERY"].iter().any(|name| step.contains(name));
                    assert!(!step.starts_with("SCAN") || along || merged, "{step} for {party:?} {filter:?}");
                    let run = step.contains("COVERING INDEX") && (step.contains("class=?") || step.contains("by_time"));
                    let parties = step.contains(" call_parties ");
                    assert!(!parties || run, "{step} for {party:?} {filter:?}");
                }
            }
        }
    }
    store.close().await;
}

#[tokio::test]
async fn tables_of_the_first_version_keep_their_calls_and_can_be_filtered() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("trill.db");
    let mut old = SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", path.display())).await.unwrap();
    for statement in super::schema::CALLS {
        old.execute(*statement).await.unwrap();
    }
    old.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)").await.unwrap();
    old.execute("INSERT INTO schema_version VALUES (1)").await.unwrap();
    for n in 0..40 {
        let CallRecord { call, .. } = nth(n);
        let json = serde_json::to_string(&nth(n)).unwrap();
        sqlx::query("INSERT INTO calls VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(call.session_id.as_str())
            .bind(call.initiated_at.0 as i64)
            .bind(call.ended_at.map(|at| at.0 as i64))
            .bind(call.call_type.name())
            .bind(call.category.name())
            .bind(call.status.name())
            .bind(json)
            .execute(&mut old)
            .await
            .unwrap();
        for participant in &call.participants {
            let direction = if call.is_initiator(&participant.uid) { "outgoing" } else { "incoming" };
            sqlx::query("INSERT INTO call_parties VALUES ($1, $2, $3, $4)")
                .bind(call.session_id.as_str())
                .bind(participant.uid.as_str())
                .bind(direction)
                .bind(call.initiated_at.0 as i64)
                .execute(&mut old)
                .await
                .unwrap();
        }
    }
    old.close().await.unwrap();

    let store = SqliteStore::open(&path).await.unwrap();
    let alice = uid("alice");
    for filter in every_filter() {
        let expected = (0..40).map(|n| nth(n).call).filter(|call| matches(call, Some(&alice), &filter)).collect();
        assert_eq!(walk(&store, Some(&alice), &filter).await, sorted(expected), "{filter:?}");
    }
}

#[tokio::test]
async fn old_calls_are_removed_in_batches_and_calls_that_are_not_over_stay() {
    let (_dir, store) = store().await;
    let records: Vec<CallRecord> = (0..64).map(nth).collect();
    save(&store, &records).await;
    let before = UnixMillis(DAY + 20);
    let over = |call: &Call| call.ended_at.is_some_and(|at| at < before);
    let old = records.iter().filter(|record| over(&record.call)).count() as u64;
    let mut removed = Vec::new();
    loop {
        match store.forget_calls(before, 7).await.unwrap() {
            0 => break,
            count => removed.push(count),
        }
    }
    assert_eq!(removed.iter().sum::<u64>(), old);
    assert!(removed.iter().all(|count| *count <= 7) && removed.len() > 3, "{removed:?}");
    let left = sorted(records.iter().map(|record| record.call.clone()).filter(|call| !over(call)).collect());
    assert!(left.iter().any(|call| call.ended_at.is_none() && call.initiated_at < before));
    let all = LogFilter { limit: Some(100), ..LogFilter::default() };
    assert_eq!(store.log(None, &all).await.unwrap().calls, left);
    let bob = uid("bob");
    let bobs: Vec<Call> = left.iter().filter(|call| call.participant(&bob).is_some()).cloned().collect();
    assert_eq!(store.log(Some(&bob), &all).await.unwrap().calls, bobs);
}
