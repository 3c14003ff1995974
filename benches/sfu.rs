//! What forwarding costs the server: one video packet of 900 bytes to 1, 10 and 100 subscribers.
//!
//! `room`: the room alone, without the kernel: from the publisher's SRTP packet to the subscribers' SRTP packets.
//! `room and socket`: the same, sent through the SFU's own UDP socket on loopback to a socket that nobody reads.
//! The time is that of one forwarded packet.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::{Duration, Instant};
use trill::identity::{ApiKey, KeyRing};
use trill::server::sfu::SfuConfig;
use trill::server::sfu::bench::{BenchSocket, Fanout};

const PACKET: usize = 900;

/// Packets of one video frame come together.
const BURST: usize = 4;

fn config(bind: &str) -> SfuConfig {
    let key = ApiKey::new("key", "a secret of the benches, 32 bytes or more").unwrap();
    let mut config = SfuConfig::new(bind.parse().unwrap(), KeyRing::new(key));
    config.limits.participants = 200;
    config
}

fn forward(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let sink = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut socket = BenchSocket::new(&config("127.0.0.1:0"), sink.local_addr().unwrap()).unwrap();
    let mut group = c.benchmark_group("sfu forward");
    group.sample_size(20).warm_up_time(Duration::from_millis(500));
    for subscribers in [1, 10, 100] {
        let mut fanout = Fanout::new(config("192.0.2.1:7882"), subscribers).unwrap();
        group.measurement_time(Duration::from_millis(if subscribers == 100 { 2000 } else { 500 }));
        for burst in [1, BURST] {
            group.throughput(Throughput::Elements((subscribers * burst) as u64));
            for (name, with_socket) in [("room", false), ("room and socket", true)] {
                group.bench_function(format!("{name}, {subscribers} subscribers, bursts of {burst}"), |b| {
                    b.iter_custom(|iterations| {
                        let mut took = Duration::ZERO;
                        for _ in 0..iterations {
                            for _ in 0..burst {
                                fanout.publish(PACKET).unwrap();
                            }
                            let start = Instant::now();
                            fanout.forward();
                            took += start.elapsed();
                            if with_socket {
                                let sent = fanout.sent();
                                let start = Instant::now();
                                socket.send(sent, burst);
                                took += start.elapsed();
                            }
                            let arrived = fanout.settle(Duration::from_millis(3 * burst as u64)).unwrap();
                            assert_eq!(arrived, subscribers * burst, "every subscriber got every packet");
                        }
                        took
                    });
                });
            }
        }
    }
}

criterion_group!(benches, forward);
criterion_main!(benches);
