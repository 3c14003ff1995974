//! The same things over HTTP: for an app's backend, and for people with curl.

use crate::support::*;
use std::time::Duration;
use trill::base::{ErrorCode, ParticipantIdentity, SessionId, UnixMillis};
use trill::identity::SessionToken;
use trill::ringing::wire::RejectReason;
use trill::ringing::{CallEventKind, CallStatus, Direction, LogFilter};

/// `count` calls from alice to bob, each cancelled; alice and bob stay logged in.
async fn some_calls(server: &TestServer, count: usize) -> (Device, Device) {
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    for _ in 0..count {
        one_call(&alice, "bob").await;
    }
    (alice, bob)
}

async fn one_call(caller: &Device, callee: &str) {
    let session = caller.client.initiate(call_to(callee)).await.unwrap().session_id;
    caller.client.reject(&session, RejectReason::Cancelled).await.unwrap();
}

#[tokio::test]
async fn pages_of_the_log_stay_what_they_are_while_calls_are_added() {
    let server = TestServer::start().await;
    let (alice, _bob) = some_calls(&server, 7).await;
    let page = async |cursor: Option<String>| {
        alice.client.log(LogFilter { limit: Some(3), cursor, ..LogFilter::default() }).await.unwrap()
    };
    let first = page(None).await;
    assert_eq!((first.calls.len(), first.previous.is_some()), (3, false));
    one_call(&alice, "bob").await;
    let second = page(first.next.clone()).await;
    let third = page(second.next.clone()).await;
    assert_eq!((second.calls.len(), third.calls.len(), &third.next), (3, 1, &None));
    let mut times: Vec<_> = [&first, &second, &third]
        .iter()
        .flat_map(|page| &page.calls)
        .map(|c| (c.initiated_at, &c.session_id))
        .collect();
    let count = times.len();
    assert!(times.is_sorted_by(|a, b| a > b), "newest first, and none twice");
    times.dedup();
    assert_eq!(times.len(), count);
    // And back: the same pages, then the call that was added.
    let again = page(third.previous.clone()).await;
    assert_eq!(again.calls, second.calls);
    let again = page(again.previous.clone()).await;
    assert_eq!(again.calls, first.calls);
    let newest = page(again.previous.clone()).await;
    assert_eq!((newest.calls.len(), newest.previous), (1, None));
}

#[tokio::test]
async fn a_page_of_the_log_has_30_calls_unless_up_to_100_are_asked_for() {
    let server = TestServer::start().await;
    let (alice, bob) = some_calls(&server, 31).await;
    let page = async |limit| alice.client.log(LogFilter { limit, ..LogFilter::default() }).await;
    assert_eq!(page(None).await.unwrap().calls.len(), 30);
    assert_eq!(page(Some(100)).await.unwrap().calls.len(), 31);
    assert_eq!(code(page(Some(101)).await), ErrorCode::InvalidArgument);
    // One record for each party.
    assert_eq!(bob.client.log(LogFilter::default()).await.unwrap(), page(None).await.unwrap());
}

#[tokio::test]
async fn the_log_is_filtered_by_what_is_asked_for() {
    let server = TestServer::start().await;
    let (alice, bob) = some_calls(&server, 2).await;
    let carol = server.log_in("carol", "phone").await;
    one_call(&carol, "alice").await;
    let session = bob.client.initiate(call_to("carol")).await.unwrap().session_id;
    carol.until(CallEventKind::IncomingReceived).await;
    carol.client.reject(&session, RejectReason::Rejected).await.unwrap();

    let count = async |filter: LogFilter| alice.client.log(filter).await.unwrap().calls.len();
    let all = LogFilter::default();
    assert_eq!(count(all.clone()).await, 3);
    assert_eq!(count(LogFilter { direction: Some(Direction::Incoming), ..all.clone() }).await, 1);
    assert_eq!(count(LogFilter { uid: Some(uid("bob")), ..all.clone() }).await, 2);
    assert_eq!(count(LogFilter { status: Some(CallStatus::Rejected), ..all.clone() }).await, 0);
    assert_eq!(count(LogFilter { until: Some(UnixMillis(1)), ..all.clone() }).await, 0);
    assert_eq!(count(LogFilter { since: Some(UnixMillis(1)), ..all.clone() }).await, 3);

    let get = async |query: &str, token: String| http(&server, "GET", &format!("/v1/calls{query}"), &[token]).await;
    let calls = async |query: &str, token: String| get(query, token).await.json()["calls"].as_array().unwrap().len();
    assert_eq!(calls("", bearer(&user_token("alice"))).await, 3);
    assert_eq!(calls("?uid=bob&type=VIDEO&limit=1", bearer(&user_token("alice"))).await, 1);
    assert_eq!(calls("", admin()).await, 4, "an owner sees everybody's");
    assert_eq!(calls("?uid=bob&direction=outgoing&status=rejected", admin()).await, 1);
    for bad in ["?limit=0", "?limit=101", "?limit=x", "?type=SMELL", "?cursor=zzz", "?direction=outgoing"] {
        let answer = get(bad, admin()).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (400, "invalid_argument"), "{bad}");
    }
}

#[tokio::test]
async fn one_call_is_shown_to_its_parties_and_the_owner_alone() {
    let server = TestServer::start().await;
    let (alice, _bob) = some_calls(&server, 1).await;
    let call = alice.client.log(LogFilter::default()).await.unwrap().calls.remove(0);
    let path = format!("/v1/calls/{}", call.session_id);
    let get = async |token: String| http(&server, "GET", &path, &[token]).await;
    assert_eq!(get(bearer(&user_token("bob"))).await.json(), serde_json::to_value(&call).unwrap());
    assert_eq!(get(admin()).await.status, 200);
    let eve = get(bearer(&user_token("eve"))).await;
    assert_eq!((eve.status, eve.error_code().as_str()), (403, "not_a_party"));
    let unknown = http(&server, "GET", "/v1/calls/none", &[admin()]).await;
    assert_eq!((unknown.status, unknown.error_code().as_str()), (404, "call_not_found"));
    let nobody = http(&server, "GET", &path, &[]).await;
    assert_eq!((nobody.status, nobody.error_code().as_str()), (401, "token_missing"));
}

#[tokio::test]
async fn a_session_token_is_for_the_parties_of_an_ongoing_call_only() {
    let server = TestServer::start().await;
    let (alice, bob) = some_calls(&server, 0).await;
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    let path = format!("/v1/calls/{session}/token");
    let token = async |uid: &str| http(&server, "POST", &path, &[bearer(&user_token(uid))]).await;
    let early = token("alice").await;
    assert_eq!((early.status, early.error_code().as_str()), (409, "not_yet_accepted"));

    bob.client.accept(&session).await.unwrap();
    let access = token("bob").await.json();
    assert_eq!(access["url"], format!("ws://{}", server.server.http_addr()));
    let eve = token("eve").await;
    assert_eq!((eve.status, eve.error_code().as_str()), (403, "not_a_party"));

    // The token opens the room of this call, and only while the call lasts.
    let enter = format!("/rtc/validate?access_token={}", access["token"].as_str().unwrap());
    assert_eq!(http(&server, "GET", &enter, &[]).await.status, 200);
    alice.client.end(&session).await.unwrap();
    let late = token("bob").await;
    assert_eq!((late.status, late.error_code().as_str()), (409, "already_ended"));
    assert_ne!(http(&server, "GET", &enter, &[]).await.status, 200);
}

#[tokio::test]
async fn the_room_of_a_call_is_closed_to_strangers_and_to_everyone_before_the_accept() {
    let server = TestServer::start().await;
    let (alice, bob) = some_calls(&server, 0).await;
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    // Even with a token that the owner's own key signed.
    let enter = async |identity: &str, room: &SessionId| {
        let token = SessionToken::for_call(ParticipantIdentity::new(identity).unwrap(), String::new(), room);
        let token = token.mint(&key(), UnixMillis::now(), Duration::from_secs(60));
        http(&server, "GET", &format!("/rtc/validate?access_token={token}"), &[]).await
    };
    for identity in ["alice", "bob", "eve"] {
        assert_eq!(enter(identity, &session).await.error_code(), "not_yet_accepted", "{identity}");
    }
    bob.client.accept(&session).await.unwrap();
    assert_eq!(enter("alice", &session).await.status, 200);
    assert_eq!(enter("bob", &session).await.status, 200);
    assert_eq!(enter("eve", &session).await.error_code(), "not_a_party");
    alice.client.end(&session).await.unwrap();
    assert_eq!(enter("alice", &session).await.error_code(), "room_closed");
    // A room that is nobody's call is free, as with any LiveKit server.
    assert_eq!(enter("eve", &SessionId::new("lobby").unwrap()).await.status, 200);
}

#[tokio::test]
async fn health_and_metrics_tell_the_owner_how_it_goes() {
    let server = TestServer::start().await;
    let (_alice, _bob) = some_calls(&server, 2).await;
    let health = http(&server, "GET", "/healthz", &[]).await;
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")));
    let metrics = http(&server, "GET", "/metrics", &[]).await;
    for line in [
        "trill_ringing_connections 2",
        "trill_calls_active 0",
        r#"trill_ringing_requests_total{method="initiate",result="ok"} 2"#,
        "trill_store_commit_seconds_count",
        "trill_sfu_rooms 0",
    ] {
        assert!(metrics.body.contains(line), "no {line:?} in\n{}", metrics.body);
    }
}

#[tokio::test]
async fn a_browser_of_any_origin_may_ask() {
    let server = TestServer::start().await;
    let headers = ["origin: https://app.example".to_owned(), "access-control-request-method: POST".to_owned()];
    let preflight = http(&server, "OPTIONS", "/v1/calls/x/token", &headers).await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.head.contains("access-control-allow-headers: authorization"), "{}", preflight.head);
    let refused = http(&server, "GET", "/v1/calls", &headers[..1]).await;
    assert!(refused.head.contains("access-control-allow-origin: *"), "an error must be readable too");
}
