//! Each refusal has its own code; the time is ours to choose.

use super::*;
use crate::base::{ErrorCode, ParticipantIdentity, SessionId, Uid, UnixMillis};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::time::Duration;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

fn key(id: &str) -> ApiKey {
    ApiKey::new(id, format!("{id} secret that is long enough for HS256")).unwrap()
}

fn ring() -> KeyRing {
    KeyRing::new(key("main"))
}

fn alice() -> UserToken {
    UserToken { uid: Uid::new("alice").unwrap(), name: Some("Alice".into()), avatar: None }
}

fn in_room(room: &str) -> SessionToken {
    let (identity, room) = (ParticipantIdentity::new("alice").unwrap(), SessionId::new(room).unwrap());
    SessionToken::for_call(identity, "Alice".into(), &room)
}

fn refusal(token: &str, now: UnixMillis) -> ErrorCode {
    UserToken::verify(&ring(), token, now).unwrap_err().code()
}

/// A token of our own key's, with any header and claims.
fn forge(header: &str, claims: serde_json::Value) -> String {
    let b64 = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", b64(header), b64(&claims.to_string()), b64("no signature"))
}

#[test]
fn a_token_tells_whom_it_was_minted_for() {
    let token = alice().mint(&key("main"), NOW, HOUR);
    assert_eq!(UserToken::verify(&ring(), &token, NOW), Ok(alice()));
}

#[test]
fn no_token_and_no_jwt_are_told_apart() {
    assert_eq!(refusal("", NOW), ErrorCode::TokenMissing);
    for bad in ["x", "a.b", "a.b.c", "....", "é.é.é"] {
        assert_eq!(refusal(bad, NOW), ErrorCode::TokenMalformed, "{bad:?}");
    }
    assert_eq!(refusal(&"x".repeat(100_000), NOW), ErrorCode::TooLarge);
}

#[test]
fn only_hs256_is_accepted() {
    let claims = serde_json::json!({"iss": "main", "sub": "alice", "use": "user", "exp": 4_000_000_000_u64});
    for algorithm in ["none", "None", "RS256", "HS384", "ES256"] {
        let token = forge(&format!(r#"{{"alg":"{algorithm}"}}"#), claims.clone());
        assert_eq!(refusal(&token, NOW), ErrorCode::TokenAlgorithm, "{algorithm}");
    }
    assert_eq!(refusal(&forge(r#"{"alg":"HS256"}"#, claims), NOW), ErrorCode::TokenWrongKey);
}

#[test]
fn a_token_of_another_key_or_of_the_same_id_with_another_secret_is_refused() {
    assert_eq!(refusal(&alice().mint(&key("other"), NOW, HOUR), NOW), ErrorCode::TokenWrongKey);
    let impostor = ApiKey::new("main", "another secret that is long enough too").unwrap();
    assert_eq!(refusal(&alice().mint(&impostor, NOW, HOUR), NOW), ErrorCode::TokenWrongKey);
}

#[test]
fn two_keys_overlap_while_an_owner_changes_them() {
    let mut keys = ring();
    keys.add(key("next"));
    assert!(UserToken::verify(&keys, &alice().mint(&key("next"), NOW, HOUR), NOW).is_ok());
    assert_eq!(keys.minting().id(), "main");
}

#[test]
fn a_token_is_valid_from_its_start_to_its_end_with_30_s_for_the_clocks() {
    let token = alice().mint(&key("main"), NOW, HOUR);
    let verify = |now| UserToken::verify(&ring(), &token, now).map(|_| ()).map_err(|e| e.code());
    let before = |d: Duration| UnixMillis(NOW.0 - d.as_millis() as u64);

    assert_eq!(verify(before(LEEWAY)), Ok(()));
    assert_eq!(verify(before(LEEWAY + SECOND)), Err(ErrorCode::TokenNotYetValid));
    assert_eq!(verify(NOW + (HOUR + LEEWAY - SECOND)), Ok(()));
    assert_eq!(verify(NOW + HOUR + LEEWAY), Err(ErrorCode::TokenExpired));
}

#[test]
fn a_token_without_an_end_or_without_a_uid_is_malformed() {
    let key = key("main");
    let sign = |claims: serde_json::Value| {
        jsonwebtoken::encode(
            &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256),
            &claims,
            &jsonwebtoken::EncodingKey::from_secret(
                format!("{} secret that is long enough for HS256", key.id()).as_bytes(),
            ),
        )
        .unwrap()
    };
    let endless = sign(serde_json::json!({"iss": "main", "sub": "alice", "use": "user"}));
    assert_eq!(refusal(&endless, NOW), ErrorCode::TokenMalformed);
    let nobody = sign(serde_json::json!({"iss": "main", "use": "user", "exp": 4_000_000_000_u64}));
    assert_eq!(refusal(&nobody, NOW), ErrorCode::TokenMalformed);
    let no_number = sign(serde_json::json!({"iss": "main", "sub": "alice", "use": "user", "exp": "later"}));
    assert_eq!(refusal(&no_number, NOW), ErrorCode::TokenMalformed);
}

#[test]
fn one_kind_of_token_is_not_taken_for_another() {
    let keys = ring();
    let user = alice().mint(&key("main"), NOW, HOUR);
    let admin = AdminToken { name: "backend".into() }.mint(&key("main"), NOW, HOUR);
    let session = in_room("r").mint(&key("main"), NOW, HOUR);

    for wrong in [&admin, &session] {
        assert_eq!(refusal(wrong, NOW), ErrorCode::TokenMissingGrant);
    }
    for wrong in [&user, &session] {
        assert_eq!(AdminToken::verify(&keys, wrong, NOW).unwrap_err().code(), ErrorCode::TokenMissingGrant);
    }
    for wrong in [&user, &admin] {
        assert_eq!(SessionToken::verify(&keys, wrong, NOW).unwrap_err().code(), ErrorCode::TokenMissingGrant);
    }
}

#[test]
fn a_session_token_is_for_one_room() {
    let token = in_room("here").mint(&key("main"), NOW, HOUR);
    let verify = |room: &str| SessionToken::verify_for(&ring(), &token, &SessionId::new(room).unwrap(), NOW);
    assert!(verify("here").is_ok());
    assert_eq!(verify("there").unwrap_err().code(), ErrorCode::TokenWrongRoom);
}

#[test]
fn a_session_token_without_join_or_room_lacks_the_grant() {
    for (join, room) in [(false, "r"), (true, "")] {
        let mut token = in_room("r");
        token.video.room_join = join;
        token.video.room = room.into();
        let token = token.mint(&key("main"), NOW, HOUR);
        assert_eq!(SessionToken::verify(&ring(), &token, NOW).unwrap_err().code(), ErrorCode::TokenMissingGrant);
    }
}

#[test]
fn an_absent_can_means_allowed_and_sources_narrow_it() {
    let mut token = in_room("r");
    assert!(token.grants().may_publish("camera") && token.grants().subscribe && token.grants().publish_data);
    token.video.can_publish_sources = vec!["microphone".into()];
    assert!(token.grants().may_publish("microphone") && !token.grants().may_publish("camera"));
    token.video.can_publish = Some(false);
    assert!(!token.grants().may_publish("microphone"));
}

#[test]
fn a_short_secret_is_refused_and_no_secret_is_printed() {
    assert_eq!(ApiKey::new("k", "short").unwrap_err().code(), ErrorCode::Configuration);
    assert!(!format!("{:?}", ring()).contains("secret that is"));
}
