//! Forwarding in steady state: what the SFU asks of the allocator for each packet and subscriber is what str0m asks for.

#![cfg(feature = "server")]

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::time::Duration;
use trill::identity::{ApiKey, KeyRing};
use trill::server::sfu::SfuConfig;
use trill::server::sfu::bench::Fanout;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Of str0m 0.25, for each packet sent: the datagram, which SRTP writes into a buffer of its own.
const OF_STR0M: f64 = 1.0;

const PACKETS: usize = 200;

/// Allocations for each packet that comes in.
fn allocations(subscribers: usize) -> f64 {
    let key = ApiKey::new("key", "a secret of the allocation test, 32+ bytes").unwrap();
    let config = SfuConfig::new("192.0.2.1:7882".parse().unwrap(), KeyRing::new(key));
    let mut fanout = Fanout::new(config, subscribers).unwrap();
    let mut total = 0;
    // The first half brings every buffer to its size.
    for packet in 0..2 * PACKETS {
        fanout.publish(900).unwrap();
        let region = Region::new(ALLOCATOR);
        fanout.forward();
        let change = region.change();
        if packet >= PACKETS {
            total += change.allocations + change.reallocations;
        }
        assert_eq!(fanout.settle(Duration::from_millis(5)).unwrap(), subscribers, "of packet {packet}");
    }
    total as f64 / PACKETS as f64
}

#[test]
fn forwarding_a_packet_to_one_more_subscriber_allocates_no_more_than_str0m_does() {
    let (few, many) = (allocations(2), allocations(12));
    let each = (many - few) / 10.0;
    println!("allocations a packet: {few:.2} with 2 subscribers, {many:.2} with 12: {each:.2} for each");
    // Now and then it sends a report or padding besides; one allocation of ours for each packet would be a whole one.
    assert!(each < OF_STR0M + 0.5, "{each:.2} for each subscriber; str0m asks for {OF_STR0M}");
}
