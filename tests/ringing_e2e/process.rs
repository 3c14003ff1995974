//! The server as a process of its own: killed in each phase of a call, and on a disk that is full.

use crate::support::*;
use sqlx::{Connection, Executor};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use trill::base::{ErrorCode, SessionId, UnixMillis};
use trill::identity::ApiKey;
use trill::ringing::client::LoginState;
use trill::ringing::wire::Initiate;
use trill::ringing::{CallEventKind, CallStatus, CallType, EndReason, LogFilter, ParticipantState};

pub const DEV_KEY: (&str, &str) = ("devkey", "trill-development-secret-do-not-deploy");

pub struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    pub fn start(dir: &Path, http: &str) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_trill")), dir, http)
    }

    /// `command` ends in the program's name; what serve needs is added.
    pub fn run(mut command: Command, dir: &Path, http: &str) -> Self {
        let database = dir.join("trill.db");
        command.args(["serve", "--dev", "--json", "--http", http, "--udp", "127.0.0.1:0", "--database"]).arg(database);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let listening: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        let address = listening["http"].as_str().unwrap().parse().unwrap();
        Self { child, address }
    }

    /// SIGKILL, then a new one at the same address with the same store.
    pub fn kill_and_start_again(self, dir: &Path) -> Self {
        let address = self.kill();
        Self::start(dir, &address.to_string())
    }

    pub fn kill(mut self) -> SocketAddr {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.address
    }

    pub async fn log_in(&self, uid: &str) -> Device {
        let key = ApiKey::new(DEV_KEY.0, DEV_KEY.1).unwrap();
        Device::log_in(&format!("ws://{}", self.address), user_token_of(&key, uid), "device").await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both logs hold this one call, and it ended so.
async fn expect_in_both_logs(alice: &Device, bob: &Device, session: &SessionId, status: CallStatus, reason: EndReason) {
    for device in [alice, bob] {
        let page = device.client.log(LogFilter::default()).await.unwrap();
        assert_eq!(page.calls.len(), 1);
        let call = &page.calls[0];
        assert_eq!((&call.session_id, call.status, call.end_reason), (session, status, Some(reason)));
    }
}

#[tokio::test]
async fn a_call_survives_a_kill_of_the_server_while_it_rings() {
    let dir = TempDir::new().unwrap();
    let server = Process::start(dir.path(), "127.0.0.1:0");
    let (alice, bob) = (server.log_in("alice").await, server.log_in("bob").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    alice.expect(CallEventKind::OutgoingRinging).await;

    let _server = server.kill_and_start_again(dir.path());
    alice.until_back().await;
    bob.until_back().await;
    assert_eq!(bob.client.incoming_calls()[0].session_id, session, "it rings on");
    bob.client.accept(&session).await.unwrap();
    alice.expect(CallEventKind::OutgoingAccepted).await;
    alice.client.end(&session).await.unwrap();
    bob.expect(CallEventKind::Ended).await;
    expect_in_both_logs(&alice, &bob, &session, CallStatus::Ended, EndReason::HungUp).await;
    bob.expect_nothing_more().await;
}

#[tokio::test]
async fn a_ring_time_out_that_passes_while_the_server_is_dead_is_kept() {
    let dir = TempDir::new().unwrap();
    let server = Process::start(dir.path(), "127.0.0.1:0");
    let (alice, bob) = (server.log_in("alice").await, server.log_in("bob").await);
    let call = alice.client.initiate(Initiate { timeout: Some(5), ..call_to("bob") }).await.unwrap();
    bob.expect(CallEventKind::IncomingReceived).await;
    alice.expect(CallEventKind::OutgoingRinging).await;

    let address = server.kill();
    // What is waited for is this very time, not something that happens in it.
    let deadline = call.initiated_at + Duration::from_secs(5);
    tokio::time::sleep(deadline.since(UnixMillis::now())).await;
    let _server = Process::start(dir.path(), &address.to_string());
    let up = UnixMillis::now();
    let event = alice.expect(CallEventKind::OutgoingUnanswered).await;
    bob.expect(CallEventKind::IncomingCancelled).await;
    let ended = event.call.ended_at.unwrap();
    assert!(deadline <= ended && ended < up + Duration::from_secs(3), "the time-out began anew: {event:?}");
    expect_in_both_logs(&alice, &bob, &call.session_id, CallStatus::Unanswered, EndReason::Unanswered).await;
}

#[tokio::test]
async fn a_call_survives_a_kill_of_the_server_between_accept_and_join() {
    let dir = TempDir::new().unwrap();
    let server = Process::start(dir.path(), "127.0.0.1:0");
    let (alice, bob) = (server.log_in("alice").await, server.log_in("bob").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    // Killed the moment it has answered: the caller may not even have been told.
    bob.client.accept(&session).await.unwrap();
    let _server = server.kill_and_start_again(dir.path());

    alice.until_back().await;
    bob.until_back().await;
    assert_eq!(alice.client.active_call().unwrap().status, CallStatus::Ongoing);
    alice.client.session_token(&session).await.unwrap();
    bob.client.session_token(&session).await.unwrap();
    bob.client.end(&session).await.unwrap();
    expect_in_both_logs(&alice, &bob, &session, CallStatus::Ended, EndReason::HungUp).await;
}

#[tokio::test]
async fn a_request_under_way_when_the_server_is_killed_has_one_effect_and_one_answer() {
    let dir = TempDir::new().unwrap();
    let mut server = Process::start(dir.path(), "127.0.0.1:0");
    let (alice, bob) = (server.log_in("alice").await, server.log_in("bob").await);
    let initiate = tokio::spawn({
        let client = alice.client.clone();
        async move { client.initiate(call_to("bob")).await }
    });
    server = server.kill_and_start_again(dir.path());
    let session = initiate.await.unwrap().unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    bob.client.accept(&session).await.unwrap();

    let end = tokio::spawn({
        let (client, session) = (bob.client.clone(), session.clone());
        async move { client.end(&session).await }
    });
    let _server = server.kill_and_start_again(dir.path());
    assert_eq!(end.await.unwrap().unwrap().status, CallStatus::Ended);
    expect_in_both_logs(&alice, &bob, &session, CallStatus::Ended, EndReason::HungUp).await;
}

#[tokio::test]
async fn a_call_that_has_just_ended_is_in_the_log_of_a_server_killed_at_once() {
    let dir = TempDir::new().unwrap();
    let server = Process::start(dir.path(), "127.0.0.1:0");
    let (alice, bob) = (server.log_in("alice").await, server.log_in("bob").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    bob.client.accept(&session).await.unwrap();
    alice.client.end(&session).await.unwrap();
    let _server = server.kill_and_start_again(dir.path());
    bob.expect(CallEventKind::Ended).await;
    expect_in_both_logs(&alice, &bob, &session, CallStatus::Ended, EndReason::HungUp).await;
}

/// Changes the store of a server that does not run, as the server writes it before it tells its calls.
async fn change_store(dir: &Path, statements: &'static str) {
    let path = format!("sqlite:{}", dir.join("trill.db").display());
    let mut database = sqlx::SqliteConnection::connect(&path).await.unwrap();
    database.execute(statements).await.unwrap();
    database.close().await.unwrap();
}

#[tokio::test]
async fn the_removal_of_a_user_that_a_kill_kept_from_its_call_has_its_effect_when_the_server_is_back() {
    let dir = TempDir::new().unwrap();
    let server = Process::start(dir.path(), "127.0.0.1:0");
    let (alice, bob) = (server.log_in("alice").await, server.log_in("bob").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    bob.client.accept(&session).await.unwrap();
    let address = server.kill();
    change_store(dir.path(), "UPDATE users SET removed_at = 1 WHERE uid = 'bob'").await;

    let _server = Process::start(dir.path(), &address.to_string());
    let ended = alice.until(CallEventKind::Ended).await;
    assert_eq!((ended.call.status, ended.call.end_reason), (CallStatus::Ended, Some(EndReason::Removed)));
    bob.until_login(|state| matches!(state, LoginState::LoggedOut(error) if error.code() == ErrorCode::UserRemoved))
        .await;
    assert_eq!(bob.client.active_call(), None);
}

/// A server that was killed while Alice, Bob and Carol were in a call of their group.
async fn killed_in_a_group_call(dir: &Path) -> (SocketAddr, [Device; 3], SessionId) {
    let server = Process::start(dir, "127.0.0.1:0");
    // Each of them is a user from its first login on.
    for uid in ["alice", "bob", "carol"] {
        server.log_in(uid).await.client.log_out().await;
    }
    let address = server.kill();
    let group = "INSERT INTO groups (guid, name, created_at) VALUES ('team', 'Team', 1);
        INSERT INTO group_members (guid, uid, added_at) SELECT 'team', uid, 1 FROM users";
    change_store(dir, group).await;
    let server = Process::start(dir, &address.to_string());
    let devices = [server.log_in("alice").await, server.log_in("bob").await, server.log_in("carol").await];
    let team = Initiate::group(&"team".parse().unwrap(), CallType::Audio);
    let session = devices[0].client.initiate(team).await.unwrap().session_id;
    for member in &devices[1..] {
        member.expect(CallEventKind::IncomingReceived).await;
        member.client.accept(&session).await.unwrap();
    }
    (server.kill(), devices, session)
}

#[tokio::test]
async fn the_removal_of_a_member_that_a_kill_kept_from_its_call_has_its_effect_when_the_server_is_back() {
    let dir = TempDir::new().unwrap();
    let (address, [alice, bob, carol], session) = killed_in_a_group_call(dir.path()).await;
    change_store(dir.path(), "DELETE FROM group_members WHERE uid = 'bob'").await;

    let _server = Process::start(dir.path(), &address.to_string());
    bob.until(CallEventKind::Ended).await;
    assert_eq!(bob.client.active_call(), None);
    assert_eq!(code(bob.client.accept(&session).await), ErrorCode::NotAMember);
    for device in [&alice, &carol] {
        device.until_back().await;
        let call = device.client.call(&session).await.unwrap();
        assert_eq!(call.status, CallStatus::Ongoing, "it goes on for the others");
        assert_eq!(call.participant(&uid("bob")).unwrap().state, ParticipantState::Left);
        device.client.session_token(&session).await.unwrap();
    }
}

#[tokio::test]
async fn the_removal_of_a_group_that_a_kill_kept_from_its_call_has_its_effect_when_the_server_is_back() {
    let dir = TempDir::new().unwrap();
    let (address, devices, session) = killed_in_a_group_call(dir.path()).await;
    change_store(dir.path(), "DELETE FROM groups WHERE guid = 'team'").await;

    let _server = Process::start(dir.path(), &address.to_string());
    for device in &devices {
        let ended = device.until(CallEventKind::Ended).await.call;
        assert_eq!((ended.status, ended.end_reason), (CallStatus::Ended, Some(EndReason::Removed)));
        assert_eq!((ended.session_id, ended.ended_by), (session.clone(), None));
    }
}

#[tokio::test]
async fn a_full_disk_fails_the_request_and_loses_no_call_that_was_answered() {
    let dir = TempDir::new().unwrap();
    // No file of this process may grow over 256 blocks of 512 bytes, and the signal that says so is ignored: writes
    // fail as on a full disk.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"trap "" XFSZ; ulimit -f 256; exec "$0" "$@""#, env!("CARGO_BIN_EXE_trill")]);
    let server = Process::run(shell, dir.path(), "127.0.0.1:0");
    let (alice, _bob) = (server.log_in("alice").await, server.log_in("bob").await);
    let metadata = Some(serde_json::Value::from("x".repeat(4000)));
    let mut stored = Vec::new();
    let refused = loop {
        match alice.client.initiate(Initiate { metadata: metadata.clone(), ..call_to("bob") }).await {
            Ok(call) => stored.push(call.session_id),
            Err(error) => break error.code(),
        }
        let session = stored.last().unwrap();
        let cancelled = alice.client.reject(session, trill::ringing::wire::RejectReason::Cancelled).await;
        if let Err(error) = cancelled {
            break error.code();
        }
        assert!(stored.len() < 100, "the disk is never full");
    };
    assert_eq!(refused, ErrorCode::StoreFailed);
    // It still answers, from what it has; and with room again everything is there.
    alice.client.log(LogFilter::default()).await.unwrap();
    let _server = server.kill_and_start_again(dir.path());
    alice.until_back().await;
    let page = alice.client.log(LogFilter { limit: Some(100), ..LogFilter::default() }).await.unwrap();
    let mut logged: Vec<_> = page.calls.into_iter().map(|call| call.session_id).collect();
    logged.reverse();
    assert_eq!(logged, stored);
}
