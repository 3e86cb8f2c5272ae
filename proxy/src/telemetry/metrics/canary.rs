//! Canary requests of one rollout: how many are in flight, and when one was last answered. What a withdrawal waits for.
//!
//! Interned by the rollout's name for the life of the process, so that a request is counted under it whatever snapshot
//! it runs on, also when the rollout is in none any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How a rollout's canary requests stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Canary {
    /// Requests that were sent to its hot-fix backend and have not ended. Never less than there are.
    pub in_flight: u64,
    /// When a response of its hot-fix backend last became the answer of a request.
    pub last_commit: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub struct CanaryCounts {
    shards: Box<[CanaryShard]>,
    /// What `last_commit` counts from.
    epoch: Instant,
}

/// One worker's part.
#[derive(Debug, Default)]
#[repr(align(128))]
struct CanaryShard {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Nanoseconds since the epoch; 0: never.
    last_commit: AtomicU64,
}

// === impl CanaryCounts ===

impl CanaryCounts {
    pub(super) fn new(workers: usize) -> Self {
        Self { shards: (0..workers).map(|_| CanaryShard::default()).collect(), epoch: Instant::now() }
    }

    /// A request of `worker` goes to the hot-fix backend.
    pub fn begin(&self, worker: usize) {
        let begun = &self.shards[worker].begun;
        // ORDERING: Relaxed: only this worker writes it. A reader gets it by the Release of `end`, or by that of the
        // worker's revision (`Metrics::serves`), which it takes before.
        begun.store(begun.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// A request of `worker` is with the hot-fix backend no more.
    pub fn end(&self, worker: usize) {
        let ended = &self.shards[worker].ended;
        // ORDERING: Release pairs with the Acquire in `read`: who sees this end sees the beginning that it belongs to.
        ended.store(ended.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// A response of the hot-fix backend became an answer at `now`.
    pub fn commit(&self, worker: usize, now: Instant) {
        let nanos = u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX);
        // ORDERING: Relaxed: a statistic with one writer.
        self.shards[worker].last_commit.store(nanos.max(1), Ordering::Relaxed);
    }

    /// The sum over the workers.
    #[must_use]
    pub fn read(&self) -> Canary {
        let mut in_flight = 0;
        for shard in &self.shards {
            // ORDERING: Acquire pairs with the Release of `end`. Ends are read before beginnings, so that no request
            // is missed that is in flight: at worst one that has just ended still counts.
            let ended = shard.ended.load(Ordering::Acquire);
            // ORDERING: Relaxed: at least as new as what was seen above.
            in_flight += shard.begun.load(Ordering::Relaxed).wrapping_sub(ended);
        }
        // ORDERING: Relaxed: a statistic.
        let last = self.shards.iter().map(|shard| shard.last_commit.load(Ordering::Relaxed)).max();
        let last_commit = last.filter(|&nanos| nanos > 0).map(|nanos| self.epoch + Duration::from_nanos(nanos));
        Canary { in_flight, last_commit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_flight_is_what_began_and_has_not_ended_over_all_workers() {
        let counts = CanaryCounts::new(2);
        assert_eq!(counts.read(), Canary::default());
        counts.begin(0);
        counts.begin(1);
        counts.begin(1);
        counts.end(1);
        assert_eq!(counts.read().in_flight, 2);
    }

    #[test]
    fn the_last_commit_is_that_of_any_worker() {
        let counts = CanaryCounts::new(2);
        let (sooner, later) = (counts.epoch + Duration::from_secs(1), counts.epoch + Duration::from_secs(2));
        counts.commit(1, later);
        counts.commit(0, sooner);
        assert_eq!(counts.read().last_commit, Some(later));
    }

    #[test]
    fn a_reader_never_misses_a_request_that_is_in_flight() {
        // One request is always in flight, as another begins before it ends.
        let counts = CanaryCounts::new(1);
        counts.begin(0);
        let stop = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200_000 {
                    counts.begin(0);
                    counts.end(0);
                }
                stop.store(1, Ordering::SeqCst);
            });
            while stop.load(Ordering::SeqCst) == 0 {
                assert!(counts.read().in_flight >= 1);
            }
        });
        assert_eq!(counts.read().in_flight, 1);
    }
}
