//! What the C boundary costs: an event told to a function, an event through the queue, a 720p picture each way.
//!
//! A picture is handed over without a network: pushed through trill_session_push_video and taken where the encoder takes it,
//! and from where the decoder leaves it to the app's function. `a copy of it` is what one copy of that memory takes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use trill::base::{ParticipantIdentity, SessionId};
use trill::capi::bench::Boundary;
use trill::engine::Event;
use trill::media::frame::VideoFrame;
use trill::session::{SessionEvent, Speaker};

fn event() -> Event {
    let speaker = Speaker { identity: ParticipantIdentity::new("bob").unwrap(), level: 0.5 };
    let event = SessionEvent::ActiveSpeakers { speakers: vec![speaker] };
    Event::Session { session: SessionId::new("bench").unwrap(), event }
}

fn events(c: &mut Criterion) {
    let mut group = c.benchmark_group("ffi event");
    group.throughput(Throughput::Elements(1));
    let (boundary, told) = (Boundary::new(false).unwrap(), event());
    group.bench_function("to a function", |b| b.iter(|| boundary.tell(&told)));
    assert!(boundary.told() > 0);
    let boundary = Boundary::new(true).unwrap();
    group.bench_function("through the queue", |b| {
        b.iter(|| {
            boundary.queue(event()).unwrap();
            assert!(boundary.take());
        })
    });
    group.finish();
}

fn pictures(c: &mut Criterion) {
    let picture = VideoFrame::from_i420(1280, 720, vec![128; 1280 * 720 * 3 / 2], Duration::ZERO).unwrap();
    let mut group = c.benchmark_group("ffi 720p picture");
    let mut boundary = Boundary::new(false).unwrap();
    group.bench_function("pushed", |b| b.iter(|| boundary.push(&picture).unwrap()));
    group.bench_function("received", |b| b.iter(|| boundary.receive(&picture)));
    group.bench_function("a copy of it", |b| b.iter(|| black_box(&picture).planes().map(<[u8]>::to_vec)));
    group.finish();
}

criterion_group!(benches, events, pictures);
criterion_main!(benches);
