//! Users and groups over the admin API, and what their changes mean for devices and calls.

use crate::support::*;
use serde_json::{Value, json};
use std::time::Duration;
use trill::base::{ErrorCode, UnixMillis};
use trill::identity::UserToken;
use trill::ringing::client::LoginState;
use trill::ringing::{CallEventKind, EndReason, LogFilter};

async fn put(server: &TestServer, path: &str, body: Value) -> Answer {
    http_json(server, "PUT", path, admin(), body).await
}

async fn get(server: &TestServer, path: &str, token: String) -> Answer {
    http(server, "GET", path, &[token]).await
}

fn as_user(uid: &str) -> String {
    bearer(&user_token(uid))
}

#[tokio::test]
async fn an_owner_creates_changes_reads_and_deletes_users() {
    let server = TestServer::start().await;
    let bob = json!({"name": "Bob", "avatar": "https://example.org/bob.png", "metadata": {"desk": 4}});
    let created = put(&server, "/v1/users/bob", bob.clone()).await;
    let whole = json!({"uid": "bob", "name": "Bob", "avatar": "https://example.org/bob.png", "metadata": {"desk": 4}});
    assert_eq!((created.status, created.json()), (201, whole.clone()));
    // The same once more is no change, and no second user.
    let again = put(&server, "/v1/users/bob", bob).await;
    assert_eq!((again.status, again.json()), (200, whole.clone()));
    assert_eq!(get(&server, "/v1/users/bob", admin()).await.json(), whole);

    let patch = json!({"name": "Robert", "avatar": null});
    let patched = http_json(&server, "PATCH", "/v1/users/bob", admin(), patch).await;
    let expected = json!({"uid": "bob", "name": "Robert", "metadata": {"desk": 4}});
    assert_eq!((patched.status, patched.json()), (200, expected));
    // A put replaces the whole.
    assert_eq!(put(&server, "/v1/users/bob", json!({"name": "B"})).await.json(), json!({"uid": "bob", "name": "B"}));

    assert_eq!(http(&server, "DELETE", "/v1/users/bob", &[admin()]).await.status, 204);
    for answer in [
        get(&server, "/v1/users/bob", admin()).await,
        http(&server, "DELETE", "/v1/users/bob", &[admin()]).await,
        http_json(&server, "PATCH", "/v1/users/bob", admin(), json!({"name": "x"})).await,
    ] {
        assert_eq!((answer.status, answer.error_code().as_str()), (404, "user_unknown"));
    }
}

#[tokio::test]
async fn a_first_login_creates_the_user_with_the_name_and_the_avatar_of_its_token() {
    let server = TestServer::start().await;
    let alice = server.log_in("alice", "phone").await;
    assert_eq!(code(alice.client.initiate(call_to("dora")).await), ErrorCode::UserUnknown);
    let avatar = "https://example.org/dora.png";
    let token = UserToken { name: Some("Dora".into()), avatar: Some(avatar.into()), ..UserToken::new(uid("dora")) };
    let token = token.mint(&key(), UnixMillis::now(), Duration::from_secs(60));
    Device::log_in(&server.url(), token, "phone").await.unwrap();
    let call = alice.client.initiate(call_to("dora")).await.unwrap();
    assert_eq!((call.receiver.name.as_deref(), call.receiver.avatar.as_deref()), (Some("Dora"), Some(avatar)));
}

#[tokio::test]
async fn users_and_groups_come_in_pages_that_hold_while_others_are_added() {
    let server = TestServer::start().await;
    for n in [1, 3, 5, 7, 9] {
        put(&server, &format!("/v1/users/u{n}"), json!({})).await;
        put(&server, &format!("/v1/groups/g{n}"), json!({"name": "G"})).await;
    }
    for (path, list, id, letter) in [("/v1/users", "users", "uid", "u"), ("/v1/groups", "groups", "guid", "g")] {
        let first = get(&server, &format!("{path}?limit=2"), admin()).await.json();
        let next = first["next"].as_str().unwrap().to_owned();
        put(&server, &format!("{path}/{letter}0"), json!({"name": "before the page"})).await;
        let mut ids: Vec<String> = Vec::new();
        let mut page = get(&server, &format!("{path}?limit=2&after={next}"), admin()).await.json();
        loop {
            ids.extend(page[list].as_array().unwrap().iter().map(|item| item[id].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            page = get(&server, &format!("{path}?limit=2&after={next}"), admin()).await.json();
        }
        assert_eq!(ids, [5, 7, 9].map(|n| format!("{letter}{n}")));
    }
}

#[tokio::test]
async fn an_owner_manages_groups_and_their_members() {
    let server = TestServer::start().await;
    for uid in ["alice", "bob", "carol"] {
        put(&server, &format!("/v1/users/{uid}"), json!({"name": uid, "metadata": {"secret": 1}})).await;
    }
    let team = json!({"name": "Team", "metadata": {"floor": 2}});
    assert_eq!(put(&server, "/v1/groups/team", team.clone()).await.status, 201);
    assert_eq!(put(&server, "/v1/groups/team", team).await.status, 200);
    for uid in ["alice", "bob", "bob"] {
        let added = http(&server, "PUT", &format!("/v1/groups/team/members/{uid}"), &[admin()]).await;
        assert_eq!((added.status, added.body.as_str()), (204, ""));
    }
    let members = async |token| {
        let page = get(&server, "/v1/groups/team/members", token).await.json();
        page["members"].as_array().unwrap().iter().map(|m| m["uid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(members(admin()).await, ["alice", "bob"]);

    // Members read it, without what is the owner's own; others do not.
    assert_eq!(get(&server, "/v1/groups/team", as_user("bob")).await.json(), json!({"guid": "team", "name": "Team"}));
    assert_eq!(members(as_user("bob")).await, ["alice", "bob"]);
    let shown = get(&server, "/v1/groups/team/members", as_user("bob")).await;
    assert!(!shown.body.contains("secret"), "{}", shown.body);
    let mine = |answer: Answer| answer.json()["groups"].as_array().unwrap().len();
    assert_eq!(mine(get(&server, "/v1/groups", as_user("bob")).await), 1);
    assert_eq!(mine(get(&server, "/v1/groups", as_user("carol")).await), 0);
    for path in ["/v1/groups/team", "/v1/groups/team/members"] {
        let answer = get(&server, path, as_user("carol")).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (403, "not_a_member"));
    }

    assert_eq!(http(&server, "DELETE", "/v1/groups/team/members/bob", &[admin()]).await.status, 204);
    assert_eq!(http(&server, "DELETE", "/v1/groups/team/members/bob", &[admin()]).await.status, 204);
    assert_eq!(members(admin()).await, ["alice"]);
    // A user who is deleted is in no group, also not when it is created again.
    http(&server, "DELETE", "/v1/users/alice", &[admin()]).await;
    put(&server, "/v1/users/alice", json!({})).await;
    assert_eq!(members(admin()).await, Vec::<String>::new());

    assert_eq!(http(&server, "DELETE", "/v1/groups/team", &[admin()]).await.status, 204);
    assert_eq!(get(&server, "/v1/groups/team", admin()).await.error_code(), "group_unknown");
}

#[tokio::test]
async fn a_user_token_reads_itself_and_manages_nothing() {
    let server = TestServer::start().await;
    let _alice = server.log_in("alice", "phone").await;
    assert_eq!(get(&server, "/v1/users/alice", as_user("alice")).await.json()["name"], "ALICE");
    for (method, path) in [
        ("GET", "/v1/users/bob"),
        ("GET", "/v1/users"),
        ("PUT", "/v1/users/alice"),
        ("PATCH", "/v1/users/alice"),
        ("DELETE", "/v1/users/alice"),
        ("PUT", "/v1/groups/g"),
        ("DELETE", "/v1/groups/g"),
        ("PUT", "/v1/groups/g/members/alice"),
        ("DELETE", "/v1/groups/g/members/alice"),
    ] {
        let answer = http_json(&server, method, path, as_user("alice"), json!({"name": "x"})).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (403, "token_missing_grant"), "{method} {path}");
        let nobody = http_json(&server, method, path, "x: y".into(), json!({"name": "x"})).await;
        assert_eq!((nobody.status, nobody.error_code().as_str()), (401, "token_missing"), "{method} {path}");
        assert!(nobody.head.contains("www-authenticate: bearer"));
    }
}

#[tokio::test]
async fn a_deleted_user_is_out_of_its_call_at_once_and_out_of_the_server_until_it_is_created_again() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    bob.client.accept(&session).await.unwrap();

    assert_eq!(http(&server, "DELETE", "/v1/users/bob", &[admin()]).await.status, 204);
    let state = bob.until_login(|state| matches!(state, LoginState::LoggedOut(_))).await;
    let LoginState::LoggedOut(error) = state else { unreachable!() };
    assert_eq!(error.code(), ErrorCode::UserRemoved);
    let ended = alice.until(CallEventKind::Ended).await;
    assert_eq!(ended.call.end_reason, Some(EndReason::Removed));

    // Its token is good for nothing any more.
    let refused = Device::log_in(&server.url(), user_token("bob"), "laptop").await.map(drop);
    assert_eq!(code(refused), ErrorCode::UserRemoved);
    let token = format!("/v1/calls/{session}/token");
    for (method, path) in [("GET", "/v1/calls"), ("GET", "/v1/users/bob"), ("POST", token.as_str())] {
        let answer = http(&server, method, path, &[as_user("bob")]).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (403, "user_removed"), "{path}");
    }
    assert_eq!(code(alice.client.initiate(call_to("bob")).await), ErrorCode::UserUnknown);
    // The call stays in the log of the other.
    assert_eq!(alice.client.log(LogFilter::default()).await.unwrap().calls.len(), 1);

    put(&server, "/v1/users/bob", json!({"name": "Bob"})).await;
    let bob = server.log_in("bob", "laptop").await;
    alice.client.initiate(call_to("bob")).await.unwrap();
    bob.expect(CallEventKind::IncomingReceived).await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_code_and_changes_nothing() {
    let server = TestServer::start_with(|config| {
        config.limits.metadata_size = 100;
        config.limits.body_size = 4096;
        config.limits.group_size = 2;
    })
    .await;
    let bad = async |body: Value, status: u16, code: &str| {
        let answer = put(&server, "/v1/users/bob", body.clone()).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (status, code), "{body}");
    };
    bad(json!({"nmae": "x"}), 400, "invalid_argument").await;
    bad(json!({"name": 7}), 400, "invalid_argument").await;
    bad(json!({"name": ""}), 400, "invalid_argument").await;
    bad(json!({"avatar": "javascript:alert(1)"}), 400, "invalid_argument").await;
    bad(json!({"metadata": "text"}), 400, "invalid_argument").await;
    bad(json!([]), 400, "invalid_argument").await;
    bad(json!({"metadata": {"x": "y".repeat(100)}}), 413, "too_large").await;
    bad(json!({"name": "x".repeat(5000)}), 413, "too_large").await;
    let json = "content-type: application/json".to_owned();
    let broken = http_with(&server, "PUT", "/v1/users/bob", &[admin(), json], "{\"name\":").await;
    assert_eq!((broken.status, broken.error_code().as_str()), (400, "malformed"));
    let text = http_with(&server, "PUT", "/v1/users/bob", &[admin()], "{}").await;
    assert_eq!((text.status, text.error_code().as_str()), (415, "malformed"));
    assert_eq!(get(&server, "/v1/users/bob", admin()).await.status, 404, "nothing of that was taken");

    for path in ["/v1/users/a%00b", &format!("/v1/users/{}", "x".repeat(129)), "/v1/users/%FF"] {
        let answer = put(&server, path, json!({})).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (400, "invalid_argument"), "{path}");
    }
    for query in ["?limit=0", "?limit=101", "?limit=x", "?after=", "?before=x"] {
        let answer = get(&server, &format!("/v1/users{query}"), admin()).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (400, "invalid_argument"), "{query}");
    }
    let answer = get(&server, "/v1/nothing", admin()).await;
    assert_eq!((answer.status, answer.error_code().as_str()), (404, "not_supported"));
    let answer = http(&server, "POST", "/v1/users/bob", &[admin()]).await;
    assert_eq!((answer.status, answer.error_code().as_str()), (405, "not_supported"));
    assert!(answer.head.contains("allow: "), "{}", answer.head);

    put(&server, "/v1/groups/team", json!({"name": "Team"})).await;
    assert_eq!(put(&server, "/v1/groups/nameless", json!({})).await.error_code(), "invalid_argument");
    for (uid, status, code) in
        [("a", 204, ""), ("b", 204, ""), ("c", 413, "too_large"), ("nobody", 404, "user_unknown")]
    {
        if uid != "nobody" {
            put(&server, &format!("/v1/users/{uid}"), json!({})).await;
        }
        let answer = http(&server, "PUT", &format!("/v1/groups/team/members/{uid}"), &[admin()]).await;
        assert_eq!(answer.status, status, "{uid}");
        assert!(code.is_empty() || answer.error_code() == code, "{uid}");
    }
    let answer = http(&server, "PUT", "/v1/groups/none/members/a", &[admin()]).await;
    assert_eq!((answer.status, answer.error_code().as_str()), (404, "group_unknown"));
}

#[tokio::test]
async fn the_document_of_the_api_is_served() {
    let server = TestServer::start().await;
    let answer = http(&server, "GET", "/v1/openapi.json", &[]).await;
    let document = answer.json();
    assert_eq!((answer.status, document["openapi"].as_str()), (200, Some("3.1.0")));
    // Each path of it is there: with no token every one is refused for that, and none is unknown.
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let path = path.replace(['{', '}'], "");
            let answer = http(&server, &method.to_uppercase(), &path, &[]).await;
            let open = operation["security"].as_array().unwrap().is_empty();
            assert_eq!(answer.status, if open { 200 } else { 401 }, "{method} {path}: {}", answer.body);
            operations += 1;
        }
    }
    assert!(operations >= 19, "{operations}");
}
