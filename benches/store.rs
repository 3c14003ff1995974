//! How long a page of the call log takes out of a million calls, as a client of the server sees it.
//!
//! The calls are made once, under `target/bench-store`; delete that folder to have them made anew.

#![allow(clippy::disallowed_methods, reason = "a benchmark: real time, a real server")]

use criterion::{Criterion, criterion_group, criterion_main};
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqliteConnection};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trill::base::{Uid, UnixMillis};
use trill::identity::{AdminToken, ApiKey, UserToken};
use trill::server::{ApiKeyConfig, Server, ServerConfig};

const CALLS: u64 = 1_000_000;
const SECRET: &str = "a-secret-for-benchmarks-of-thirty-two-bytes-or-more";

/// What is asked for: whose token, and the query. `switchboard` is in every fifth call; `failed` is one in 5000.
const PAGES: &[(&str, &str, &str)] = &[
    ("user", "newest", ""),
    ("user", "status, common", "status=ended"),
    ("user", "status, rare", "status=failed"),
    ("user", "status, none", "status=busy"),
    ("user", "type", "type=AUDIO"),
    ("user", "direction", "direction=incoming"),
    ("user", "type, status, direction, category", "type=AUDIO&status=failed&direction=outgoing&category=call"),
    ("user", "with another user", "uid=u77"),
    ("user", "with another user, status, rare", "uid=u77&status=failed"),
    ("user", "group", "guid=g7"),
    ("user", "group, status, rare", "guid=g7&status=failed"),
    ("user", "a day long ago", "since=1700030000000&until=1700116400000"),
    ("user", "a day long ago, status, rare", "since=1700030000000&until=1700116400000&status=failed"),
    ("user", "100 of them, status, common", "limit=100&status=ended"),
    ("owner", "newest", ""),
    ("owner", "status, rare", "status=failed"),
    ("owner", "type, category", "type=VIDEO&category=meet"),
    ("owner", "group", "guid=g7"),
    ("owner", "one user, status, rare", "uid=switchboard&status=failed"),
    ("owner", "a day long ago, status, rare", "since=1700030000000&until=1700116400000&status=failed"),
];

fn pages(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (server, path) = runtime.block_on(server());
    let (key, ttl) = (ApiKey::new("bench", SECRET).unwrap(), Duration::from_secs(86_400));
    let now = UnixMillis::now();
    let user = UserToken::new(Uid::new("switchboard").unwrap()).mint(&key, now, ttl);
    let owner = AdminToken { name: "bench".into() }.mint(&key, now, ttl);
    let agent = ureq::Agent::new_with_defaults();
    let mut group = c.benchmark_group("a page of a million calls");
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for (who, name, query) in PAGES {
        let url = format!("http://{}/v1/calls?{query}", server.http_addr());
        let bearer = format!("Bearer {}", if *who == "user" { &user } else { &owner });
        group.bench_function(format!("{who}: {name}"), |b| {
            b.iter(|| {
                let mut answer = agent.get(&url).header("Authorization", &bearer).call().unwrap();
                black_box(answer.body_mut().read_to_vec().unwrap())
            });
        });
    }
    group.finish();
    runtime.block_on(server.shutdown());
    println!("{CALLS} calls: {} MB", std::fs::metadata(path).unwrap().len() / 1_000_000);
}

async fn server() -> (Server, PathBuf) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-store");
    std::fs::create_dir_all(&folder).unwrap();
    let (path, making) = (folder.join("calls.db"), folder.join("making.db"));
    if !path.exists() {
        for old in ["making.db", "making.db-wal", "making.db-shm", "calls.db-wal", "calls.db-shm"] {
            std::fs::remove_file(folder.join(old)).ok();
        }
        // The tables are made by the server itself.
        Server::start(config(&making)).await.unwrap().shutdown().await;
        fill(&making).await;
        std::fs::rename(&making, &path).unwrap();
    }
    (Server::start(config(&path)).await.unwrap(), path)
}

fn config(database: &Path) -> ServerConfig {
    let mut config = ServerConfig {
        http: "127.0.0.1:0".parse().unwrap(),
        udp: "127.0.0.1:0".parse().unwrap(),
        api_keys: vec![ApiKeyConfig { id: "bench".into(), secret: SECRET.into() }],
        database: database.display().to_string(),
        ..ServerConfig::default()
    };
    config.limits.address_requests_per_second = 0;
    config.limits.user_requests_per_second = 0;
    config
}

/// A call each 30 s since November 2023, of 10,000 users and 1,000 groups, made by SQLite itself.
async fn fill(path: &Path) {
    let mut database = SqliteConnection::connect(&path.display().to_string()).await.unwrap();
    let indexes = database
        .fetch_all("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql LIKE '%call%'")
        .await
        .unwrap();
    let indexes: Vec<(String, String)> = indexes.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut run = async |sql: String| {
        database.execute(sqlx::query(AssertSqlSafe(sql))).await.unwrap();
    };
    for (name, _) in &indexes {
        run(format!("DROP INDEX {name}")).await;
    }
    // Status, type, category; the numbers of src/server/store/class.rs.
    let status = "CASE WHEN i % 5000 = 10 THEN 7 WHEN i % 10 < 7 THEN 2 WHEN i % 10 = 7 THEN 3 WHEN i % 10 = 8 THEN 5 ELSE 6 END";
    let names = ["ended", "rejected", "cancelled", "unanswered", "failed"];
    let name = [2, 3, 5, 6, 7].iter().zip(names).map(|(n, name)| format!("WHEN {n} THEN '{name}'")).collect::<String>();
    run(format!(
        "CREATE TABLE made AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {CALLS})
         SELECT i, printf('%016x%016x', i * 2654435761 % 4294967291, i) AS session_id, 1700000000000 + i * 30000 AS at,
                {status} AS status, i / 3 % 2 AS video, i % 11 = 0 AS meet,
                CASE WHEN i % 10 = 3 THEN 'switchboard' ELSE 'u' || (i * 7919 % 10000) END AS caller,
                CASE WHEN i % 10 = 6 THEN 'switchboard' ELSE 'u' || (i * 104729 % 9973) END AS callee,
                CASE WHEN i % 20 = 13 THEN 'g' || (i / 20 % 1000) END AS guid FROM n"
    ))
    .await;
    run(format!(
        "INSERT INTO calls (session_id, initiated_at, ended_at, class, guid, record)
         SELECT session_id, at, at + 20000, status * 8 + video * 4 + meet * 2, guid, json_object('call', json_object(
            'sessionId', session_id, 'initiator', json_object('uid', caller, 'name', 'A name of usual length'),
            'receiver', json_object('id', COALESCE(guid, callee), 'name', 'A name of usual length'),
            'receiverType', CASE WHEN guid IS NULL THEN 'USER' ELSE 'GROUP' END,
            'type', CASE WHEN video THEN 'VIDEO' ELSE 'AUDIO' END, 'category', CASE WHEN meet THEN 'meet' ELSE 'call' END,
            'status', CASE status {name} END, 'initiatedAt', at, 'endedAt', at + 20000, 'endReason', 'hung_up',
            'durationMs', 0, 'participants', json_array(
                json_object('uid', caller, 'deviceId', 'phone-1', 'state', 'accepted', 'joined', json('false')),
                json_object('uid', callee, 'deviceId', 'laptop-1', 'state', 'missed', 'joined', json('false')))),
            'ringsUntil', at, 'waitingOnly', json('false'), 'requests', json('[]')) FROM made"
    ))
    .await;
    for (party, peer, direction) in [("caller", "CASE WHEN guid IS NULL THEN callee END", 0), ("callee", "caller", 1)] {
        run(format!(
            "INSERT OR IGNORE INTO call_parties (session_id, uid, initiated_at, class, peer, guid)
             SELECT session_id, {party}, at, status * 8 + video * 4 + meet * 2 + {direction}, {peer}, guid FROM made"
        ))
        .await;
    }
    run("DROP TABLE made".into()).await;
    for (_, sql) in indexes {
        run(sql).await;
    }
    run("PRAGMA wal_checkpoint(TRUNCATE)".into()).await;
    database.close().await.unwrap();
}

criterion_group!(benches, pages);
criterion_main!(benches);
