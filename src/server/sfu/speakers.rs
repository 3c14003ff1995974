//! Who is speaking, from the audio levels that senders put on their packets (RFC 6464).

use super::room::ParticipantKey;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often the speakers are judged.
const INTERVAL: Duration = Duration::from_millis(400);

/// A packet at least this loud counts as speech, in dBov.
const ACTIVE_DBOV: i8 = -40;

/// The share of packets in an interval that must be loud, in percent.
const ACTIVE_SHARE: u32 = 40;

/// How much of the last interval's level stays in this one's: levels shown to people should not jump.
const SMOOTHING: f32 = 0.5;

/// The smallest change of an active speaker's level that is told.
const LEVEL_STEP: f32 = 0.05;

/// Collects levels, and every [`INTERVAL`] says what changed.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    heard: BTreeMap<ParticipantKey, Heard>,
    next: Option<Instant>,
}

/// A participant's state as others are told of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Speaker {
    pub participant: ParticipantKey,
    /// 0 is silence, 1 the loudest.
    pub level: f32,
    pub active: bool,
}

#[derive(Debug, Default)]
struct Heard {
    packets: u32,
    loud: u32,
    /// The sum of the loud packets' linear levels.
    sum: f32,
    level: f32,
    told: Option<f32>,
}

impl Speakers {
    /// A packet of `participant`'s audio, `dbov` being 0 (loudest) down to -127 (silence).
    pub fn heard(&mut self, participant: ParticipantKey, dbov: i8) {
        let heard = self.heard.entry(participant).or_default();
        heard.packets += 1;
        if dbov >= ACTIVE_DBOV {
            heard.loud += 1;
            heard.sum += linear(dbov);
        }
    }

    pub fn left(&mut self, participant: ParticipantKey) {
        self.heard.remove(&participant);
    }

    /// Everyone who is active now, for somebody who just came.
    pub fn active(&self) -> Vec<Speaker> {
        let told = |(key, heard): (&ParticipantKey, &Heard)| {
            heard.told.map(|level| Speaker { participant: *key, level, active: true })
        };
        self.heard.iter().filter_map(told).collect()
    }

    /// What changed since the last time, once an interval is over.
    pub fn poll(&mut self, now: Instant) -> Vec<Speaker> {
        if self.next.is_some_and(|next| now < next) {
            return Vec::new();
        }
        self.next = Some(now + INTERVAL);
        self.heard.iter_mut().filter_map(|(key, heard)| heard.judge(*key)).collect()
    }
}

impl Heard {
    fn judge(&mut self, participant: ParticipantKey) -> Option<Speaker> {
        let active = self.loud > 0 && self.loud * 100 >= self.packets * ACTIVE_SHARE;
        let now = if active { self.sum / self.loud as f32 } else { 0.0 };
        self.level = if active { self.level * SMOOTHING + now * (1.0 - SMOOTHING) } else { 0.0 };
        (self.packets, self.loud, self.sum) = (0, 0, 0.0);
        match (self.told, active) {
            (None, false) => None,
            (Some(told), true) if (told - self.level).abs() < LEVEL_STEP => None,
            (_, true) => {
                self.told = Some(self.level);
                Some(Speaker { participant, level: self.level, active: true })
            }
            (Some(_), false) => {
                self.told = None;
                Some(Speaker { participant, level: 0.0, active: false })
            }
        }
    }
}

fn linear(dbov: i8) -> f32 {
    10f32.powf(f32::from(dbov) / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: ParticipantKey = ParticipantKey(1);

    fn say(speakers: &mut Speakers, dbov: i8) {
        for _ in 0..20 {
            speakers.heard(ALICE, dbov);
        }
    }

    #[test]
    fn somebody_who_talks_becomes_active_and_somebody_who_stops_is_told_of_once() {
        let (mut speakers, start) = (Speakers::default(), Instant::now());
        say(&mut speakers, -15);
        let changed = speakers.poll(start);
        assert!(matches!(changed[..], [Speaker { participant: ALICE, active: true, level }] if level > 0.05));
        assert_eq!(speakers.active().len(), 1);

        assert_eq!(
            speakers.poll(start + INTERVAL),
            [Speaker { participant: ALICE, level: 0.0, active: false }],
            "no packets is silence"
        );
        assert!(speakers.poll(start + INTERVAL * 2).is_empty());
    }

    #[test]
    fn background_noise_is_not_speech() {
        let mut speakers = Speakers::default();
        say(&mut speakers, -60);
        assert!(speakers.poll(Instant::now()).is_empty());
    }

    #[test]
    fn nothing_is_told_before_the_interval_is_over() {
        let (mut speakers, start) = (Speakers::default(), Instant::now());
        speakers.poll(start);
        say(&mut speakers, -10);
        assert!(speakers.poll(start + INTERVAL / 2).is_empty());
        assert_eq!(speakers.poll(start + INTERVAL).len(), 1);
    }
}
