//! Metrics of one backend on one track: codes and durations, a shard for each worker.
//!
//! Interned by their labels for the life of the process, so that a reload never makes a counter go back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::counters::bump;
use crate::grpc;
use crate::rollout::Reason;
use crate::telemetry::traffic::Sums;

/// Upper bounds of the duration histograms' buckets in seconds, as the semantic conventions advise.
pub const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// [`BOUNDS`] in nanoseconds.
const BOUNDS_NANOS: [u64; 14] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// Different status codes that one series tells apart; a backend that answers more gets `other`.
const CODES: usize = 16;

/// Labels of a series. All come from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey {
    /// The service.
    pub service: String,
    /// The backend.
    pub backend: String,
    /// The track.
    pub track: &'static str,
    /// The patch's group; empty for stable.
    pub patch_group: String,
    /// The version that the backend runs.
    pub patch_version: String,
}

/// See the module.
#[derive(Debug)]
pub struct Series {
    /// Its labels.
    pub key: SeriesKey,
    shards: Box<[Shard]>,
}

/// An exported request as an exemplar.
#[derive(Debug, Clone)]
pub struct ExemplarOf {
    /// Its trace.
    pub trace_id: u128,
    /// Our SERVER span.
    pub span_id: u64,
    /// Seconds.
    pub value: f64,
    /// When.
    pub at: SystemTime,
}

/// What one worker records.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Shard {
    codes: [(AtomicU16, AtomicU64); CODES],
    other_codes: AtomicU64,
    errors: AtomicU64,
    /// Calls of gRPC by status.
    calls: [AtomicU64; grpc::STATUSES],
    reasons: [AtomicU64; Reason::ALL.len()],
    server: Histogram,
    client: Histogram,
    exemplars: Exemplars,
}

/// An exported request of each bucket, renewed once a second at most: so seldom that a lock will do.
#[derive(Debug, Default)]
struct Exemplars {
    /// Seconds since 1970 when the bucket's was noted.
    noted: [AtomicU64; 15],
    last: Mutex<[Option<ExemplarOf>; 15]>,
}

/// Counts by bucket, the last being above all bounds.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; 15],
    sum_nanos: AtomicU64,
}

/// A histogram summed over workers.
#[derive(Debug, Default, Clone)]
pub struct HistogramSum {
    /// Counts by bucket.
    pub buckets: [u64; 15],
    /// In seconds.
    pub sum: f64,
    /// Of all buckets.
    pub count: u64,
}

// === impl Series ===

impl Series {
    pub(super) fn new(key: SeriesKey, workers: usize) -> Self {
        Self { key, shards: (0..workers).map(|_| Shard::default()).collect() }
    }

    /// The shard of one worker.
    #[must_use]
    pub fn shard(&self, worker: usize) -> &Shard {
        &self.shards[worker]
    }

    /// Counts by status code; `None`: other codes.
    #[must_use]
    pub fn codes(&self) -> Vec<(Option<u16>, u64)> {
        let mut sums = std::collections::BTreeMap::new();
        for shard in &self.shards {
            for (code, count) in &shard.codes {
                let code = code.load(Ordering::Relaxed);
                if code != 0 {
                    *sums.entry(Some(code)).or_default() += count.load(Ordering::Relaxed);
                }
            }
            let other = shard.other_codes.load(Ordering::Relaxed);
            if other != 0 {
                *sums.entry(None).or_default() += other;
            }
        }
        sums.into_iter().collect()
    }

    /// Calls of gRPC by status, those that there were.
    #[must_use]
    pub fn calls(&self) -> Vec<(usize, u64)> {
        // Relaxed: statistics.
        let sum = |status: usize| self.shards.iter().map(|shard| shard.calls[status].load(Ordering::Relaxed)).sum();
        (0..grpc::STATUSES).map(|status| (status, sum(status))).filter(|(_, count)| *count > 0).collect()
    }

    /// What the control plane looks at.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let server = self.server();
        let mut sums = Sums { requests: server.count, buckets: server.buckets, seconds: server.sum, ..Sums::default() };
        for shard in &self.shards {
            // Relaxed: statistics.
            sums.errors += shard.errors.load(Ordering::Relaxed);
            for (sum, count) in sums.reasons.0.iter_mut().zip(&shard.reasons) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        sums
    }

    /// Durations of requests.
    #[must_use]
    pub fn server(&self) -> HistogramSum {
        HistogramSum::over(self.shards.iter().map(|shard| &shard.server))
    }

    /// Durations of attempts to the response head.
    #[must_use]
    pub fn client(&self) -> HistogramSum {
        HistogramSum::over(self.shards.iter().map(|shard| &shard.client))
    }

    /// The latest exemplar of each bucket.
    #[must_use]
    pub fn exemplars(&self) -> [Option<ExemplarOf>; 15] {
        let mut latest: [Option<ExemplarOf>; 15] = Default::default();
        for shard in &self.shards {
            let Ok(last) = shard.exemplars.last.lock() else { continue };
            for (latest, one) in latest.iter_mut().zip(&*last) {
                if one.as_ref().map(|one| one.at) > latest.as_ref().map(|latest| latest.at) {
                    latest.clone_from(one);
                }
            }
        }
        latest
    }
}

impl Shard {
    /// Records a request that ended.
    pub fn finish(&self, status: u16, duration: Duration) {
        self.server.record(duration);
        if status >= 500 {
            bump(&self.errors, 1);
        }
        for (code, count) in &self.codes {
            // Relaxed: only this worker writes, a scrape may see a code before its count.
            match code.load(Ordering::Relaxed) {
                known if known == status => return bump(count, 1),
                0 => {
                    code.store(status, Ordering::Relaxed);
                    return bump(count, 1);
                }
                _ => {}
            }
        }
        bump(&self.other_codes, 1);
    }

    /// Records that a request which ended with another status than 5xx failed all the same: its body was not whole.
    pub fn broke(&self) {
        bump(&self.errors, 1);
    }

    /// Records how a call of gRPC ended.
    pub fn called(&self, status: u8) {
        if let Some(count) = self.calls.get(usize::from(status)) {
            bump(count, 1);
        }
    }

    /// Records the reason of a request's decision.
    pub fn decided(&self, reason: Reason) {
        bump(&self.reasons[reason as usize], 1);
    }

    /// Keeps an exported request as its bucket's exemplar, unless the bucket has one of this second. `at` is when it
    /// ended, since 1970.
    pub fn note_exemplar(&self, duration: Duration, at: Duration, exemplar: impl FnOnce() -> ExemplarOf) {
        let bucket = bucket_of(duration);
        let noted = &self.exemplars.noted[bucket];
        // Relaxed: only this worker reads or writes it.
        if noted.load(Ordering::Relaxed) != at.as_secs() {
            noted.store(at.as_secs(), Ordering::Relaxed);
            if let Ok(mut last) = self.exemplars.last.lock() {
                last[bucket] = Some(exemplar());
            }
        }
    }

    /// Records an attempt whose response head came.
    pub fn attempt(&self, duration: Duration) {
        self.client.record(duration);
    }
}

impl Histogram {
    fn record(&self, duration: Duration) {
        bump(&self.buckets[bucket_of(duration)], 1);
        bump(&self.sum_nanos, nanos(duration));
    }
}

impl HistogramSum {
    fn over<'a>(shards: impl Iterator<Item = &'a Histogram>) -> Self {
        let mut sum = Self::default();
        for shard in shards {
            for (total, bucket) in sum.buckets.iter_mut().zip(&shard.buckets) {
                *total += bucket.load(Ordering::Relaxed);
            }
            sum.sum += shard.sum_nanos.load(Ordering::Relaxed) as f64 / 1e9;
        }
        sum.count = sum.buckets.iter().sum();
        sum
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn bucket_of(duration: Duration) -> usize {
    let nanos = nanos(duration);
    // Most requests are in the first buckets, where this ends soonest.
    BOUNDS_NANOS.iter().position(|&bound| nanos <= bound).unwrap_or(BOUNDS_NANOS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series() -> Series {
        let key = SeriesKey {
            service: "s".into(),
            backend: "b".into(),
            track: "stable",
            patch_group: String::new(),
            patch_version: "v1".into(),
        };
        Series::new(key, 2)
    }

    #[test]
    fn workers_are_summed() {
        let series = series();
        series.shard(0).finish(200, Duration::from_millis(1));
        series.shard(1).finish(200, Duration::from_millis(5));
        series.shard(1).finish(503, Duration::from_secs(11));
        assert_eq!(series.codes(), [(Some(200), 2), (Some(503), 1)]);
        let server = series.server();
        assert_eq!((server.count, server.buckets[0], server.buckets[14]), (3, 2, 1));
        assert!((server.sum - 11.006).abs() < 1e-9);
    }

    #[test]
    fn too_many_codes_become_other() {
        let series = series();
        for code in 200..220 {
            series.shard(0).finish(code, Duration::ZERO);
        }
        let codes = series.codes();
        assert_eq!(codes.len(), CODES + 1);
        assert_eq!(codes[0], (None, 4));
    }

    #[test]
    fn exemplars_are_the_latest_of_all_workers_and_one_a_second() {
        let series = series();
        let note = |worker, millis, second, trace_id| {
            let at = Duration::from_secs(second);
            series.shard(worker).note_exemplar(Duration::from_millis(millis), at, || ExemplarOf {
                trace_id,
                span_id: 1,
                value: 0.0,
                at: SystemTime::UNIX_EPOCH + at,
            });
        };
        note(0, 1, 10, 1);
        note(0, 1, 10, 2);
        note(1, 1, 9, 3);
        note(1, 8, 9, 4);
        let traces = || series.exemplars().map(|exemplar| exemplar.map(|exemplar| exemplar.trace_id));
        assert_eq!(traces()[..3], [Some(1), Some(4), None]);
        note(1, 1, 11, 5);
        assert_eq!(traces()[..3], [Some(5), Some(4), None]);
    }

    #[test]
    fn bounds_agree_in_both_units() {
        for (seconds, nanos) in BOUNDS.iter().zip(BOUNDS_NANOS) {
            assert_eq!((seconds * 1e9).round() as u64, nanos);
        }
    }
}
