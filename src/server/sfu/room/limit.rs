//! What a publisher should send at most, where its picture comes in one layer: no other layer fits a narrow connection then,
//! so the picture itself has to get smaller. Told as REMB (draft-alvestrand-rmcat-remb), which browsers and our engine take
//! as a limit of all that they send.

use super::{ParticipantKey, Room};
use livekit_protocol::SignalTarget;
use std::time::{Duration, Instant};
use str0m::bwe::Bitrate;
use str0m::media::MediaKind;

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
    limited: Option<Instant>,
}

impl Told {
    /// Whether to tell that now: when it has changed, or was told some time ago.
    fn is_due(&mut self, now: Instant, limit: Option<u64>) -> bool {
        if limit.is_some() {
            self.limited = Some(now);
        }
        if self.limited.is_none_or(|at| now.saturating_duration_since(at) >= TAKE_BACK) {
            return false;
        }
        let due = self.last.is_none_or(|(at, told)| {
            let differs = match (told, limit) {
                (Some(told), Some(limit)) => told.abs_diff(limit) > told / 20,
                (told, limit) => told.is_some() != limit.is_some(),
            };
            differs || now.saturating_duration_since(at) >= REPEAT
        });
        if due {
            self.last = Some((now, limit));
        }
        due
    }
}

impl Room {
    /// Tells the publishers of pictures of one layer what the narrowest connections of their subscribers carry.
    pub(super) fn limit_publishers(&mut self, now: Instant) {
        let keys: Vec<_> = self.participants.keys().copied().collect();
        for key in keys {
            let Some((limit, ssrc)) = self.publisher_limit(now, key) else { continue };
            let Some(participant) = self.participants.get_mut(&key) else { continue };
            if participant.told_limit.is_due(now, limit)
                && let Some(stream) = participant.publisher.rtc().direct_api().stream_rx(&ssrc)
            {
                stream.request_remb(Bitrate::bps(limit.unwrap_or(NO_LIMIT)));
                if participant.publisher.queue() {
                    self.dirty.push_back((key, SignalTarget::Publisher));
                }
            }
        }
    }

    /// The limit of all that a participant publishes, and the stream to tell it of; `None` when it publishes no picture of one
    /// layer.
    fn publisher_limit(&self, now: Instant, key: ParticipantKey) -> Option<(Option<u64>, str0m::rtp::Ssrc)> {
        let participant = self.participants.get(&key)?;
        let (mut audio, mut video, mut is_limited, mut ssrc) = (0, 0, true, None);
        for track_key in participant.sections.values() {
            let Some(track) = self.tracks.get(track_key) else { continue };
            let sent = track.layers.rate(now);
            if track.kind == MediaKind::Audio {
                audio += sent;
                continue;
            }
            ssrc = ssrc.or(track.layers.plain_stream());
            let carried =
                |subscriber: &ParticipantKey| self.participants.get(subscriber)?.subscriptions.get(track_key)?.carried;
            let least = track.subscribers.iter().filter_map(carried).min().filter(|_| track.layers.is_plain());
            match least {
                Some(least) => video += least.max(LEAST_PICTURE),
                // REMB is of the whole connection: it must not hold back what needs no limit.
                None => is_limited &= sent == 0,
            }
        }
        Some(((video > 0 && is_limited).then_some(audio + video), ssrc?))
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
        assert!(!told.is_due(at(9000), None), "that is over");
    }
}
