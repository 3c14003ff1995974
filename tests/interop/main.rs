//! Clients that we did not write, in sessions on our server: PyPI `livekit` and livekit-client in Chromium.
//!
//! README.md in this folder says what they run and what they need. A missing client fails the test.
#![cfg(feature = "server")]
#![allow(clippy::disallowed_methods, reason = "a test that waits for real clients")]

#[allow(dead_code, reason = "the session tests use all of it")]
#[path = "../session/client.rs"]
mod client;
mod peer;
mod server;

use client::Client;
use peer::{Kind, Peer};
use serde_json::{Value, json};
use server::TestServer;
use std::sync::{Mutex, PoisonError};
use trill::device::{AudioInput, VideoInput};
use trill::session::{OutgoingData, SessionEvent, TrackSource};

/// Encoders in software: one test at a time has the machine.
static MACHINE: Mutex<()> = Mutex::new(());

/// The tones that the peers send, in hertz.
const TONES: [f64; 3] = [440.0, 880.0, 1320.0];

#[test]
fn two_python_clients_talk() {
    conversation([Kind::Python, Kind::Python]);
}

#[test]
fn two_chromium_clients_talk() {
    conversation([Kind::Chromium, Kind::Chromium]);
}

#[test]
fn a_python_and_a_chromium_client_talk() {
    conversation([Kind::Python, Kind::Chromium]);
}

#[test]
fn our_engine_talks_with_a_python_and_a_chromium_client_at_once() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = TestServer::start();
    let engine = Client::join_with(&server.url, &server.token("engine"), |settings| {
        settings.microphone = AudioInput::Tone { hz: 1320.0 };
        settings.camera = VideoInput::TestPicture { width: 640, height: 360, fps: 15 };
    });
    engine.wait_until_connected();

    // One after the other, as the engine's speaker plays a mix.
    for (kind, identity, tone) in [(Kind::Python, "anna", 440.0), (Kind::Chromium, "ben", 880.0)] {
        let peer = Peer::start(kind, &server, identity, tone);
        engine.wait_for("a picture of the peer", |event| match event {
            SessionEvent::FirstVideo { participant, .. } => (participant.as_str() == identity).then_some(()),
            _ => None,
        });
        let heard = f64::from(engine.hear());
        assert!((heard - tone).abs() < tone * 0.03, "the engine hears {heard} Hz of {identity}, not {tone} Hz");
        engine.see(10);
        peer.act(json!({ "do": "leave" }));
        engine.wait_for("that the peer left", |event| {
            matches!(event, SessionEvent::ParticipantLeft { .. }).then_some(())
        });
    }

    let peers = [(Kind::Python, "carl", 440.0), (Kind::Chromium, "dora", 880.0)]
        .map(|(kind, identity, tone)| Peer::start(kind, &server, identity, tone));
    let of_engine = |event: &Value| event["participant"] == "engine";
    for peer in &peers {
        peer.expect(0, "the engine's tone", |event| {
            of_engine(event) && (number(event, "hz") - 1320.0).abs() < 26.0 && number(event, "level") > -30.0
        });
        peer.expect(0, "the engine's picture", |event| of_engine(event) && number(event, "frames") >= 5.0);
    }
    // It is a group now: the picture comes in two sizes.
    engine.poll("two layers", || {
        let stats = engine.runtime.block_on(engine.handle.stats()).unwrap();
        let camera = stats.sent.into_iter().find(|track| track.source == TrackSource::Camera).unwrap();
        (camera.layers.iter().filter(|layer| layer.video.frames > 0).count() == 2).then_some(())
    });
    let say =
        OutgoingData { payload: "to all".into(), topic: Some("chat".into()), reliable: true, destinations: Vec::new() };
    engine.runtime.block_on(engine.handle.send_data(say)).unwrap();
    engine.runtime.block_on(engine.handle.set_muted(TrackSource::Microphone, true)).unwrap();
    for peer in &peers {
        peer.expect(0, "the engine's message", |event| of_engine(event) && event["text"] == "to all");
        peer.expect(0, "the engine's mute", |event| of_engine(event) && event["event"] == "muted");
        peer.act(json!({ "do": "data", "text": "to the engine", "to": ["engine"] }));
        let text = engine.wait_for("a message", |event| match event {
            SessionEvent::Data { message } => Some(message.payload.clone()),
            _ => None,
        });
        assert_eq!(text, "to the engine");
    }
    engine.leave();
    for peer in &peers {
        peer.expect(0, "that the engine left", |event| of_engine(event) && event["event"] == "participant_left");
    }
}

#[test]
fn a_chromium_client_that_loses_its_signalling_resumes_and_one_that_loses_all_joins_anew() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = TestServer::start();
    let [a, b] = meet(&server, [Kind::Python, Kind::Chromium]);
    for scenario in ["signal-reconnect", "full-reconnect"] {
        let (mark_a, mark_b) = (a.mark(), b.mark());
        b.act(json!({ "do": "simulate", "scenario": scenario }));
        b.expect(mark_b, "it is back", |event| event["event"] == "reconnected");
        let mark_b = b.mark();
        hears(&b, mark_b, &a);
        hears(&a, mark_a, &b);
        if scenario == "signal-reconnect" {
            let left = a.events(mark_a).into_iter().any(|event| event["event"] == "participant_left");
            assert!(!left, "others notice nothing of a resume");
        }
        sees(&a, a.mark(), &b);
        sees(&b, b.mark(), &a);
    }
}

#[test]
fn a_client_whose_process_dies_is_gone_for_the_others() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = TestServer::start();
    let [a, b] = meet(&server, [Kind::Python, Kind::Python]);
    let mark = a.mark();
    b.kill();
    a.expect(mark, "that the other is gone", |event| is(event, "participant_left", &b));
}

/// Both directions of everything: sound, picture, mute, data, unpublish, leave.
fn conversation(kinds: [Kind; 2]) {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = TestServer::start();
    let [a, b] = meet(&server, kinds);
    for (from, to) in [(&a, &b), (&b, &a)] {
        mutes(from, to);
        sends_data(from, to);
        takes_its_picture_back(from, to);
    }
    let mark = b.mark();
    a.act(json!({ "do": "leave" }));
    b.expect(mark, "that the other left", |event| is(event, "participant_left", &a));
    a.expect(0, "its own end", |event| event["event"] == "disconnected" || event["event"] == "left");
}

/// Two clients, in a room of their own, that hear and see each other.
fn meet(server: &TestServer, kinds: [Kind; 2]) -> [Peer; 2] {
    let start = |index: usize| {
        let identity = ["anna", "ben"][index];
        let peer = Peer::start(kinds[index], server, identity, TONES[index]);
        peer.expect(0, "that it publishes", |event| event["event"] == "published");
        peer
    };
    let peers = [start(0), start(1)];
    let [a, b] = &peers;
    a.expect(0, "that the other came", |event| is(event, "participant_joined", b));
    for (ear, mouth) in [(a, b), (b, a)] {
        hears(ear, 0, mouth);
        sees(ear, 0, mouth);
    }
    peers
}

fn hears(ear: &Peer, mark: usize, mouth: &Peer) {
    ear.expect(mark, &format!("{}'s tone", mouth.identity), |event| {
        let (level, hz) = (number(event, "level"), number(event, "hz"));
        is(event, "audio", mouth) && level > -30.0 && (hz - mouth.tone).abs() < mouth.tone * 0.02
    });
}

fn sees(eye: &Peer, mark: usize, other: &Peer) {
    eye.expect(mark, &format!("{}'s moving picture", other.identity), |event| {
        is(event, "video", other) && number(event, "frames") >= 5.0 && number(event, "width") >= 160.0
    });
}

fn mutes(from: &Peer, to: &Peer) {
    let mark = to.mark();
    from.act(json!({ "do": "mute", "kind": "audio", "muted": true }));
    to.expect(mark, "the mute", |event| is(event, "muted", from) && event["kind"] == "audio");
    let mark = to.mark();
    to.expect(mark, "silence", |event| is(event, "audio", from) && number(event, "level") < -50.0);
    from.act(json!({ "do": "mute", "kind": "audio", "muted": false }));
    to.expect(mark, "the end of the mute", |event| is(event, "unmuted", from));
    let mark = to.mark();
    hears(to, mark, from);
}

fn sends_data(from: &Peer, to: &Peer) {
    let data = |text: &str| {
        let (text, from) = (text.to_owned(), from.identity.clone());
        move |event: &Value| event["event"] == "data" && event["text"] == *text && event["participant"] == *from
    };
    let mark = to.mark();
    from.act(json!({ "do": "data", "text": "not for you", "to": ["somebody else"] }));
    from.act(json!({ "do": "data", "text": "to all", "topic": "chat" }));
    let to_all = to.expect(mark, "a message to all", data("to all"));
    assert_eq!(to_all["topic"], "chat");
    from.act(json!({ "do": "data", "text": "to you, if it arrives", "to": [to.identity], "reliable": false }));
    to.expect(mark, "a message to it", data("to you, if it arrives"));
    assert!(!to.events(mark).iter().any(data("not for you")), "a message to somebody else came to {}", to.identity);
}

fn takes_its_picture_back(from: &Peer, to: &Peer) {
    let mark = to.mark();
    from.act(json!({ "do": "unpublish", "kind": "video" }));
    to.expect(mark, "that the picture is taken back", |event| is(event, "track_unpublished", from));
    let mark = to.mark();
    from.act(json!({ "do": "publish", "kind": "video" }));
    to.expect(mark, "that it is there again", |event| is(event, "track_subscribed", from));
    sees(to, mark, from);
}

fn is(event: &Value, what: &str, participant: &Peer) -> bool {
    event["event"] == what && event["participant"] == *participant.identity
}

fn number(event: &Value, field: &str) -> f64 {
    event[field].as_f64().unwrap_or(f64::NAN)
}
