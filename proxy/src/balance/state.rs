//! Which endpoints are left out: shared by all workers, by backend and address, for as long as a snapshot has them.
//!
//! Read on a request's way without a lock. Whoever leaves one out takes the registry's lock, so that the cap holds
//! however many workers see failures at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use patchgate_config::balance::Ejection;
use tokio::time::Instant;

/// Most times that an ejection grows by its base.
const LONGEST: u32 = 10;

/// A backend's name, and an address of it.
type Key = (Arc<str>, SocketAddr);

/// All endpoints of all backends.
#[derive(Debug)]
pub(crate) struct Endpoints {
    known: Mutex<BTreeMap<Key, Weak<EndpointState>>>,
    /// What times are counted from.
    epoch: Instant,
}

/// One endpoint of a backend.
#[derive(Debug, Default)]
pub(crate) struct EndpointState {
    /// In a row, over all workers.
    failures: AtomicU32,
    /// Nanoseconds since the epoch; 0: it never was.
    ejected_until: AtomicU64,
    /// Ejections in succession.
    times: AtomicU32,
    /// What its checks say; without checks it is not.
    unhealthy: AtomicBool,
    /// Checks that passed, and that failed.
    checks: [AtomicU64; 2],
}

/// An endpoint as metrics tell it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) backend: Arc<str>,
    pub(crate) address: SocketAddr,
    pub(crate) ejected: bool,
    pub(crate) healthy: bool,
    /// Checks that passed, and that failed.
    pub(crate) checks: [u64; 2],
}

impl Default for Endpoints {
    fn default() -> Self {
        Self { known: Mutex::default(), epoch: Instant::now() }
    }
}

impl Endpoints {
    /// The state of an endpoint; the same for as long as somebody holds it, so that it survives a reload.
    pub(crate) fn of(&self, backend: &Arc<str>, address: SocketAddr) -> Arc<EndpointState> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, state| state.strong_count() > 0);
        let state = known.entry((Arc::clone(backend), address)).or_default();
        state.upgrade().unwrap_or_else(|| {
            let new = Arc::<EndpointState>::default();
            *state = Arc::downgrade(&new);
            new
        })
    }

    /// How all of them stand, for a scrape.
    pub(crate) fn told(&self) -> Vec<Told> {
        let now = self.nanos(Instant::now());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = known.iter().filter_map(|(key, state)| Some((key, state.upgrade()?)));
        let told = alive.map(|((backend, address), state)| Told {
            backend: Arc::clone(backend),
            address: *address,
            ejected: state.is_ejected(now),
            healthy: state.is_healthy(),
            // ORDERING: Relaxed: statistics.
            checks: state.checks.each_ref().map(|count| count.load(Ordering::Relaxed)),
        });
        told.collect()
    }

    /// A time as the states have it.
    pub(crate) fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts a failure of one of a backend's endpoints; for how long it is left out, if this was one too many.
    pub(crate) fn failed(
        &self,
        states: &[Arc<EndpointState>],
        at: usize,
        policy: &Ejection,
        now: u64,
    ) -> Option<Duration> {
        let state = &states[at];
        // ORDERING: Relaxed: a count that nothing else hangs on.
        if state.failures.fetch_add(1, Ordering::Relaxed) + 1 < policy.consecutive_failures || state.is_ejected(now) {
            return None;
        }
        let _one_at_a_time = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let ejected = states.iter().filter(|state| state.is_ejected(now)).count();
        if state.is_ejected(now) || !may_eject(states.len(), ejected, policy.max_ejected) {
            return None;
        }
        let base = u64::try_from(policy.base.as_nanos()).unwrap_or(u64::MAX);
        // ORDERING: Relaxed: written under the lock alone; a worker that reads an older end sends one request more.
        let (until, times) = (state.ejected_until.load(Ordering::Relaxed), state.times.load(Ordering::Relaxed));
        let in_succession = until > 0 && now < until.saturating_add(base.saturating_mul(u64::from(times)));
        let times = if in_succession { (times + 1).min(LONGEST) } else { 1 };
        let length = base.saturating_mul(u64::from(times));
        state.times.store(times, Ordering::Relaxed);
        state.failures.store(0, Ordering::Relaxed);
        state.ejected_until.store(now.saturating_add(length), Ordering::Relaxed);
        Some(Duration::from_nanos(length))
    }
}

impl EndpointState {
    pub(crate) fn is_ejected(&self, now: u64) -> bool {
        // ORDERING: Relaxed: it stands for itself.
        now < self.ejected_until.load(Ordering::Relaxed)
    }

    /// Whether its checks say that it is well; without checks it is.
    pub(crate) fn is_healthy(&self) -> bool {
        // ORDERING: Relaxed: it stands for itself.
        !self.unhealthy.load(Ordering::Relaxed)
    }

    /// Whether requests go there.
    pub(crate) fn is_usable(&self, now: u64) -> bool {
        self.is_healthy() && !self.is_ejected(now)
    }

    /// What its checks say from now on.
    pub(crate) fn set_healthy(&self, healthy: bool) {
        // ORDERING: Relaxed: a worker that reads what was before sends one request more, or one less.
        self.unhealthy.store(!healthy, Ordering::Relaxed);
    }

    /// Counts a check.
    pub(crate) fn checked(&self, passed: bool) {
        // ORDERING: Relaxed: a statistic.
        self.checks[usize::from(!passed)].fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt succeeded.
    pub(crate) fn succeeded(&self) {
        // ORDERING: Relaxed, as above. Mostly read only, so that the workers share the line.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }
}

/// Whether one more may be left out: never the last, one at least unless the cap is 0, and else up to the cap.
fn may_eject(count: usize, ejected: usize, max_millionths: u32) -> bool {
    let within = (ejected as u64 + 1) * 1_000_000 <= u64::from(max_millionths) * count as u64;
    max_millionths > 0 && ejected + 1 < count && (ejected == 0 || within)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn policy(max_ejected: u32) -> Ejection {
        Ejection { consecutive_failures: 2, base: Duration::from_secs(10), max_ejected }
    }

    fn of(endpoints: &Endpoints, count: u16) -> Vec<Arc<EndpointState>> {
        (1..=count).map(|port| endpoints.of(&"shop/stable".into(), ([127, 0, 0, 1], port).into())).collect()
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
        let endpoints = Endpoints::default();
        let states = of(&endpoints, 2);
        assert_eq!(endpoints.failed(&states, 0, &policy(500_000), SECOND), None);
        states[0].succeeded();
        assert_eq!(endpoints.failed(&states, 0, &policy(500_000), SECOND), None);
        assert_eq!(endpoints.failed(&states, 0, &policy(500_000), SECOND), Some(Duration::from_secs(10)));
        assert!(states[0].is_ejected(SECOND) && states[0].is_ejected(11 * SECOND - 1));
        assert!(!states[0].is_ejected(11 * SECOND), "it comes back");
    }

    #[test]
    fn ejections_in_succession_grow_and_end_growing() {
        let endpoints = Endpoints::default();
        let states = of(&endpoints, 2);
        let (mut now, mut lengths) = (SECOND, Vec::new());
        for _ in 0..12 {
            endpoints.failed(&states, 0, &policy(500_000), now);
            let length = endpoints.failed(&states, 0, &policy(500_000), now).unwrap();
            lengths.push(length.as_secs());
            now += length.as_nanos() as u64;
        }
        assert_eq!(lengths, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 100, 100]);
        now += 100 * SECOND;
        endpoints.failed(&states, 0, &policy(500_000), now);
        assert_eq!(endpoints.failed(&states, 0, &policy(500_000), now), Some(Duration::from_secs(10)));
    }

    #[test]
    fn the_cap_holds_and_the_last_endpoint_is_never_ejected() {
        assert!(!may_eject(1, 0, 1_000_000));
        assert!(may_eject(2, 0, 500_000) && !may_eject(2, 1, 1_000_000));
        assert!(may_eject(10, 4, 500_000) && !may_eject(10, 5, 500_000));
        assert!(may_eject(3, 0, 10_000), "one at least");
        assert!(!may_eject(3, 0, 0));
    }

    #[test]
    fn a_state_is_the_same_while_it_is_held_and_new_after_that() {
        let endpoints = Endpoints::default();
        let states = of(&endpoints, 2);
        let again = of(&endpoints, 2);
        assert!(Arc::ptr_eq(&states[0], &again[0]));
        assert_eq!(endpoints.told().len(), 2);
        drop((states, again));
        assert!(endpoints.told().is_empty());
    }
}
