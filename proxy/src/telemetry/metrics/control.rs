//! What the control plane reports of itself: set by it, shown at a scrape. Nothing here is on a request's way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds in seconds of the time from a withdrawal to the last canary request's end.
pub const TO_ZERO_BOUNDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Upper bounds in seconds of the time from an order until every worker serves by it.
pub(super) const SERVED_BOUNDS: [f64; 9] = [0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Upper bounds in seconds of the time that an append takes to be on disk.
pub const APPEND_BOUNDS: [f64; 12] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Values the control plane sets.
#[derive(Debug)]
pub struct Control {
    /// Revision of the snapshot in force.
    pub snapshot_revision: AtomicU64,
    /// Reloads that were applied.
    pub reloads_applied: AtomicU64,
    /// Reloads that were rejected.
    pub reloads_rejected: AtomicU64,
    /// 1 if the last reload was applied (or there was none).
    pub last_reload_successful: AtomicI64,
    /// Unix time of the last applied configuration in seconds.
    pub last_reload_seconds: AtomicU64,
    /// From the publish of a withdrawal to the end of the last canary request.
    pub time_to_zero_canary: Durations,
    /// From an order, its append included, until every worker serves by it.
    pub change_served: Durations,
    /// Sequence of the event log's last event.
    pub log_sequence: AtomicU64,
    /// From an append to the event log until it is on disk.
    pub log_append: Durations,
    /// Unix time in seconds of the last verification that found nothing amiss; 0: none.
    pub(super) log_verified_seconds: AtomicU64,
    pub(super) log_verify_failures: AtomicU64,
    pub(super) log_append_failures: AtomicU64,
    rollouts: Mutex<Vec<LiveRollout>>,
    admin_requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    certificates: Mutex<Vec<(String, u64)>>,
}

/// A live rollout as metrics tell it.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveRollout {
    /// Its name.
    pub name: String,
    /// The state that it is in, by the word that the API has for it.
    pub state: &'static str,
    /// Each service that it patches, with its exposure, 0 to 1.
    pub exposures: Vec<(String, f64)>,
}

/// A histogram of rare events, so a lock will do.
#[derive(Debug)]
pub struct Durations {
    bounds: &'static [f64],
    sums: Mutex<DurationSums>,
}

/// What a [`Durations`] holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DurationSums {
    /// Counts by bucket, the last being above all bounds.
    pub buckets: Vec<u64>,
    /// In seconds.
    pub sum: f64,
    /// Of all buckets.
    pub count: u64,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            snapshot_revision: AtomicU64::default(),
            reloads_applied: AtomicU64::default(),
            reloads_rejected: AtomicU64::default(),
            last_reload_successful: AtomicI64::default(),
            last_reload_seconds: AtomicU64::default(),
            time_to_zero_canary: Durations::new(&TO_ZERO_BOUNDS),
            change_served: Durations::new(&SERVED_BOUNDS),
            log_sequence: AtomicU64::default(),
            log_append: Durations::new(&APPEND_BOUNDS),
            log_verified_seconds: AtomicU64::default(),
            log_verify_failures: AtomicU64::default(),
            log_append_failures: AtomicU64::default(),
            rollouts: Mutex::default(),
            admin_requests: Mutex::default(),
            certificates: Mutex::default(),
        }
    }
}

impl Control {
    /// Tells of all rollouts that live now; those of before that are not among them are told no more.
    pub fn set_rollouts(&self, live: Vec<LiveRollout>) {
        *self.rollouts.lock().unwrap_or_else(PoisonError::into_inner) = live;
    }

    /// Tells of all certificates in force: each one's file, and the Unix time in seconds at which it ends.
    pub fn set_certificates(&self, certificates: Vec<(String, u64)>) {
        *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
    }

    /// Counts a request to the admin API. `route` is a template, such as `/v1/rollouts/{name}`.
    pub fn admin_request(&self, route: &'static str, code: u16) {
        let mut requests = self.admin_requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route, code)).or_default() += 1;
    }

    /// Tells that a verification, which ended at this Unix time in seconds, found nothing amiss.
    pub fn log_verified(&self, unix_seconds: u64) {
        // Relaxed: a statistic.
        self.log_verified_seconds.store(unix_seconds, Ordering::Relaxed);
    }

    /// Counts a verification that found something amiss.
    pub fn log_verify_failed(&self) {
        // Relaxed: a statistic.
        self.log_verify_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an append that the log did not take or did not confirm.
    pub fn log_append_failed(&self) {
        // Relaxed: a statistic.
        self.log_append_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn certificates(&self) -> Vec<(String, u64)> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn rollouts(&self) -> Vec<LiveRollout> {
        self.rollouts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn admin_requests(&self) -> BTreeMap<(&'static str, u16), u64> {
        self.admin_requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Durations {
    /// An empty one with these upper bounds in seconds, rising.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let sums = DurationSums { buckets: vec![0; bounds.len() + 1], ..DurationSums::default() };
        Self { bounds, sums: Mutex::new(sums) }
    }

    /// The upper bounds in seconds.
    #[must_use]
    pub fn bounds(&self) -> &'static [f64] {
        self.bounds
    }

    /// Adds one.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = self.bounds.iter().position(|&bound| seconds <= bound).unwrap_or(self.bounds.len());
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.buckets[bucket] += 1;
        sums.sum += seconds;
        sums.count += 1;
    }

    /// What was observed so far.
    #[must_use]
    pub fn read(&self) -> DurationSums {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let durations = Durations::new(&[0.1, 1.0]);
        for millis in [100, 101, 1_000, 5_000] {
            durations.observe(Duration::from_millis(millis));
        }
        let sums = durations.read();
        assert_eq!((sums.buckets, sums.count), (vec![1, 2, 1], 4));
        assert!((sums.sum - 6.201).abs() < 1e-9);
    }
}
