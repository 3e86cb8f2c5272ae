//! How often a service, and each client of it, may ask: token buckets (GCRA, by `governor`) of the whole process.
//!
//! Only services with a policy have a [`RateLimits`]; the requests of all others pass without a look at it. Buckets stay
//! over reloads for as long as their policy does.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{DefaultDirectRateLimiter, NotUntil, Quota, RateLimiter};
use http::HeaderMap;
use patchgate_config::snapshot::{Rate, RateLimit, StickyKey};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::rollout::with_key_of;

/// Clients of a service whose buckets are kept; those beyond share one.
const MAX_CLIENTS: usize = 100_000;

/// The bucket of clients without a key, and of those that there is no room for.
const ALL_OTHERS: u128 = 0;

/// An IPv6 client is whoever has this much of an address: a household or a machine gets that many bits.
const IPV6_CLIENT: u32 = 64;

type Clients = RateLimiter<u128, Buckets, DefaultClock>;

/// Those of all services that have a policy.
#[derive(Debug, Default)]
pub(crate) struct AllRateLimits(Mutex<BTreeMap<Arc<str>, Weak<RateLimits>>>);

/// A service's buckets.
#[derive(Debug)]
pub(crate) struct RateLimits {
    policy: RateLimit,
    all: Option<DefaultDirectRateLimiter>,
    clients: Option<Clients>,
    /// Nobody knows it, so that nobody can make his key another's.
    seed: u64,
}

/// Clients' buckets, at most [`MAX_CLIENTS`] and that of all others: whoever sends ever new keys shares one, and takes
/// nobody's who is known.
#[derive(Debug, Default)]
struct Buckets(Mutex<HashMap<u128, Nanos>>);

impl AllRateLimits {
    /// That of a service; the same for as long as somebody holds it and the policy stays.
    pub(crate) fn of(&self, service: &Arc<str>, policy: &RateLimit) -> Arc<RateLimits> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, limits| limits.strong_count() > 0);
        let held = known.get(service).and_then(Weak::upgrade).filter(|limits| limits.policy == *policy);
        held.unwrap_or_else(|| {
            let new = Arc::new(RateLimits::new(policy.clone()));
            known.insert(Arc::clone(service), Arc::downgrade(&new));
            new
        })
    }

    /// Forgets clients whose buckets are full again. Now and then, by one worker.
    pub(crate) fn tidy(&self) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().filter_map(Weak::upgrade).for_each(|limits| limits.tidy());
    }
}

impl RateLimits {
    fn new(policy: RateLimit) -> Self {
        Self {
            all: policy.all.map(|rate| RateLimiter::direct(quota(rate))),
            clients: policy
                .clients
                .as_ref()
                .map(|(rate, _)| RateLimiter::new(quota(*rate), Buckets::default(), DefaultClock::default())),
            seed: fastrand::u64(..),
            policy,
        }
    }

    /// Takes a token for a request, of the client's bucket first: who asks too often takes nothing from the others.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn check(&self, exchange: &Exchange, headers: &HeaderMap) -> Result<(), ProxyError> {
        let refuse = |limit: &str, wait: Duration| {
            exchange.worker().telemetry.rate_limited(limit);
            ProxyError::RateLimited(whole_seconds(wait))
        };
        if let (Some(clients), Some((_, key))) = (&self.clients, &self.policy.clients) {
            let key = self.key_of(key, headers, exchange.connection.peer.ip());
            clients.check_key(&key).map_err(|until| refuse("client", wait(&until)))?;
        }
        match &self.all {
            Some(all) => all.check().map_err(|until| refuse("service", wait(&until))),
            None => Ok(()),
        }
    }

    /// Who a request is counted for.
    fn key_of(&self, key: &StickyKey, headers: &HeaderMap, client: IpAddr) -> u128 {
        match key {
            StickyKey::ClientAddress => match client.to_canonical() {
                IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
                IpAddr::V6(address) => Ipv6Addr::to_bits(address) >> (128 - IPV6_CLIENT) << (128 - IPV6_CLIENT),
            },
            key => with_key_of(key, headers, client, |key| xxh3_128_with_seed(key, self.seed)).unwrap_or(ALL_OTHERS),
        }
    }

    fn tidy(&self) {
        if let Some(clients) = &self.clients {
            clients.retain_recent();
            clients.shrink_to_fit();
        }
    }
}

impl Buckets {
    fn lock(&self) -> MutexGuard<'_, HashMap<u128, Nanos>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Buckets {
    type Key = u128;

    fn measure_and_replace<T, F, E>(&self, key: &u128, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut buckets = self.lock();
        let has_room = buckets.len() < MAX_CLIENTS || buckets.contains_key(key);
        let key = if has_room { *key } else { ALL_OTHERS };
        let (outcome, level) = measure(buckets.get(&key).copied())?;
        buckets.insert(key, level);
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<u128> for Buckets {
    fn retain_recent(&self, drop_below: Nanos) {
        self.lock().retain(|_, level| *level > drop_below);
    }

    fn shrink_to_fit(&self) {
        self.lock().shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

fn quota(rate: Rate) -> Quota {
    let one = rate.per / rate.requests.get();
    // A rate above one a nanosecond is none that anybody reaches.
    let quota = Quota::with_period(one.max(Duration::from_nanos(1))).expect("a period is longer than nothing");
    quota.allow_burst(rate.burst)
}

fn wait(until: &NotUntil<<DefaultClock as Clock>::Instant>) -> Duration {
    until.wait_time_from(DefaultClock::default().now())
}

/// Seconds, rounded up, at least one: a client that waits for as long is let in.
fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn limits(key: StickyKey) -> RateLimits {
        let rate = Rate {
            requests: NonZeroU32::MIN,
            per: Duration::from_secs(3600),
            burst: NonZeroU32::MIN.saturating_add(1),
        };
        RateLimits::new(RateLimit { all: None, clients: Some((rate, key)) })
    }

    #[test]
    fn clients_of_one_ipv6_network_are_one() {
        let limits = limits(StickyKey::ClientAddress);
        let key = |address: &str| limits.key_of(&StickyKey::ClientAddress, &HeaderMap::new(), address.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn who_has_no_key_shares_a_bucket_with_all_who_have_none() {
        let header = StickyKey::Header(http::HeaderName::from_static("x-user"));
        let limits = limits(header.clone());
        let key = |fields: &HeaderMap| limits.key_of(&header, fields, [127, 0, 0, 1].into());
        let with = |value: &'static str| [("x-user".parse().unwrap(), value.parse().unwrap())].into_iter().collect();
        assert_eq!(key(&HeaderMap::new()), ALL_OTHERS);
        assert_ne!(key(&with("a")), key(&with("b")));
    }

    #[test]
    fn ever_new_clients_share_a_bucket_and_take_nobodys_who_is_known() {
        let limits = limits(StickyKey::ClientAddress);
        let clients = limits.clients.as_ref().unwrap();
        for key in 1..=MAX_CLIENTS as u128 {
            assert!(clients.check_key(&key).is_ok());
        }
        let strangers = (1..=3).map(|nth| clients.check_key(&(nth << 64)).is_ok());
        assert_eq!(strangers.collect::<Vec<_>>(), [true, true, false], "one bucket of two tokens");
        assert!(clients.check_key(&7).is_ok(), "its second token");
        assert!(clients.check_key(&7).is_err());
        assert_eq!(clients.len(), MAX_CLIENTS + 1);
        limits.tidy();
        assert_eq!(clients.len(), MAX_CLIENTS + 1, "none is full again");
    }

    #[test]
    fn a_client_whose_bucket_is_full_again_is_forgotten() {
        let rate = Rate { requests: NonZeroU32::MAX, per: Duration::from_nanos(1), burst: NonZeroU32::MIN };
        let limits = RateLimits::new(RateLimit { all: None, clients: Some((rate, StickyKey::ClientAddress)) });
        let clients = limits.clients.as_ref().unwrap();
        assert!(clients.check_key(&1).is_ok() && !clients.is_empty());
        // A nanosecond later it is.
        while !clients.is_empty() {
            limits.tidy();
        }
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_rounded_up() {
        let of = |millis| whole_seconds(Duration::from_millis(millis));
        assert_eq!([of(0), of(1), of(1000), of(1001)], [1, 1, 1, 2]);
    }
}
