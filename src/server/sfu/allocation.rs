//! Which layer of each video track a subscriber gets: what it asked for, as far as its connection carries it.

/// To go up to a layer there must be this much more than it needs, in percent: else it would come and go.
const HEADROOM: u64 = 115;

/// A track is paused when less than this share of its lowest layer is left for it, in percent. A picture that stutters
/// is better than none, and what is lost is repaired; far below, it only stands in the way of the audio.
const PAUSE_BELOW: u64 = 40;
const RESUME_ABOVE: u64 = 60;

/// A video track that a subscriber wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Demand {
    /// Bits a second of each layer that is sent, lowest first, up to the best one that is wanted. At least one.
    pub rates: Vec<u64>,
    /// The layer that the subscriber gets now, as an index of `rates`.
    pub current: Option<usize>,
    /// It is paused now.
    pub paused: bool,
    /// It may be paused: not before the estimate has had time to find what the connection carries.
    pub pausable: bool,
}

/// What to send of each track, as an index of its rates; `None` is a pause. `budget` is what the connection carries of
/// video, in bits a second; `None` is not known. Earlier tracks come first.
pub(super) fn allocate(budget: Option<u64>, demands: &[Demand]) -> Vec<Option<usize>> {
    let Some(mut left) = budget else {
        return demands.iter().map(|demand| demand.rates.len().checked_sub(1)).collect();
    };
    let mut given: Vec<Option<usize>> = Vec::with_capacity(demands.len());
    for demand in demands {
        let lowest = demand.rates.first().copied();
        let share = if demand.paused { RESUME_ABOVE } else { PAUSE_BELOW };
        let fits = lowest.is_some_and(|rate| !demand.pausable || left >= rate * share / 100);
        given.push(fits.then_some(0));
        if fits {
            left = left.saturating_sub(lowest.unwrap_or(0));
        }
    }
    // Up by one layer each in turn: nobody gets the best while another has only the lowest.
    let mut raised = true;
    while raised {
        raised = false;
        for (demand, given) in demands.iter().zip(&mut given) {
            let Some(now) = *given else { continue };
            let (Some(rate), Some(next)) = (demand.rates.get(now), demand.rates.get(now + 1)) else { continue };
            let held = demand.current.is_some_and(|current| current > now);
            let needed = if held { *next } else { next * HEADROOM / 100 };
            if needed.saturating_sub(*rate) <= left {
                left = left.saturating_sub(next.saturating_sub(*rate));
                *given = Some(now + 1);
                raised = true;
            }
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulcast(current: Option<usize>) -> Demand {
        Demand { rates: vec![150_000, 500_000, 1_700_000], current, paused: current.is_none(), pausable: true }
    }

    #[test]
    fn without_an_estimate_everybody_gets_what_was_asked_for() {
        assert_eq!(allocate(None, &[simulcast(None), simulcast(Some(0))]), [Some(2), Some(2)]);
    }

    #[test]
    fn a_layer_is_taken_with_headroom_and_kept_without() {
        assert_eq!(allocate(Some(1_800_000), &[simulcast(Some(1))]), [Some(1)]);
        assert_eq!(allocate(Some(2_000_000), &[simulcast(Some(1))]), [Some(2)]);
        assert_eq!(allocate(Some(1_700_000), &[simulcast(Some(2))]), [Some(2)]);
        assert_eq!(allocate(Some(1_690_000), &[simulcast(Some(2))]), [Some(1)]);
    }

    #[test]
    fn tracks_rise_in_turn_and_the_first_comes_first() {
        let two = [simulcast(None), simulcast(None)];
        assert_eq!(allocate(Some(1_200_000), &two), [Some(1), Some(1)]);
        assert_eq!(allocate(Some(2_600_000), &two), [Some(2), Some(1)]);
        assert_eq!(allocate(Some(800_000), &two), [Some(1), Some(0)]);
    }

    #[test]
    fn what_is_far_from_fitting_is_paused_and_comes_back_a_little_later() {
        let two = |current| [simulcast(Some(0)), simulcast(current)];
        assert_eq!(allocate(Some(200_000), &two(Some(0))), [Some(0), None]);
        assert_eq!(allocate(Some(220_000), &two(Some(0))), [Some(0), Some(0)]);
        assert_eq!(allocate(Some(220_000), &two(None)), [Some(0), None]);
        assert_eq!(allocate(Some(245_000), &two(None)), [Some(0), Some(0)]);
        assert_eq!(allocate(Some(0), &two(Some(0))), [None, None]);
        let new = Demand { rates: vec![150_000], ..Default::default() };
        assert_eq!(allocate(Some(0), &[new]), [Some(0)], "what has just begun is not paused");
    }
}
