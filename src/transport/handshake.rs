//! Sends a DTLS handshake flight again until it is answered (RFC 6347 section 4.2.4), sooner than the `rtc` crate does.
//!
//! That crate waits a second before it sends a flight again. And it stops waiting for good when any part of the other
//! side's handshake arrives in between, such as that side's own repetition: then both wait for each other, and the
//! connection never comes up. So what leaves the socket is watched here, and datagrams of a handshake are sent once more,
//! as they are, after 100 ms, 200 ms, and then every 400 ms. A receiver that has them already drops them by their record
//! numbers, or takes them as the sign that its own flight was lost.

use bytes::Bytes;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A good deal longer than most round trips.
const FIRST_INTERVAL: Duration = Duration::from_millis(100);
const LONGEST_INTERVAL: Duration = Duration::from_millis(400);
/// Over nine seconds: by then the session has given the connection up, and the `rtc` crate when nothing came in for eight.
const REPEATS: u32 = 24;
/// A flight that nothing answers to when all is well: a few times must do.
const REPEATS_OF_LAST: u32 = 3;
/// What leaves within that time belongs to the same flight, unless something came in between.
const SAME_FLIGHT: Duration = Duration::from_millis(50);
/// Certificates are small here: a flight has two or three datagrams.
const MAX_DATAGRAMS: usize = 16;

/// Content types of records (RFC 5246 section 6.2.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const RECORD_HEADER: usize = 13;

/// True for a datagram that [`Handshakes`] needs to see.
pub(super) fn is_handshake(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(CHANGE_CIPHER_SPEC..=HANDSHAKE))
}

/// The handshakes that go through one socket, one at a time.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    flight: Option<Flight>,
    /// What each side has sent of the end of its handshake.
    ours: Closing,
    theirs: Closing,
}

#[derive(Debug)]
struct Flight {
    datagrams: Vec<(SocketAddr, Bytes)>,
    began: Instant,
    answered: bool,
    repeats_left: u32,
    interval: Duration,
    due: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Closing {
    cipher_changed: bool,
    finished: bool,
}

impl Closing {
    fn note(&mut self, datagram: &[u8]) {
        for (kind, epoch) in records(datagram) {
            self.cipher_changed |= kind == CHANGE_CIPHER_SPEC;
            // Renegotiation is not spoken: what is encrypted and a handshake is Finished.
            self.finished |= kind == HANDSHAKE && epoch > 0;
        }
    }

    fn is_complete(self) -> bool {
        self.cipher_changed && self.finished
    }
}

impl Handshakes {
    /// A datagram for which [`is_handshake`] holds has left.
    pub(super) fn sent(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) {
        if datagram.first() == Some(&ALERT) {
            // It has failed, or the connection is closed.
            self.flight = None;
            return;
        }
        self.ours.note(datagram);
        let goes_on =
            |flight: &&mut Flight| !flight.answered && now.saturating_duration_since(flight.began) < SAME_FLIGHT;
        if let Some(flight) = self.flight.as_mut().filter(goes_on) {
            if flight.datagrams.len() < MAX_DATAGRAMS {
                flight.datagrams.push((to, Bytes::copy_from_slice(datagram)));
            }
            return;
        }
        self.flight = Some(Flight {
            datagrams: vec![(to, Bytes::copy_from_slice(datagram))],
            began: now,
            answered: false,
            repeats_left: if self.theirs.is_complete() { REPEATS_OF_LAST } else { REPEATS },
            interval: FIRST_INTERVAL,
            due: now + FIRST_INTERVAL,
        });
    }

    /// A datagram for which [`is_handshake`] holds has come in.
    pub(super) fn received(&mut self, datagram: &[u8]) {
        if datagram.first() == Some(&ALERT) {
            return;
        }
        let was_complete = self.theirs.is_complete();
        self.theirs.note(datagram);
        if let Some(flight) = &mut self.flight {
            // Perhaps not whole: it is sent again until the next flight takes its place.
            flight.answered = true;
        }
        if self.ours.is_complete() && self.theirs.is_complete() && !was_complete {
            self.flight = None;
        }
    }

    /// When [`Self::poll`] has something next.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.flight.as_ref().filter(|flight| flight.repeats_left > 0).map(|flight| flight.due)
    }

    /// What is to be sent again now. Not to be told to [`Self::sent`].
    pub(super) fn poll(&mut self, now: Instant) -> Vec<(SocketAddr, Bytes)> {
        let Some(flight) = self.flight.as_mut().filter(|flight| flight.repeats_left > 0 && flight.due <= now) else {
            return Vec::new();
        };
        flight.repeats_left -= 1;
        flight.interval = (flight.interval * 2).min(LONGEST_INTERVAL);
        flight.due = now + flight.interval;
        flight.datagrams.clone()
    }
}

/// Content type and epoch of each record (RFC 6347 section 4.1).
fn records(datagram: &[u8]) -> impl Iterator<Item = (u8, u16)> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header = rest.get(..RECORD_HEADER)?;
        let epoch = u16::from_be_bytes([header[3], header[4]]);
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let kind = header[0];
        rest = rest.get(RECORD_HEADER + length..).unwrap_or_default();
        Some((kind, epoch))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);
    const HELLO: (u8, u16) = (HANDSHAKE, 0);
    const FINISHED: (u8, u16) = (HANDSHAKE, 1);
    const CHANGE: (u8, u16) = (CHANGE_CIPHER_SPEC, 0);

    fn datagram(records: &[(u8, u16)]) -> Vec<u8> {
        let record = |(kind, epoch): &(u8, u16)| {
            let mut bytes = vec![*kind, 0xfe, 0xfd, (epoch >> 8) as u8, *epoch as u8, 0, 0, 0, 0, 0, 0, 0, 2];
            bytes.extend([7, 7]);
            bytes
        };
        records.iter().flat_map(record).collect()
    }

    /// Everything that is sent again until `end`, with the time since the start in milliseconds.
    fn repeats(handshakes: &mut Handshakes, start: Instant, end: Duration) -> Vec<(u128, usize)> {
        let mut all = Vec::new();
        while let Some(at) = handshakes.next_timeout().filter(|at| *at <= start + end) {
            all.push(((at - start).as_millis(), handshakes.poll(at).len()));
        }
        all
    }

    #[test]
    fn a_flight_without_an_answer_is_sent_again_and_again_but_not_for_ever() {
        let (mut handshakes, start) = (Handshakes::default(), Instant::now());
        handshakes.sent(start, PEER, &datagram(&[HELLO]));
        assert_eq!(repeats(&mut handshakes, start, Duration::from_secs(1)), [(100, 1), (300, 1), (700, 1)]);
        let rest = repeats(&mut handshakes, start, Duration::from_secs(60));
        assert_eq!(rest.len(), REPEATS as usize - 3);
    }

    #[test]
    fn a_part_of_an_answer_ends_nothing_and_the_next_flight_takes_over_whole() {
        let (mut handshakes, start) = (Handshakes::default(), Instant::now());
        handshakes.sent(start, PEER, &datagram(&[HELLO]));
        handshakes.received(&datagram(&[HELLO, HELLO]));
        assert_eq!(repeats(&mut handshakes, start, Duration::from_millis(100)), [(100, 1)]);
        let answered = start + Duration::from_millis(120);
        handshakes.sent(answered, PEER, &datagram(&[HELLO]));
        handshakes.sent(answered, PEER, &datagram(&[HELLO, CHANGE, FINISHED]));
        // The other side repeats itself: that is no reason to fall silent.
        handshakes.received(&datagram(&[HELLO]));
        assert_eq!(repeats(&mut handshakes, answered, Duration::from_millis(300)), [(100, 2), (300, 2)]);
    }

    #[test]
    fn a_client_is_done_when_the_server_has_finished() {
        let (mut handshakes, start) = (Handshakes::default(), Instant::now());
        handshakes.sent(start, PEER, &datagram(&[HELLO, CHANGE, FINISHED]));
        handshakes.received(&datagram(&[CHANGE]));
        assert!(handshakes.next_timeout().is_some(), "half of the last flight is missing");
        handshakes.received(&datagram(&[FINISHED]));
        assert!(handshakes.next_timeout().is_none());
    }

    #[test]
    fn a_server_repeats_its_last_flight_a_few_times() {
        let (mut handshakes, start) = (Handshakes::default(), Instant::now());
        handshakes.received(&datagram(&[HELLO, CHANGE, FINISHED]));
        handshakes.sent(start, PEER, &datagram(&[CHANGE, FINISHED]));
        assert_eq!(repeats(&mut handshakes, start, Duration::from_secs(60)).len(), REPEATS_OF_LAST as usize);
    }

    #[test]
    fn nothing_is_repeated_after_an_alert_and_records_cut_short_are_survived() {
        let (mut handshakes, start) = (Handshakes::default(), Instant::now());
        let whole = datagram(&[HELLO, CHANGE, FINISHED]);
        for length in 1..whole.len() {
            handshakes.received(&whole[..length]);
            handshakes.sent(start, PEER, &whole[..length]);
        }
        handshakes.sent(start, PEER, &datagram(&[(ALERT, 1)]));
        assert!(handshakes.next_timeout().is_none() && handshakes.poll(start).is_empty());
    }
}
