use super::*;

fn start() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "a start for the virtual clock")]
    Instant::now()
}

fn client() -> Client {
    Client::new(ClientSettings {
        token: "t".into(),
        device_id: DeviceId::new("d").unwrap(),
        call_waiting: false,
        request_timeout: Duration::from_secs(15),
        seed: 7,
    })
}

fn outputs(client: &mut Client) -> Vec<ClientOutput> {
    std::iter::from_fn(|| client.poll_output()).collect()
}

fn events(client: &mut Client) -> Vec<CallEventKind> {
    let kind = |output| match output {
        ClientOutput::Event(event) => Some(event.kind),
        _ => None,
    };
    outputs(client).into_iter().filter_map(kind).collect()
}

/// A call from `me` on this device to `bob`.
fn dialled(status: &str) -> String {
    let revision = ["initiated", "ongoing", "ended"].iter().position(|known| *known == status).unwrap() + 1;
    let over = if status == "ended" { r#","endReason":"hung_up","endedBy":"bob""# } else { "" };
    format!(
        r#"{{"sessionId":"s","revision":{revision},"initiator":{{"uid":"me"}},"receiver":{{"id":"bob"}},"receiverType":"USER",
        "type":"AUDIO","category":"call","status":"{status}","initiatedAt":1,"durationMs":0{over},"participants":[
        {{"uid":"me","deviceId":"d","state":"accepted","joined":false}},{{"uid":"bob","state":"accepted","joined":false}}]}}"#
    )
}

fn event(kind: &str, call: &str) -> String {
    format!(r#"{{"type":"event","event":"{kind}","call":{call}}}"#)
}

fn log_in(client: &mut Client, now: Instant, calls: &str) {
    client.connected(now);
    let welcome = format!(
        r#"{{"type":"welcome","version":1,"user":{{"uid":"me"}},"time":1,"pingIntervalMs":10000,"calls":[{calls}]}}"#
    );
    client.received(now, &welcome);
}

#[test]
fn a_first_login_that_fails_is_over_and_a_later_one_is_repeated_ever_more_slowly() {
    let now = start();
    let mut refused = client();
    refused.start();
    refused.disconnected(now, ErrorCode::ServerUnreachable.into());
    assert!(matches!(outputs(&mut refused).last(), Some(ClientOutput::Login(LoginState::LoggedOut(_)))));

    let mut client = client();
    client.start();
    log_in(&mut client, now, "");
    let mut waits = Vec::new();
    for _ in 0..10 {
        client.disconnected(now, ErrorCode::ConnectionLost.into());
        waits.push(client.next_wake().unwrap() - now);
    }
    assert!(waits[0] <= BACKOFF.0 && waits[9] >= BACKOFF.1 / 2 && waits[9] <= BACKOFF.1, "{waits:?}");
    let told = outputs(&mut client);
    let told = told.iter().filter(|o| matches!(o, ClientOutput::Login(LoginState::Reconnecting(_)))).count();
    assert_eq!(told, 1, "the app is told once that the connection is lost");
}

#[test]
fn the_same_state_told_twice_is_one_event() {
    let now = start();
    let mut client = client();
    client.start();
    log_in(&mut client, now, &dialled("initiated"));
    client.received(now, &event("outgoing_accepted", &dialled("ongoing")));
    client.disconnected(now, ErrorCode::ConnectionLost.into());
    log_in(&mut client, now, &dialled("ongoing"));
    assert_eq!(events(&mut client), [CallEventKind::OutgoingAccepted]);
    client.received(now, &event("ended", &dialled("ended")));
    client.received(now, &event("ended", &dialled("ended")));
    client.received(now, &event("outgoing_accepted", &dialled("ongoing")));
    assert_eq!(events(&mut client), [CallEventKind::Ended]);
    assert_eq!(client.active_call(), None);
}

#[test]
fn a_cleared_call_is_heard_of_no_more() {
    let now = start();
    let mut client = client();
    client.start();
    log_in(&mut client, now, &dialled("ongoing"));
    events(&mut client);
    assert!(client.clear_active_call().is_some());
    assert_eq!(client.active_call(), None);
    client.received(now, &event("ended", &dialled("ended")));
    assert_eq!(events(&mut client), []);
}

#[test]
fn a_server_that_falls_silent_is_left_and_a_request_is_sent_again_on_the_next_connection() {
    let now = start();
    let mut client = client();
    client.start();
    log_in(&mut client, now, "");
    let id = client.request(now + Duration::from_secs(29), Request::Query(Query::Calls(Default::default())));
    outputs(&mut client);
    client.tick(now + Duration::from_secs(30));
    assert!(matches!(outputs(&mut client)[0], ClientOutput::Disconnect));
    let now = now + Duration::from_secs(31);
    client.tick(now);
    log_in(&mut client, now, "");
    let again = |output: &ClientOutput| match output {
        ClientOutput::Send(ClientMessage::Request(request)) => request.id == id,
        _ => false,
    };
    assert!(outputs(&mut client).iter().any(again));
}

fn push(sub: &str, exp: u64) -> String {
    use base64::Engine as _;
    let claims =
        format!(r#"{{"use":"wake","exp":{exp},"sub":"{sub}","sessionId":"s","from":{{"uid":"bob"}},"type":"AUDIO"}}"#);
    format!("h.{}.s", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))
}

/// The error that a push is refused with at once.
fn refused(client: &mut Client, now: Instant, payload: &str) -> Option<ErrorCode> {
    let id = client.call_from_push(now, payload.as_bytes());
    outputs(client).into_iter().find_map(|output| match output {
        ClientOutput::Answer { id: answered, result } if answered == id => result.err().map(|error| error.code()),
        _ => None,
    })
}

#[test]
fn a_push_is_judged_by_the_servers_clock_and_for_the_user_who_is_logged_in() {
    let now = start();
    let mut client = client();
    assert_eq!(refused(&mut client, now, &push("me", 10)), Some(ErrorCode::NotLoggedIn));
    client.start();
    // Its time is 1 ms.
    log_in(&mut client, now, "");
    assert_eq!(refused(&mut client, now, &push("you", 10)), Some(ErrorCode::NotAParty));
    assert_eq!(refused(&mut client, now + Duration::from_secs(9), &push("me", 10)), None);
    assert_eq!(refused(&mut client, now + Duration::from_secs(10), &push("me", 10)), Some(ErrorCode::TokenExpired));
}

#[test]
fn a_push_finds_out_that_the_connection_died_in_the_devices_sleep() {
    let now = start();
    let mut client = client();
    client.start();
    log_in(&mut client, now, "");
    outputs(&mut client);
    let id = client.call_from_push(now, push("me", 100).as_bytes());
    assert_eq!(client.next_wake(), Some(now + PROBE));
    let sent = |output: &ClientOutput| match output {
        ClientOutput::Send(ClientMessage::Request(request)) => request.id == id,
        _ => false,
    };
    assert!(outputs(&mut client).iter().any(sent));
    client.tick(now + PROBE);
    assert!(outputs(&mut client).iter().any(|output| matches!(output, ClientOutput::Disconnect)));
    let retry = client.next_wake().unwrap();
    client.tick(retry);
    log_in(&mut client, retry, "");
    assert!(outputs(&mut client).iter().any(sent), "it is asked again on the new connection");
}

#[test]
fn a_connection_that_shows_that_it_lives_is_kept_after_a_push_and_one_that_waits_is_made_at_once() {
    let now = start();
    let mut client = client();
    client.start();
    log_in(&mut client, now, "");
    client.call_from_push(now, push("me", 100).as_bytes());
    client.heard(now + Duration::from_secs(1));
    outputs(&mut client);
    client.tick(now + PROBE);
    assert!(outputs(&mut client).is_empty());

    client.disconnected(now + PROBE, ErrorCode::ConnectionLost.into());
    client.call_from_push(now + PROBE, push("me", 100).as_bytes());
    assert_eq!(client.next_wake(), Some(now + PROBE));
}

#[test]
fn a_replaced_device_is_logged_out_for_good_and_its_requests_fail() {
    let now = start();
    let mut client = client();
    client.start();
    log_in(&mut client, now, "");
    let id = client.request(now, Request::Query(Query::Calls(Default::default())));
    client.received(now, r#"{"type":"bye","error":{"code":"device_replaced","message":"elsewhere"}}"#);
    let answered = |output: &ClientOutput| match output {
        ClientOutput::Answer { id: answered, result } => *answered == id && result.is_err(),
        _ => false,
    };
    assert!(outputs(&mut client).iter().any(answered));
    assert_eq!(client.next_wake(), None);
}

#[test]
fn who_is_logged_out_is_in_no_call_and_rings_no_more() {
    const REMOVED: &str = r#"{"type":"bye","error":{"code":"user_removed","message":"the owner removed you"}}"#;
    let incoming = dialled("initiated")
        .replace(r#""sessionId":"s""#, r#""sessionId":"t""#)
        .replace(r#"{"uid":"me"}"#, r#"{"uid":"bob"}"#)
        .replace(r#"{"uid":"me","deviceId":"d","state":"accepted","#, r#"{"uid":"me","state":"invited","#);
    for by_the_owner in [true, false] {
        let (mut client, now) = (client(), start());
        client.start();
        log_in(&mut client, now, &[dialled("ongoing"), incoming.clone()].join(","));
        assert!(client.active_call().is_some() && client.incoming_calls().count() == 1);
        match by_the_owner {
            true => client.received(now, REMOVED),
            false => client.stop(),
        }
        assert!(client.active_call().is_none() && client.incoming_calls().count() == 0, "{by_the_owner}");
    }
}
