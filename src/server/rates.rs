//! How often each user and each address may ask: token buckets, kept only for those who asked lately.

use super::config::LimitConfig;
use crate::base::{Error, ErrorCode, Result, Uid};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Seconds' worth of requests that may come at once.
const BURST_SECONDS: u32 = 5;

/// Askers between two rounds of forgetting those whose bucket is full again. Bounds what a flood of addresses costs.
const FORGET_EVERY: usize = 4096;

pub(super) struct Rates {
    requests_per_second: u32,
    users: Keyed<Uid>,
    addresses: Keyed<IpAddr>,
    logins: Keyed<IpAddr>,
}

/// The rate of one device.
pub(super) struct DeviceRate(Option<DefaultDirectRateLimiter>);

impl Rates {
    pub(super) fn new(limits: &LimitConfig) -> Self {
        Self {
            requests_per_second: limits.requests_per_second,
            users: Keyed::new("this user", limits.user_requests_per_second),
            addresses: Keyed::new("this address", limits.address_requests_per_second),
            logins: Keyed::new("logins from this address", limits.address_logins_per_second),
        }
    }

    pub(super) fn device(&self) -> DeviceRate {
        DeviceRate(quota(self.requests_per_second).map(RateLimiter::direct))
    }

    /// Errors: `too_many_requests`.
    pub(super) fn user(&self, uid: &Uid) -> Result<()> {
        self.users.check(uid)
    }

    /// Errors: `too_many_requests`.
    pub(super) fn address(&self, address: IpAddr) -> Result<()> {
        self.addresses.check(&network(address))
    }

    /// Errors: `too_many_requests`.
    pub(super) fn login(&self, address: IpAddr) -> Result<()> {
        self.logins.check(&network(address))
    }
}

impl DeviceRate {
    /// Errors: `too_many_requests`.
    pub(super) fn check(&self) -> Result<()> {
        match self.0.as_ref().map(|limiter| limiter.check()) {
            Some(Err(refused)) => Err(too_many("this device", refused.wait_time_from(DefaultClock::default().now()))),
            _ => Ok(()),
        }
    }
}

struct Keyed<K: Hash + Eq + Clone> {
    of: &'static str,
    limiter: Option<DefaultKeyedRateLimiter<K>>,
    asked: AtomicUsize,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(of: &'static str, per_second: u32) -> Self {
        Self { of, limiter: quota(per_second).map(RateLimiter::keyed), asked: AtomicUsize::new(0) }
    }

    fn check(&self, key: &K) -> Result<()> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
        limiter
            .check_key(key)
            .map_err(|refused| too_many(self.of, refused.wait_time_from(DefaultClock::default().now())))
    }
}

/// `None` for no limit.
fn quota(per_second: u32) -> Option<Quota> {
    let rate = NonZeroU32::new(per_second)?;
    Some(Quota::per_second(rate).allow_burst(rate.saturating_mul(NonZeroU32::new(BURST_SECONDS)?)))
}

fn too_many(of: &str, wait: std::time::Duration) -> Error {
    let text = format!("too many requests of {of}; wait {:.1} s", wait.as_secs_f32().max(0.1));
    Error::new(ErrorCode::TooManyRequests, text)
}

/// Whoever has one IPv6 address has a network of 64 bits of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(change: impl FnOnce(&mut LimitConfig)) -> Rates {
        let mut limits = LimitConfig::default();
        change(&mut limits);
        Rates::new(&limits)
    }

    #[test]
    fn a_burst_is_allowed_and_a_flood_is_not_and_nobody_else_pays_for_it() {
        let rates = rates(|limits| limits.address_logins_per_second = 2);
        let login = |address: &str| rates.login(address.parse().unwrap());
        let allowed = (0..200).filter(|_| login("192.0.2.1").is_ok()).count();
        assert!((10..20).contains(&allowed), "{allowed}");
        let refused = login("192.0.2.1").unwrap_err();
        assert_eq!(refused.code(), ErrorCode::TooManyRequests);
        login("192.0.2.2").unwrap();
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_and_a_mapped_ipv4_is_that_ipv4() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }

    #[test]
    fn zero_is_no_limit() {
        let rates = rates(|limits| (limits.user_requests_per_second, limits.requests_per_second) = (0, 0));
        let (device, uid) = (rates.device(), Uid::new("alice").unwrap());
        assert!((0..10_000).all(|_| rates.user(&uid).is_ok() && device.check().is_ok()));
    }

    #[test]
    fn those_who_asked_long_ago_are_forgotten() {
        let rates = rates(|limits| limits.address_requests_per_second = 1_000_000);
        for n in 0..4 * FORGET_EVERY as u32 {
            rates.address(IpAddr::from(n.to_be_bytes())).unwrap();
        }
        let kept = rates.addresses.limiter.as_ref().unwrap().len();
        assert!(kept <= FORGET_EVERY, "{kept} are kept");
    }
}
