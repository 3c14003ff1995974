//! Webhooks: what the owner's backend is told of calls, delivered until it has said that it has it.
//!
//! - `config`: what an owner sets.
//! - [`Webhooks`]: dresses what happened to calls as rows of the store's outbox. The ringing task saves them with the
//!   calls themselves, in one transaction: what a device was told, a webhook will tell.
//! - `schedule`: which notice is tried when: order, back-off, giving up. Sans-IO.
//! - `deliver`: the task that reads the outbox, posts, and removes what was taken. One for each URL.
//! - `post`: one attempt over HTTP.

mod config;
mod deliver;
mod post;
mod schedule;

pub use config::WebhookConfig;
pub(super) use deliver::Delivery;

use crate::base::UnixMillis;
use crate::identity::{KeyRing, WakeToken};
use crate::ringing::WakePayload;
use crate::ringing::webhook::{CallChange, Notice, NoticeKind, Wake};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// A notice on its way to one URL, as the outbox keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutboxEntry {
    /// Its place in the outbox; 0 before it is there.
    pub(super) seq: i64,
    /// Which of the owner's URLs, by its place in the configuration.
    pub(super) target: i64,
    /// Those of one lane go one after the other.
    pub(super) lane: String,
    /// The idempotency key.
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) at: UnixMillis,
    /// When it is of no more use to anybody.
    pub(super) expires_at: Option<UnixMillis>,
    /// As it is sent and signed, in each attempt the same.
    pub(super) body: String,
}

/// Turns changes of calls into rows of the outbox, and wakes those who deliver them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Webhooks {
    kinds: Arc<[NoticeKind]>,
    keys: Arc<KeyRing>,
    /// For each URL, its delivery task.
    pokes: Arc<[Arc<Notify>]>,
}

impl Webhooks {
    fn new(kinds: &[NoticeKind], keys: Arc<KeyRing>, targets: usize) -> Self {
        Self { kinds: kinds.into(), keys, pokes: (0..targets).map(|_| Arc::default()).collect() }
    }

    /// What there is to tell of a batch, for each URL. Empty when nobody asked for it.
    pub(super) fn entries(&self, changes: &[CallChange<'_>], now: UnixMillis) -> Vec<OutboxEntry> {
        let mut entries = Vec::new();
        for change in changes {
            for uid in change.to_wake() {
                if self.kinds.contains(&NoticeKind::Wake) {
                    let wake = self.wake(uid.clone(), change, now);
                    let expires = wake.expires_at;
                    // A push is urgent, and stands for itself: it waits for no other notice of the call.
                    let lane = format!("{}/{uid}", change.after.session_id);
                    let notice = self.notice(NoticeKind::Wake, now, change, Some(wake));
                    self.push(&mut entries, lane, notice, Some(expires));
                }
            }
            for happening in change.happenings(now) {
                if self.kinds.contains(&happening.kind) {
                    let mut notice = self.notice(happening.kind, happening.at, change, None);
                    notice.participant = happening.participant;
                    self.push(&mut entries, change.after.session_id.to_string(), notice, None);
                }
            }
        }
        entries
    }

    /// The entries are in the store.
    pub(super) fn stored(&self) {
        self.pokes.iter().for_each(|poke| poke.notify_one());
    }

    fn wake(&self, uid: crate::base::Uid, change: &CallChange<'_>, now: UnixMillis) -> Wake {
        // JWTs count in whole seconds: rounded up, so that it holds for as long as the call rings.
        let ttl = change.rings_until.since(now) + Duration::from_secs(1);
        let payload = WakeToken(WakePayload::new(uid.clone(), change.after)).mint(self.keys.minting(), now, ttl);
        Wake { uid, payload, expires_at: change.rings_until }
    }

    fn notice(&self, kind: NoticeKind, at: UnixMillis, change: &CallChange<'_>, wake: Option<Wake>) -> Notice {
        let id = format!("msg_{:032x}", rand::random::<u128>());
        Notice { id, kind, at, call: change.after.clone(), participant: None, wake }
    }

    fn push(&self, entries: &mut Vec<OutboxEntry>, lane: String, notice: Notice, expires_at: Option<UnixMillis>) {
        let body = serde_json::to_string(&notice).expect("a notice of our own types serialises");
        for target in 0..self.pokes.len() {
            entries.push(OutboxEntry {
                seq: 0,
                target: target as i64,
                lane: lane.clone(),
                id: notice.id.clone(),
                kind: notice.kind.name().to_owned(),
                at: notice.at,
                expires_at,
                body: body.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Uid;
    use crate::identity::ApiKey;
    use crate::ringing::{Call, MAX_WAKE_PAYLOAD};

    const NOW: UnixMillis = UnixMillis(1_790_000_000_500);

    fn keys() -> Arc<KeyRing> {
        Arc::new(KeyRing::new(ApiKey::new("main", "main secret that is long enough for HS256").unwrap()))
    }

    fn call(caller: &str, name: &str) -> Call {
        serde_json::from_value(serde_json::json!({
            "sessionId": "0e8c8e4b0c7c4a60b2a96f3a0f6c1d52", "initiator": {"uid": caller, "name": name},
            "receiver": {"id": "bob"}, "receiverType": "USER", "type": "VIDEO", "category": "call",
            "status": "initiated", "initiatedAt": NOW, "durationMs": 0, "participants": []}))
        .unwrap()
    }

    fn wake_of(call: &Call, uid: &str) -> Wake {
        let unreached = vec![Uid::new(uid).unwrap()];
        let change = CallChange { before: None, after: call, rings_until: NOW + Duration::from_secs(45), unreached };
        let entries = Webhooks::new(&[NoticeKind::Wake], keys(), 1).entries(&[change], NOW);
        assert_eq!(entries.len(), 1);
        serde_json::from_str::<Notice>(&entries[0].body).unwrap().wake.unwrap()
    }

    #[test]
    fn a_wake_payload_is_read_by_the_device_and_verified_by_the_server_and_small() {
        let wake = wake_of(&call("alice", "Alice"), "bob");
        let (read, expires) = WakePayload::read(wake.payload.as_bytes()).unwrap();
        assert_eq!((read.uid.as_str(), read.from.name.as_deref()), ("bob", Some("Alice")));
        assert!(expires >= wake.expires_at && expires < wake.expires_at + Duration::from_secs(2));
        let WakeToken(verified) = WakeToken::<WakePayload>::verify(&keys(), &wake.payload, NOW).unwrap();
        assert_eq!(verified, read);
        assert!(wake.payload.len() <= 512, "{} bytes", wake.payload.len());
    }

    #[test]
    fn the_longest_names_still_fit_a_push() {
        let wake = wake_of(&call(&"\"".repeat(128), &"\u{1F600}".repeat(4000)), &"\"".repeat(128));
        assert!(wake.payload.len() <= MAX_WAKE_PAYLOAD / 2, "{} bytes", wake.payload.len());
        WakePayload::read(wake.payload.as_bytes()).unwrap();
    }

    #[test]
    fn only_what_was_asked_for_is_told_and_to_each_url() {
        let call = call("alice", "Alice");
        let change = || CallChange { before: None, after: &call, rings_until: NOW, unreached: Vec::new() };
        let none = Webhooks::new(&[NoticeKind::CallEnded], keys(), 1).entries(&[change()], NOW);
        assert_eq!(none, []);
        let two = Webhooks::new(NoticeKind::ALL, keys(), 2).entries(&[change()], NOW);
        let kinds: Vec<(i64, &str)> = two.iter().map(|entry| (entry.target, entry.kind.as_str())).collect();
        assert_eq!(kinds, [(0, "call_initiated"), (1, "call_initiated")]);
        assert_eq!(two[0].body, two[1].body);
    }
}
