//! How fast a backend answers, as hedges need to know it: a live 95th percentile, and whether the backend as a whole
//! has become slow. Pure, but for what it remembers.
//!
//! A hedge helps against a slow minority. When most requests are slow or fail, a second one only adds to the cause, so
//! that is noticed first: by requests that are late, not by answers, which may never come.

use std::cell::{Cell, RefCell};
use std::time::Duration;

/// Answers that must be known before there is a percentile.
const COLD: u32 = 100;

/// When so many are known, all count half: what is old fades.
const FADE: u32 = 4_096;

/// The percentile is found anew after so many answers.
const REFRESH: u32 = 64;

/// Of the last 64 requests, more than this late or failed: the backend as a whole has changed.
const SHIFTING: u32 = 16;

/// Eight buckets for each doubling: a percentile is at most an eighth too high.
const PER_DOUBLING: u32 = 8;
const BUCKETS: usize = 33 * PER_DOUBLING as usize;

/// See the module. Of one backend, on one worker.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Answers by the time they took.
    took: RefCell<Box<[u32; BUCKETS]>>,
    known: Cell<u32>,
    until_refresh: Cell<u32>,
    p95: Cell<Option<Duration>>,
    /// One bit for each of the last requests, the newest lowest: late or failed.
    recent: Cell<u64>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            took: RefCell::new(Box::new([0; BUCKETS])),
            known: Cell::new(0),
            until_refresh: Cell::new(COLD),
            p95: Cell::new(None),
            recent: Cell::new(0),
        }
    }
}

impl Pace {
    /// The live 95th percentile; `None` until enough is known.
    pub(crate) fn p95(&self) -> Option<Duration> {
        self.p95.get()
    }

    /// Whether so many of the last requests were late or failed that the backend as a whole has changed.
    pub(crate) fn is_shifting(&self) -> bool {
        self.recent.get().count_ones() > SHIFTING
    }

    /// A request was answered before it was late.
    pub(crate) fn in_time(&self, took: Duration) {
        self.remember(false);
        self.took(took);
    }

    /// A request failed before it was late.
    pub(crate) fn failed(&self) {
        self.remember(true);
    }

    /// A request has no answer yet and should have one.
    pub(crate) fn late(&self) {
        self.remember(true);
    }

    /// A late request was answered, or given up, after this time: it would have taken that at least.
    pub(crate) fn took(&self, took: Duration) {
        let mut buckets = self.took.borrow_mut();
        buckets[bucket(took)] += 1;
        self.known.set(self.known.get() + 1);
        self.until_refresh.set(self.until_refresh.get() - 1);
        if self.until_refresh.get() > 0 {
            return;
        }
        self.until_refresh.set(REFRESH);
        if self.known.get() >= FADE {
            buckets.iter_mut().for_each(|count| *count /= 2);
            self.known.set(buckets.iter().sum());
        }
        let above = self.known.get() / 20;
        let mut slowest = 0;
        let nth = buckets.iter().rposition(|count| {
            slowest += count;
            slowest > above
        });
        self.p95.set(nth.map(ceiling));
    }

    fn remember(&self, bad: bool) {
        self.recent.set(self.recent.get() << 1 | u64::from(bad));
    }
}

/// The bucket of a time: its highest bit in microseconds, and the three below.
fn bucket(took: Duration) -> usize {
    let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(PER_DOUBLING);
    let doubling = micros.ilog2() - PER_DOUBLING.ilog2();
    let nth = (micros >> doubling) - PER_DOUBLING;
    (doubling * PER_DOUBLING + nth) as usize
}

/// What no time of a bucket is above.
fn ceiling(bucket: usize) -> Duration {
    let (doubling, nth) = (bucket as u32 / PER_DOUBLING, bucket as u32 % PER_DOUBLING);
    Duration::from_micros(u64::from(PER_DOUBLING + nth + 1) << doubling)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_time_lies_at_most_an_eighth_below_its_buckets_ceiling() {
        for micros in (8..100_000).chain([1 << 31, u64::from(u32::MAX) - 1]) {
            let took = Duration::from_micros(micros);
            let ceiling = ceiling(bucket(took));
            assert!(took < ceiling && ceiling <= took + took / 8 + Duration::from_micros(1), "{took:?}: {ceiling:?}");
        }
        assert!(bucket(Duration::MAX) < BUCKETS);
        assert_eq!(bucket(Duration::ZERO), 0);
    }

    #[test]
    fn a_cold_backend_has_no_percentile_and_a_warm_one_its_own() {
        let pace = Pace::default();
        (1..100).for_each(|nth| pace.in_time(nth * MS));
        assert_eq!(pace.p95(), None);
        pace.in_time(100 * MS);
        let p95 = pace.p95().unwrap();
        assert!((95 * MS..=108 * MS).contains(&p95), "{p95:?}");
    }

    #[test]
    fn what_is_old_fades() {
        let pace = Pace::default();
        (0..10_000).for_each(|_| pace.in_time(100 * MS));
        assert!(pace.p95().unwrap() >= 100 * MS);
        (0..30_000).for_each(|_| pace.in_time(MS));
        assert!(pace.p95().unwrap() < 2 * MS);
    }

    #[test]
    fn a_slow_minority_is_no_shift_and_a_slow_majority_is_one_until_it_ends() {
        let pace = Pace::default();
        for nth in 0..1_000 {
            match nth % 10 {
                0 => pace.late(),
                _ => pace.in_time(MS),
            }
            assert!(!pace.is_shifting());
        }
        (0..20).for_each(|_| pace.late());
        assert!(pace.is_shifting());
        (0..64).for_each(|_| pace.failed());
        assert!(pace.is_shifting(), "a failure is no better");
        (0..50).for_each(|_| pace.in_time(MS));
        assert!(!pace.is_shifting());
    }
}
