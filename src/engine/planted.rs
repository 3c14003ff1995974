//! Faults for tests, behind the feature `planted-faults`, which no release has: a message with the topic
//! `planted fault: PLACE` panics at that place on its way. The place `media` is the thread of a track that is sent.

use crate::media::control::SendControl;
use crate::session::OutgoingData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The control of the track whose thread is to panic, by its address.
static MEDIA: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn fault(place: &str, data: &OutgoingData) {
    if is_for(place, data) {
        panic!("planted in the {place}");
    }
}

/// The thread of that track is to panic, if the message says so.
pub(crate) fn in_media(control: &Arc<SendControl>, data: &OutgoingData) {
    if is_for("media", data) {
        MEDIA.store(Arc::as_ptr(control).addr(), Relaxed);
    }
}

/// What a track's thread goes past.
pub(crate) fn media_fault(control: &Arc<SendControl>) {
    if MEDIA.compare_exchange(Arc::as_ptr(control).addr(), 0, Relaxed, Relaxed).is_ok() {
        panic!("planted in the media");
    }
}

fn is_for(place: &str, data: &OutgoingData) -> bool {
    data.topic.as_deref().and_then(|topic| topic.strip_prefix("planted fault: ")) == Some(place)
}
