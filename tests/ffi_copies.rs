//! A picture is copied at most once on its way over the C boundary: by what is allocated, and by where it lies.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::time::Duration;
use trill::capi::bench::Boundary;
use trill::media::frame::VideoFrame;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BYTES: usize = 1280 * 720 * 3 / 2;

/// One test: the allocator counts for the whole process.
#[test]
fn a_720p_picture_is_copied_once_when_pushed_and_never_when_received() {
    let mut boundary = Boundary::new(false).unwrap();
    let picture = VideoFrame::from_i420(1280, 720, vec![7; BYTES], Duration::ZERO).unwrap();
    let own = picture.planes()[0].as_ptr();

    // Pushed: memory for one copy, which the encoder gets as it is.
    boundary.push(&picture).unwrap();
    let region = Region::new(ALLOCATOR);
    let at_the_encoder = boundary.push(&picture).unwrap();
    let pushed = region.change();
    assert_ne!(at_the_encoder, own, "the app may use its memory again at once");
    assert!((BYTES..BYTES + 4096).contains(&pushed.bytes_allocated), "{pushed:?}");

    // Received: the app is lent the decoder's.
    boundary.receive(&picture);
    let region = Region::new(ALLOCATOR);
    assert_eq!(boundary.receive(&picture), own);
    let received = region.change();
    assert!(received.bytes_allocated < 256, "{received:?}");
}
