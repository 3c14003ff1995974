//! What a publisher should send at most, where its picture comes in one size: no other layer fits a narrow connection then,
//! so the picture itself has to get smaller. Told as REMB (draft-alvestrand-rmcat-remb), which browsers and our engine take
//! as a limit of all that they send.

use super::{ParticipantKey, Room};
use livekit_protocol::SignalTarget;
use std::time::{Duration, Instant};
use str0m::bwe::Bitrate;
use str0m::media::MediaKind;
use str0m::rtp::Ssrc;

/// No picture is asked to become smaller than this, in bits a second: then it is paused for who cannot take it.
const LEAST_PICTURE: u64 = 60_000;

/// A limit is told again so often, as reports get lost, and one that is over is taken back for so long.
const REPEAT: Duration = Duration::from_secs(1);
const TAKE_BACK: Duration = Duration::from_secs(5);

/// What is told when there is no limit, in bits a second.
const NO_LIMIT: u64 = 100_000_000;

/// What a publisher was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    last: Option<(Instant, Option<u64>)>,
    /// There was a limit, and it has not been taken back for long enough.
    limited: bool,
    taken_back: Option<Instant>,
}

impl Told {
    /// Whether to tell that now: when it has changed, or was told some time ago. It is told then.
    fn is_due(&mut self, now: Instant, limit: Option<u64>) -> bool {
        if limit.is_some() {
            (self.limited, self.taken_back) = (true, None);
        }
        self.limited &= self.taken_back.is_none_or(|at| now.saturating_duration_since(at) < TAKE_BACK);
        let due = self.last.is_none_or(|(at, told)| {
            let differs = match (told, limit) {
                (Some(told), Some(limit)) => told.abs_diff(limit) > told / 20,
                (told, limit) => told.is_some() != limit.is_some(),
            };
            differs || now.saturating_duration_since(at) >= REPEAT
        });
        if !self.limited || !due {
            return false;
        }
        self.last = Some((now, limit));
        if limit.is_none() {
            self.taken_back.get_or_insert(now);
        }
        true
    }
}

impl Room {
    /// Tells the publishers of pictures of one layer what the narrowest connections of their subscribers carry.
    pub(super) fn limit_publishers(&mut self, now: Instant) {
        let keys: Vec<_> = self.participants.keys().copied().collect();
        for key in keys {
            let Some((limit, ssrc)) = self.publisher_limit(now, key) else { continue };
            let Some(participant) = self.participants.get_mut(&key) else { continue };
            if participant.publisher.is_connected()
                && let Some(stream) = participant.publisher.rtc().direct_api().stream_rx(&ssrc)
                && participant.told_limit.is_due(now, limit)
            {
                stream.request_remb(Bitrate::bps(limit.unwrap_or(NO_LIMIT)));
                if participant.publisher.queue() {
                    self.dirty.push_back((key, SignalTarget::Publisher));
                }
            }
        }
    }

    /// The limit of all that a participant publishes, and a stream to tell it of; `None` when it publishes no picture.
    fn publisher_limit(&self, now: Instant, key: ParticipantKey) -> Option<(Option<u64>, Ssrc)> {
        let participant = self.participants.get(&key)?;
        let (mut all, mut is_limited, mut holds_back, mut ssrc) = (0, false, false, None);
        for track_key in participant.sections.values() {
            let Some(track) = self.tracks.get(track_key) else { continue };
            let sent = track.layers.rate(now);
            if track.kind == MediaKind::Audio {
                all += sent;
                continue;
            }
            ssrc = ssrc.or(track.layers.any_stream(now));
            let is_single = track.layers.is_single();
            let carried =
                |subscriber: &ParticipantKey| self.participants.get(subscriber)?.subscriptions.get(track_key)?.carried;
            let least = track.subscribers.iter().filter_map(carried).min().filter(|_| is_single);
            is_limited |= least.is_some();
            // REMB is of the whole connection: what needs no limit has room to grow, and layers would be held back.
            holds_back |= sent > 0 && !is_single;
            all += least.map_or(sent + sent / 2, |least| least.max(LEAST_PICTURE));
        }
        Some(((is_limited && !holds_back).then_some(all), ssrc?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_at_once_repeated_and_taken_back_for_some_time() {
        let (mut told, start) = (Told::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!told.is_due(at(0), None), "there never was one");
        assert!(told.is_due(at(0), Some(300_000)));
        assert!(!told.is_due(at(200), Some(305_000)), "nearly the same");
        assert!(told.is_due(at(400), Some(250_000)));
        assert!(told.is_due(at(1400), Some(250_000)), "it may have been lost");
        assert!(told.is_due(at(1600), None));
        assert!(!told.is_due(at(2400), None));
        assert!(told.is_due(at(2600), None));
        // As long as it cannot be told it is not over.
        assert!(told.is_due(at(6500), None));
        assert!(!told.is_due(at(9000), None), "that is over");
        assert!(told.is_due(at(9200), Some(300_000)));
        assert!(told.is_due(at(60_000), None), "nothing was published for a minute");
    }
}
