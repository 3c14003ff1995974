//! The audio jitter buffer: packets come in when the network gives them, frames go out every 20 ms.
//!
//! A packet is due when it has waited as long as the network's jitter asks for (the target, adapted to what was measured). A frame is
//! asked for as a whole: a packet is needed when that frame is asked for in which it begins, and that is not to be before it is due.
//! What is missing then is concealed, or recovered from the in-band FEC of its successor; what a later packet brought as redundancy
//! ([`super::red`]) is not missing. The buffer works on the sender's timestamps, so packets may be of any length that Opus has, and
//! silence that was not sent (discontinuous transmission, mute) is not taken for loss.
//!
//! Delay that is too long (after a burst, or because the sender's clock is the faster one) is worked off by playing a little
//! faster; delay that is too short grows by playing slower, or where a packet is missing anyway. How the sound is made
//! shorter or longer is [`super::stretch`]'s. Time comes in as arguments.

mod delay;

use super::clock::{RtpClock, SequenceUnwrapper, TimestampUnwrapper};
use super::frame::{FRAME_DURATION, FRAME_SAMPLES};
use super::opus;
use super::red::Red;
use super::rtp::ReceivedPacket;
use bytes::{Buf, Bytes};
use delay::DelayEstimator;
use std::time::{Duration, Instant};

/// Packets held at most: 5 s of 20 ms ones.
const CAPACITY: usize = 256;
/// One frame, in samples at 48 kHz.
const FRAME: i64 = FRAME_SAMPLES as i64;
/// Frames concealed in a row before the rest of a gap is given up.
const MAX_CONCEALED: u32 = 6;
/// Frames of comfort noise after the sender stopped on purpose: it refreshes it every 400 ms.
const MAX_COMFORT: u32 = 25;
/// A jump of the sender's timestamps beyond what concealment covers is a pause, in samples.
const PAUSE: i64 = MAX_CONCEALED as i64 * FRAME;

/// Asked for so many samples earlier than jitter asks for, sound is played slower: 5 ms.
const TOO_EARLY: f32 = -240.0;
/// Where packets could be asked for a frame earlier, and still so much later than jitter asks for, sound is played faster: 3 ms.
const SPARE: f32 = 144.0;
/// A target beyond this, 10 ms, is that of a network that jitters: there so much more is left in place as it is longer, up to a frame.
const SETTLED: f32 = 480.0;
/// So many packets are the beginning: 5 s.
const BEGINNING: u64 = 250;
/// Over 100 ms later: also where that is heard.
const FAR_TOO_LATE: f32 = 4800.0;
/// What a loss counts for, how much of that each packet leaves, and from how much on there may be more: 770 packets.
const LOSS: f32 = 0.05;
const LOSS_FADES: f32 = 0.997;
const LOSSY: f32 = 0.005;
/// Some 3 % of all packets, or seven in a row.
const MUCH_LOSS: f32 = 0.3;
/// At the beginning nobody knows: for 100 packets, two seconds, as if something had been lost.
const LOSS_UNKNOWN: f32 = 0.00675;
/// So many packets without redundancy among those with it were lost on their way to the server, which took them from a later one: when
/// they come says nothing of jitter.
const MOST_RECOVERED: u32 = 3;
/// Less than that is not worth a change of the sound: 5 ms.
const WORTHWHILE: i64 = 240;

/// What the decoder has to do for the next piece of audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Decode this packet, and play it at this pace.
    Packet(Bytes, Pace),
    /// A packet of so many samples was lost and this is its successor: decode the FEC in it. It comes again as
    /// [`Pull::Packet`].
    Fec(Bytes, usize),
    /// Conceal so many samples, a multiple of 2.5 ms.
    Conceal(usize),
    /// Nothing is playing: 20 ms of silence.
    Silence,
}

/// How a packet is to be played. By how much that made it longer or shorter is told with [`JitterBuffer::paced`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As it is.
    Even,
    /// The delay is too long: shorter, where that is not heard, by so many samples at most.
    Faster(usize),
    /// The delay is far too long: shorter by so many samples at most, also where that is heard.
    Fastest(usize),
    /// The delay is too short: longer, where that is not heard.
    Slower,
}

/// Counters since the start, in packets unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterStats {
    pub received: u64,
    /// Never came, or came after their turn; those that were recovered are among them.
    pub lost: u64,
    /// Came after their turn; they count as lost too.
    pub late: u64,
    pub duplicate: u64,
    /// Not Opus, too large, or RED that cannot be read.
    pub invalid: u64,
    /// Given up because the buffer was full or the stream began anew.
    pub discarded: u64,
    /// Pieces of audio, mostly of 20 ms, that were concealed.
    pub concealed: u64,
    pub fec_recovered: u64,
    /// Lost packets that came as redundancy of later ones.
    pub red_recovered: u64,
    /// Samples that were left out to shorten the delay.
    pub removed_samples: u64,
    /// Samples that were added to lengthen the delay, beside what was concealed.
    pub inserted_samples: u64,
}

struct Slot {
    sequence: i64,
    time: i64,
    samples: i64,
    payload: Bytes,
    /// It came with a later packet; its own has not come so far.
    redundant: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is due yet. So many more frames are concealed before it is silent.
    Waiting {
        conceal: u32,
    },
    Playing,
}

/// See the module's text.
pub struct JitterBuffer {
    slots: Box<[Option<Slot>]>,
    held: usize,
    sequences: SequenceUnwrapper,
    times: TimestampUnwrapper,
    state: State,
    /// The packet to play next; known once one was played.
    next_sequence: Option<i64>,
    next_time: i64,
    newest_sequence: i64,
    newest_end: i64,
    last_samples: i64,
    /// Frames concealed since a packet was played.
    concealed: u32,
    /// The last packet played said that the sender goes silent.
    silent: bool,
    /// For how many samples packets wait, from when they come at the earliest until they are played: the least of late, for a pull that
    /// comes late leaves them more time, and it is the early ones that need them.
    wait: f32,
    /// The target in samples, for as long as it has been.
    lasting: f32,
    /// How much was lost of late: for a quarter of a minute after a loss there is reason to expect another one.
    loss: f32,
    delay: DelayEstimator,
    /// Packets without redundancy since the last one that had some, if any had.
    plain: u32,
    stats: JitterStats,
}

impl Default for JitterBuffer {
    fn default() -> Self {
        Self {
            slots: std::iter::repeat_with(|| None).take(CAPACITY).collect(),
            held: 0,
            sequences: SequenceUnwrapper::default(),
            times: TimestampUnwrapper::default(),
            state: State::Waiting { conceal: 0 },
            next_sequence: None,
            next_time: 0,
            newest_sequence: 0,
            newest_end: 0,
            last_samples: FRAME,
            concealed: 0,
            silent: false,
            wait: 0.0,
            lasting: 0.0,
            loss: LOSS_UNKNOWN,
            delay: DelayEstimator::default(),
            plain: u32::MAX,
            stats: JitterStats::default(),
        }
    }
}

impl JitterBuffer {
    /// Takes a packet. What is no Opus packet, a duplicate or too late is counted and dropped.
    pub fn insert(&mut self, received: ReceivedPacket) {
        let ReceivedPacket { packet, arrival } = received;
        self.stats.received += 1;
        let sequence = self.sequences.unwrap(packet.sequence);
        let time = self.times.unwrap(packet.timestamp);
        let red = packet.red.then(|| Red::parse(&packet.payload)).flatten();
        let primary = red.map_or(0, |red| red.primary());
        let recovered = !packet.red && self.plain < MOST_RECOVERED;
        self.plain = if packet.red { 0 } else { self.plain.saturating_add(1) };
        // An empty payload is padding: its number must not look lost.
        let samples = match samples(&packet.payload[primary..]) {
            Some(samples) if red.is_some() || !packet.red => samples,
            None if packet.payload.is_empty() => 0,
            _ => {
                self.stats.invalid += 1;
                return;
            }
        };
        let known = self.held > 0 || self.next_sequence.is_some();
        if known && (sequence - self.newest_sequence).unsigned_abs() >= CAPACITY as u64 {
            self.begin_anew();
        } else if let Some(red) = red {
            self.insert_redundancy(red, sequence, time, &packet.payload);
        }
        let mut payload = packet.payload;
        payload.advance(primary);
        if samples > 0 {
            let in_order = !known || sequence > self.newest_sequence;
            self.delay.update(time, arrival, in_order && !recovered);
        }
        if self.next_sequence.is_some_and(|next| sequence < next) {
            self.stats.late += 1;
            return;
        }
        let slot = &mut self.slots[index(sequence)];
        match slot {
            Some(held) if held.sequence == sequence && !held.redundant => {
                self.stats.duplicate += 1;
                return;
            }
            Some(held) if held.sequence == sequence => {}
            Some(_) => self.stats.discarded += 1,
            None => self.held += 1,
        }
        *slot = Some(Slot { sequence, time, samples, payload, redundant: false });
        if self.held == 1 || sequence > self.newest_sequence {
            self.newest_sequence = sequence;
            self.newest_end = time + samples;
        }
    }

    /// Fills gaps with what a packet repeats of those before it. That says nothing of when they came.
    fn insert_redundancy(&mut self, red: Red<'_>, sequence: i64, time: i64, payload: &Bytes) {
        let Some(first) = self.next_sequence.or_else(|| self.oldest()) else { return };
        for block in red.blocks() {
            let sequence = sequence - i64::from(block.back);
            let slot = &mut self.slots[index(sequence)];
            if slot.is_some() || sequence < first {
                continue;
            }
            let Some(samples) = samples(&payload[block.range.clone()]) else {
                self.stats.invalid += 1;
                continue;
            };
            let (time, payload) = (time - i64::from(block.offset), payload.slice(block.range));
            *slot = Some(Slot { sequence, time, samples, payload, redundant: true });
            self.held += 1;
        }
    }

    /// What is to be played after what was pulled before, of which `ready` samples are left at `now`.
    pub fn pull(&mut self, now: Instant, ready: usize) -> Pull {
        loop {
            if let State::Waiting { conceal } = self.state
                && let Some(pull) = self.wait(now, ready, conceal)
            {
                return pull;
            }
            let Some(next) = self.next_sequence else { return Pull::Silence };
            let pull = match self.take(next) {
                Some(slot) if slot.samples == 0 => {
                    self.next_sequence = Some(next + 1);
                    None
                }
                Some(slot) => self.play(slot, now, ready),
                None => self.miss(next, now),
            };
            if let Some(pull) = pull {
                return pull;
            }
        }
    }

    /// What was last pulled was played by so many samples longer (or shorter) than it is.
    pub fn paced(&mut self, samples: i64) {
        self.wait += samples as f32;
        let counter = if samples < 0 { &mut self.stats.removed_samples } else { &mut self.stats.inserted_samples };
        *counter += samples.unsigned_abs();
    }

    /// How long a packet waits at present before it is played, as the network's jitter asks for.
    pub fn target(&self) -> Duration {
        // A lost packet can only be recovered from its successor when that one is there in time.
        let successor = if self.loss > LOSSY { Duration::from_millis(20) } else { Duration::ZERO };
        self.delay.target() + successor
    }

    /// Audio held, from what is played next to the newest.
    pub fn buffered(&self) -> Duration {
        RtpClock::OPUS.duration(self.span())
    }

    /// The RTP timestamp of what the next answer of [`Self::pull`] begins with; nothing while nothing is playing.
    pub fn position(&self) -> Option<u32> {
        (self.state == State::Playing).then_some(self.next_time as u32)
    }

    /// The interarrival jitter (RFC 3550, section 6.4.1).
    pub fn jitter(&self) -> Duration {
        self.delay.jitter()
    }

    pub fn stats(&self) -> JitterStats {
        self.stats
    }

    /// Starts to play when the oldest packet is due; until then says what fills the time.
    fn wait(&mut self, now: Instant, ready: usize, conceal: u32) -> Option<Pull> {
        if let Some(oldest) = self.oldest()
            && let Some(time) = self.slots[index(oldest)].as_ref().map(|slot| slot.time)
            && (self.delay.due(time, self.target()).is_none_or(|due| now >= due) || self.held > CAPACITY / 2)
        {
            let skipped = self.next_sequence.map_or(0, |next| oldest - next);
            self.count_lost(skipped);
            self.next_sequence = Some(oldest);
            self.next_time = time;
            self.state = State::Playing;
            self.wait = self.waited(time, now, ready).unwrap_or(0.0);
            return None;
        }
        if conceal == 0 {
            return Some(Pull::Silence);
        }
        self.state = State::Waiting { conceal: conceal - 1 };
        if !self.silent {
            self.stats.concealed += 1;
        }
        Some(Pull::Conceal(FRAME_SAMPLES))
    }

    fn play(&mut self, slot: Slot, now: Instant, ready: usize) -> Option<Pull> {
        if slot.time - self.next_time > PAUSE {
            // The sender was silent on purpose: the packet begins anew, after the delay that it needs.
            self.state = State::Waiting { conceal: MAX_COMFORT };
            self.put_back(slot);
            return None;
        }
        self.next_sequence = Some(slot.sequence + 1);
        self.next_time = slot.time + slot.samples;
        self.last_samples = slot.samples;
        self.concealed = 0;
        self.silent = opus::is_silence(&slot.payload);
        if slot.redundant {
            self.count_lost(1);
            self.stats.red_recovered += 1;
        } else {
            self.loss *= LOSS_FADES;
        }
        Some(Pull::Packet(slot.payload, self.pace(slot.time, now, ready)))
    }

    /// How what was made at `time` is played after `ready` samples, so that the delay becomes what the jitter asks for.
    fn pace(&mut self, time: i64, now: Instant, ready: usize) -> Pace {
        let Some(wait) = self.waited(time, now, ready) else { return Pace::Even };
        self.wait += (wait - self.wait) * if wait < self.wait { 0.2 } else { 0.02 };
        let target = RtpClock::OPUS.ticks(self.target()) as f32;
        // What is ready is played meanwhile, but the packet was needed when the frame was asked for.
        // One packet or two that were late are no reason to wait for longer: a second of them is, and that much is lost.
        let at_once = self.lasting > target || self.loss > MUCH_LOSS;
        self.lasting += (target - self.lasting) * if at_once { 1.0 } else { 0.03 };
        if self.wait.max(wait) - ready as f32 - self.lasting < TOO_EARLY {
            return Pace::Slower;
        }
        let later = self.wait.min(wait) - ready as f32 - target;
        // To leave out what is ready costs nothing. Beyond that packets are needed by whole frames earlier.
        // Where it jitters, what is too much now may be needed soon; but what is too much at the beginning was a guess.
        let jitters = if self.stats.received < BEGINNING { 0.0 } else { (target - SETTLED).clamp(0.0, FRAME as f32) };
        let spare = SPARE + jitters;
        let frames = ((later - spare) / FRAME as f32).floor().max(0.0) as i64;
        let most = ready as i64 + frames * FRAME;
        if later > FAR_TOO_LATE {
            Pace::Fastest(most as usize)
        } else if most >= WORTHWHILE {
            Pace::Faster(most as usize)
        } else {
            Pace::Even
        }
    }

    /// For how many samples what was made at `time` has waited when `ready` others are played, from when it came at the earliest.
    fn waited(&self, time: i64, now: Instant, ready: usize) -> Option<f32> {
        let came = self.delay.due(time, Duration::ZERO)?;
        let ticks = |duration| RtpClock::OPUS.ticks(duration) as f32;
        Some(ticks(now.saturating_duration_since(came)) - ticks(came.saturating_duration_since(now)) + ready as f32)
    }

    /// The packet whose turn it is has not come.
    fn miss(&mut self, next: i64, now: Instant) -> Option<Pull> {
        let Some(oldest) = self.oldest() else {
            // Nothing newer has come either: late, or the sender stopped. Whatever comes plays when it is due.
            self.state =
                State::Waiting { conceal: if self.silent { MAX_COMFORT } else { MAX_CONCEALED - self.concealed } };
            return None;
        };
        if self.concealed >= MAX_CONCEALED {
            self.count_lost(oldest - next);
            self.next_sequence = Some(oldest);
            if let Some(slot) = &self.slots[index(oldest)] {
                self.next_time = slot.time;
            }
            return None;
        }
        let due = self.delay.due(self.next_time, self.target());
        if due.is_some_and(|due| due > now + FRAME_DURATION / 2) {
            // It is early to take it for lost: the wait is shorter than jitter asks for, and grows by this.
            self.concealed += 1;
            self.stats.concealed += 1;
            self.wait += FRAME as f32;
            return Some(Pull::Conceal(FRAME_SAMPLES));
        }
        self.count_lost(1);
        self.next_sequence = Some(next + 1);
        let missing = self.last_samples;
        self.next_time += missing;
        self.concealed += 1;
        let successor = self.slots[index(next + 1)].as_ref().filter(|s| s.sequence == next + 1 && s.samples > 0);
        if self.concealed == 1
            && let Some(slot) = successor
        {
            self.stats.fec_recovered += 1;
            return Some(Pull::Fec(slot.payload.clone(), missing as usize));
        }
        self.stats.concealed += 1;
        Some(Pull::Conceal(missing as usize))
    }

    fn count_lost(&mut self, packets: i64) {
        let packets = packets.max(0) as u64;
        self.stats.lost += packets;
        if packets > 0 {
            self.loss += (1.0 - self.loss) * LOSS;
        }
    }

    fn begin_anew(&mut self) {
        self.stats.discarded += self.held as u64;
        self.slots.iter_mut().for_each(|slot| *slot = None);
        self.held = 0;
        self.next_sequence = None;
        self.state = State::Waiting { conceal: 0 };
        self.delay.rebase();
    }

    fn has(&self, sequence: i64) -> bool {
        self.slots[index(sequence)].as_ref().is_some_and(|slot| slot.sequence == sequence)
    }

    fn take(&mut self, sequence: i64) -> Option<Slot> {
        let slot = self.slots[index(sequence)].take_if(|slot| slot.sequence == sequence)?;
        self.held -= 1;
        Some(slot)
    }

    fn put_back(&mut self, slot: Slot) {
        let at = index(slot.sequence);
        self.slots[at] = Some(slot);
        self.held += 1;
    }

    /// The lowest sequence number held.
    fn oldest(&self) -> Option<i64> {
        if self.held == 0 {
            return None;
        }
        let from = self.next_sequence.unwrap_or(self.newest_sequence - CAPACITY as i64 + 1);
        (from..=self.newest_sequence).find(|&sequence| self.has(sequence))
    }

    fn span(&self) -> i64 {
        if self.held == 0 {
            return 0;
        }
        let from = match self.next_sequence {
            Some(_) => self.next_time,
            None => self.oldest().and_then(|o| self.slots[index(o)].as_ref()).map_or(self.newest_end, |s| s.time),
        };
        (self.newest_end - from).clamp(0, CAPACITY as i64 * opus::MAX_PACKET_SAMPLES as i64)
    }
}

/// How long an Opus packet plays. `None`: it is none, or too large.
fn samples(packet: &[u8]) -> Option<i64> {
    let samples = opus::packet_samples(packet).filter(|_| packet.len() <= opus::MAX_PACKET_BYTES)?;
    Some(samples as i64)
}

fn index(sequence: i64) -> usize {
    sequence.rem_euclid(CAPACITY as i64) as usize
}

#[cfg(test)]
mod tests;
