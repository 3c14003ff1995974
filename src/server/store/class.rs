//! The class of a call: one number for all that the log filters by and that has few values.
//!
//! A page of one class is one run of an index, whatever the filter; a page of several classes is merged from their runs.
//! So a page costs the same in a log of a hundred calls and of a million, however rare what is asked for.

use crate::ringing::{Call, CallStatus, CallType, Category, Direction, LogFilter};

/// Of a call in the log of a party. In the log of everybody calls have no direction: that of [`Direction::Outgoing`].
pub(super) fn class(status: CallStatus, call_type: CallType, category: Category, direction: Direction) -> i64 {
    // These numbers are stored.
    let status = match status {
        CallStatus::Initiated => 0,
        CallStatus::Ongoing => 1,
        CallStatus::Ended => 2,
        CallStatus::Rejected => 3,
        CallStatus::Busy => 4,
        CallStatus::Cancelled => 5,
        CallStatus::Unanswered => 6,
        CallStatus::Failed => 7,
    };
    let call_type = match call_type {
        CallType::Audio => 0,
        CallType::Video => 1,
    };
    let category = match category {
        Category::Call => 0,
        Category::Meet => 1,
    };
    let direction = match direction {
        Direction::Outgoing => 0,
        Direction::Incoming => 1,
    };
    status << 3 | call_type << 2 | category << 1 | direction
}

pub(super) fn class_of(call: &Call, direction: Direction) -> i64 {
    class(call.status, call.call_type, call.category, direction)
}

/// The classes that a filter lets through; `directions` are those there are in this log.
pub(super) fn classes(filter: &LogFilter, directions: &[Direction]) -> Vec<i64> {
    let mut classes = Vec::new();
    for status in allowed(filter.status, CallStatus::ALL) {
        for call_type in allowed(filter.call_type, CallType::ALL) {
            for category in allowed(filter.category, Category::ALL) {
                for direction in allowed(filter.direction, directions) {
                    classes.push(class(status, call_type, category, direction));
                }
            }
        }
    }
    classes
}

fn allowed<T: Copy + PartialEq>(wanted: Option<T>, all: &[T]) -> impl Iterator<Item = T> + '_ {
    all.iter().copied().filter(move |value| wanted.is_none_or(|wanted| wanted == *value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_a_class_of_its_own_and_a_filter_takes_its_own() {
        let mut all = classes(&LogFilter::default(), Direction::ALL);
        assert_eq!(all.len(), CallStatus::ALL.len() * 2 * 2 * 2);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 64);
        let missed = LogFilter { status: Some(CallStatus::Unanswered), ..LogFilter::default() };
        assert_eq!(classes(&missed, Direction::ALL).len(), 8);
        assert_eq!(classes(&missed, &[Direction::Outgoing]).len(), 4);
    }
}
