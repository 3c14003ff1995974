//! Whose media connection has to come up in time, and who is left alone. Signalling works in all of this, and its pings are not
//! the business of a room.

use super::kit::{Net, config, token};
use super::{SECOND, leaves, told_of};
use crate::server::sfu::SfuConfig;
use livekit_protocol::participant_info::State;
use livekit_protocol::{DisconnectReason, SignalTarget, TrackSource};
use std::time::Duration;

/// Shorter than an offer may go unanswered, which would be another reason to put somebody out.
const PATIENCE: Duration = Duration::from_secs(5);

fn impatient() -> Net {
    Net::with(SfuConfig { connect_timeout: PATIENCE, ..config() })
}

/// DTLS alone is lost on its way to the server (RFC 7983): ICE comes up.
fn is_dtls(datagram: &[u8]) -> bool {
    (20..=63).contains(&datagram[0])
}

fn assert_put_out(net: &Net, client: usize, reason: DisconnectReason) {
    let reasons: Vec<_> = leaves(net, client).iter().map(|leave| leave.reason()).collect();
    assert_eq!(reasons, [reason]);
    assert!(net.clients[client].disconnected);
}

/// It was not told to leave, and another one knows it as one whose media flow.
fn assert_in(net: &Net, client: usize, other: usize, identity: &str) {
    assert!(leaves(net, client).is_empty());
    assert_eq!(told_of(net, other, identity).unwrap().state(), State::Active);
}

#[test]
fn who_answers_pings_and_agrees_on_no_keys_is_told_and_put_out() {
    let mut net = impatient();
    let anna = net.join("anna");
    net.run_until("her connection", |net| net.clients[anna].is_connected());
    net.run(SECOND);
    net.lose = Box::new(is_dtls);
    let ben = net.join("ben");
    net.run(PATIENCE - SECOND);
    assert!(net.ice_is_up(ben, SignalTarget::Subscriber), "it is one who answers");
    assert!(leaves(&net, ben).is_empty(), "before its time");
    net.run(SECOND * 2);
    assert_put_out(&net, ben, DisconnectReason::JoinFailure);
    assert_eq!(told_of(&net, anna, "ben").unwrap().state(), State::Disconnected);
    assert!(leaves(&net, anna).is_empty());
}

#[test]
fn so_is_who_answers_over_signalling_alone() {
    let mut net = impatient();
    net.lose = Box::new(|_| true);
    let ben = net.join("ben");
    net.run(PATIENCE - SECOND);
    assert!(leaves(&net, ben).is_empty(), "before its time");
    net.run(SECOND * 2);
    assert_put_out(&net, ben, DisconnectReason::JoinFailure);
}

#[test]
fn so_is_who_receives_and_agrees_on_no_keys_for_what_it_publishes() {
    let mut net = impatient();
    let anna = net.join("anna");
    net.run_until("her connection", |net| net.clients[anna].is_connected());
    net.run(SECOND);
    net.lose = Box::new(is_dtls);
    net.publish(anna, TrackSource::Microphone);
    net.run(PATIENCE - SECOND);
    assert!(net.ice_is_up(anna, SignalTarget::Publisher), "it is one who answers");
    assert!(leaves(&net, anna).is_empty(), "before its time");
    net.run(SECOND * 2);
    assert_put_out(&net, anna, DisconnectReason::ConnectionTimeout);
}

/// To the others it would be there for ever and never active.
#[test]
fn so_is_who_may_not_subscribe_and_offers_nothing() {
    let mut net = impatient();
    let mut deaf = token("anna");
    deaf.video.can_subscribe = Some(false);
    let anna = net.join_with(deaf).unwrap();
    net.run(PATIENCE - SECOND);
    assert!(leaves(&net, anna).is_empty(), "before its time");
    net.run(SECOND * 2);
    assert_put_out(&net, anna, DisconnectReason::JoinFailure);
}

#[test]
fn whose_handshake_takes_seconds_stays_once_it_is_through() {
    let mut net = Net::new();
    net.lose = Box::new(is_dtls);
    let ben = net.join("ben");
    net.run(SECOND * 4);
    assert!(net.ice_is_up(ben, SignalTarget::Subscriber) && !net.clients[ben].is_connected());
    net.lose = Box::new(|_| false);
    net.run_until("the handshake", |net| net.clients[ben].is_connected());
    net.run(config().connect_timeout * 2);
    assert_in(&net, ben, ben, "ben");
}

#[test]
fn who_comes_back_over_signalling_has_its_time_again_and_not_for_ever() {
    let patience = SECOND * 2;
    let mut net = Net::with(SfuConfig { connect_timeout: patience, ..config() });
    net.lose = Box::new(is_dtls);
    let ben = net.join("ben");
    for _ in 0..3 {
        net.run(patience / 2);
        net.resume(ben, "ben").unwrap();
    }
    net.run(patience / 2);
    assert!(leaves(&net, ben).is_empty(), "it has had twice the time of one who does not come back");
    net.resume(ben, "ben").unwrap();
    net.run(patience * 3 / 4);
    assert_put_out(&net, ben, DisconnectReason::JoinFailure);
}

/// What comes up then are the data channels of the connection to receive on, which everybody is offered.
#[test]
fn who_publishes_nothing_and_receives_nothing_stays() {
    let mut net = Net::new();
    let ben = net.join("ben");
    net.publish(ben, TrackSource::Camera);
    net.auto_subscribe = false;
    let anna = net.join("anna");
    net.run(config().connect_timeout * 2);
    assert_eq!(net.metric("trill_sfu_subscriptions"), 0);
    assert_in(&net, anna, ben, "anna");
}

/// LiveKit's clients, and ours, offer their data channels as soon as they are in.
#[test]
fn so_does_who_may_not_subscribe_and_publishes_nothing() {
    let mut net = Net::new();
    let ben = net.join("ben");
    let mut deaf = token("anna");
    deaf.video.can_subscribe = Some(false);
    let anna = net.join_with(deaf).unwrap();
    net.offer_channel(anna);
    net.run(config().connect_timeout * 2);
    assert_in(&net, anna, ben, "anna");
}
