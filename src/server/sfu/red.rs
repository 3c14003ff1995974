//! Redundant audio ([`crate::media::red`]) on its way through: which packets of a stream came, so that what was lost on the
//! way here is taken from what came later, and nothing is sent on twice.

use str0m::rtp::Ssrc;

/// Packets remembered of a stream.
const WINDOW: u64 = 128;

/// Which of the latest packets there were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    newest: Option<u64>,
    /// A bit for each packet up to the newest, which is the lowest bit.
    came: u128,
}

impl Window {
    /// Notes a packet, by its number extended by the rollovers. False when it was noted already, is from before the first
    /// one, or too old to tell.
    pub fn note(&mut self, sequence: u64) -> bool {
        let Some(newest) = self.newest else {
            *self = Self { newest: Some(sequence), came: u128::MAX };
            return true;
        };
        if sequence > newest {
            let ahead = sequence - newest;
            self.came = if ahead < WINDOW { self.came << ahead } else { 0 } | 1;
            self.newest = Some(sequence);
            return true;
        }
        let behind = newest - sequence;
        if behind >= WINDOW || self.came >> behind & 1 == 1 {
            return false;
        }
        self.came |= 1 << behind;
        true
    }
}

/// Which packets of a publisher's sound came.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ssrc: Option<Ssrc>,
    window: Window,
}

impl Seen {
    /// As [`Window::note`]. Another stream begins anew.
    pub fn note(&mut self, ssrc: Ssrc, sequence: u64) -> bool {
        if self.ssrc != Some(ssrc) {
            *self = Self { ssrc: Some(ssrc), window: Window::default() };
        }
        self.window.note(sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(seen: &mut Seen, ssrc: u32, sequences: &[u64]) -> Vec<bool> {
        sequences.iter().map(|sequence| seen.note(ssrc.into(), *sequence)).collect()
    }

    #[test]
    fn a_packet_is_new_once_whenever_it_comes() {
        let mut seen = Seen::default();
        assert_eq!(
            noted(&mut seen, 1, &[100, 101, 104, 102, 102, 104, 103]),
            [true, true, true, true, false, false, true]
        );
        assert_eq!(noted(&mut seen, 1, &[99, 100]), [false, false], "before the first, and the first");
        assert_eq!(noted(&mut seen, 1, &[5000, 4999, 4999, 104, 4000]), [true, true, false, false, false], "a jump");
        assert_eq!(noted(&mut seen, 2, &[7, 6, 8]), [true, false, true], "another stream begins anew");
    }
}
