//! What runs in the sound system's real-time callbacks asks for no memory.
#![cfg(feature = "devices")]

use rtrb::RingBuffer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use trill::device::sound::realtime::{Capturing, Rendering};

/// 10 ms at 48 kHz, two channels.
const PERIOD: usize = 480 * 2;

#[test]
fn the_callbacks_of_microphone_and_speaker_do_not_allocate() {
    let (out, mut captured) = RingBuffer::new(4800);
    let mut capturing = Capturing::new(out, 2);
    let (mut played, from) = RingBuffer::new(4800);
    let underruns = Arc::new(AtomicU64::new(0));
    let mut rendering = Rendering::new(from, 2, underruns.clone(), Arc::default());
    let heard = [1000i16; PERIOD];
    let mut data = [0i16; PERIOD];

    // Of this thread alone: the test's own harness asks for memory on another.
    let asked = allocation_counter::measure(|| {
        for period in 0..1000 {
            // Now and then the other side is late: a full ring and an empty one are measured as well.
            if period % 50 < 40 {
                while captured.pop().is_ok() {}
                for _ in 0..480 {
                    played.push(0.25).unwrap();
                }
            }
            capturing.take(&heard);
            rendering.fill(&mut data);
        }
    });
    assert_eq!(underruns.load(Relaxed), 20, "each time that it was late");
    assert_eq!(captured.slots(), 4800, "and nothing was taken out of the full one");
    assert_eq!((asked.count_total, asked.count_current), (0, 0), "allocations, and what was freed");
}
