//! Faults for tests, behind the feature `planted-faults`, which no release has: a message with the topic
//! `planted fault: PLACE` panics at that place on its way.

use crate::session::OutgoingData;

pub(crate) fn fault(place: &str, data: &OutgoingData) {
    if data.topic.as_deref().and_then(|topic| topic.strip_prefix("planted fault: ")) == Some(place) {
        panic!("planted in the {place}");
    }
}
