//! What a publisher should send at most, where its picture comes in one layer: no other layer fits a narrow connection then,
//! so the picture itself has to get smaller. Told as REMB (draft-alvestrand-rmcat-remb), which browsers and our engine take
//! as a limit of all that they send.

use super::subscribe::Carried;
use super::{ParticipantKey, Room};
use crate::server::sfu::arrival::Arrives;
use livekit_protocol::SignalTarget;
use std::time::{Duration, Instant};
use str0m::bwe::Bitrate;
use str0m::media::MediaKind;

/// No picture is asked to become smaller than this, in bits a second: then it is paused for who cannot take it.
const LEAST_PICTURE: u64 = 60_000;

/// A limit is over when this much more is carried than was sent without it, in percent.
const OVER: u64 = 110;

/// How much a limit grows at each look while what is sent arrives, and falls at most while a part does not, or most of it, per
/// mille: looked at five times a second, that is 6, 14 and 34 % a second.
const GROWTH: u64 = 12;
const FALL: u64 = 30;
const FAST_FALL: u64 = 80;

/// A publisher that was told a limit follows it within this time, or does not know REMB.
const FOLLOWED_AFTER: Duration = Duration::from_secs(3);

/// A limit is told again so often, as reports get lost, and one that is over is taken back for so long.
const REPEAT: Duration = Duration::from_secs(1);
const TAKE_BACK: Duration = Duration::from_secs(5);

/// What is told when there is no limit, in bits a second.
const NO_LIMIT: u64 = 100_000_000;

/// The limit of one track.
#[derive(Debug, Default)]
pub(super) struct Limit {
    /// In bits a second, and since when there is one.
    limit: Option<(u64, Instant)>,
    /// What was sent before that, in bits a second.
    unlimited: u64,
}

impl Limit {
    /// `sent`: what comes in of the track. `carried`: what the narrowest connection of its subscribers carries of it, if
    /// that is known.
    fn update(&mut self, now: Instant, sent: u64, carried: Option<u64>) {
        let since = self.limit.map(|(_, since)| since);
        self.limit = match (since, carried) {
            (None, Some(carried)) if sent > carried => Some((carried, now)),
            (Some(since), Some(carried)) if carried < self.unlimited * OVER / 100 => Some((carried, since)),
            _ => None,
        };
        if let Some((limit, _)) = &mut self.limit {
            *limit = (*limit).max(LEAST_PICTURE);
        } else {
            self.unlimited = sent;
        }
    }

    /// What a connection carries, in bits a second. What arrives is carried, and a little more is tried, whatever the
    /// estimate; and where only a part arrives it need not be as little as the estimate says.
    fn carried(&self, sent: u64, carried: Carried) -> u64 {
        let limit = self.limit.map(|(limit, _)| limit);
        let least = match carried.arrives {
            Arrives::Well => limit.map_or(sent, |limit| limit + limit * GROWTH / 1000),
            Arrives::Partly | Arrives::Unknown => limit.map_or(0, |limit| limit - limit * FALL / 1000),
            Arrives::Hardly => limit.map_or(0, |limit| limit - limit * FAST_FALL / 1000),
        };
        carried.estimate.max(least)
    }

    /// What would be sent if more were carried, in bits a second.
    pub fn unlimited(&self) -> Option<u64> {
        self.limit.map(|_| self.unlimited)
    }

    /// The publisher sends as little as it will.
    pub fn was_tried(&self, now: Instant) -> bool {
        self.limit.is_some_and(|(_, since)| now.saturating_duration_since(since) >= FOLLOWED_AFTER)
    }
}

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
    /// Brings the limits of plain tracks up to date, and tells the publishers.
    pub(super) fn limit_publishers(&mut self, now: Instant) {
        for (track_key, track) in self.tracks.iter_mut().filter(|(_, track)| track.kind == MediaKind::Video) {
            let sent = track.layers.rate(now);
            let carried = |subscriber: &ParticipantKey| {
                let carried = self.participants.get(subscriber)?.subscriptions.get(track_key)?.carried?;
                Some(track.limit.carried(sent, carried))
            };
            let least = track.subscribers.iter().filter_map(carried).min().filter(|_| track.layers.is_plain());
            track.limit.update(now, sent, least);
        }
        for (key, participant) in &mut self.participants {
            let (mut audio, mut video, mut is_held_back, mut stream) = (0, 0, true, None);
            for track in participant.sections.values().filter_map(|track| self.tracks.get(track)) {
                let sent = track.layers.rate(now);
                if track.kind == MediaKind::Audio {
                    audio += sent;
                    continue;
                }
                stream = stream.or(track.layers.plain_stream());
                match track.limit.limit {
                    Some((limit, _)) => video += limit,
                    // REMB is of the whole connection: it must not hold back what needs no limit.
                    None => is_held_back &= sent == 0,
                }
            }
            let limit = (video > 0 && is_held_back).then_some(audio + video);
            if let Some(ssrc) = stream.filter(|_| participant.told_limit.is_due(now, limit))
                && let Some(stream) = participant.publisher.rtc().direct_api().stream_rx(&ssrc)
            {
                stream.request_remb(Bitrate::bps(limit.unwrap_or(NO_LIMIT)));
                if participant.publisher.queue() {
                    self.dirty.push_back((*key, SignalTarget::Publisher));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_follows_what_is_carried_and_ends_when_everything_fits() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        let second = |n| start + Duration::from_secs(n);
        limit.update(start, 1_500_000, None);
        limit.update(start, 1_500_000, Some(1_600_000));
        assert_eq!(limit.limit, None, "it fits");
        limit.update(start, 1_500_000, Some(300_000));
        assert_eq!(limit.limit, Some((300_000, start)));
        assert!(!limit.was_tried(second(1)) && limit.was_tried(second(3)));
        limit.update(second(1), 290_000, Some(20_000));
        assert_eq!(limit.limit, Some((LEAST_PICTURE, start)));
        limit.update(second(2), 60_000, Some(1_550_000));
        assert_eq!((limit.limit, limit.unlimited()), (Some((1_550_000, start)), Some(1_500_000)));
        limit.update(second(3), 1_400_000, Some(1_700_000));
        assert_eq!((limit.limit, limit.unlimited()), (None, None));
        limit.update(second(4), 2_000_000, Some(1_700_000));
        limit.update(second(5), 1_600_000, None);
        assert_eq!(limit.limit, None, "nobody receives it any more");
    }

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
