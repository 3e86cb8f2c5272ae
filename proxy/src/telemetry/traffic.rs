//! Traffic by backend and track as the control plane reads it: sums now and then, and what happened between the two.
//!
//! [`Metrics::traffic`] reads the workers' counters, which only rise; [`Traffic::since`] is pure. What is judged by
//! these figures, and how, is the control plane's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use super::metrics::{BOUNDS, Metrics, SeriesKey};
use crate::rollout::Reason;

/// Sums since the process began.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// When they were read.
    pub at: Instant,
    /// By service, backend, track, group and version.
    pub rows: BTreeMap<SeriesKey, Sums>,
}

/// What is summed of one backend on one track.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sums {
    /// Requests that ended.
    pub requests: u64,
    /// Those answered with 5xx, and those whose body broke off or took too long behind another status.
    pub errors: u64,
    /// Requests by duration: bucket `n` is up to [`BOUNDS`]`[n]`, the last above all.
    pub buckets: [u64; 15],
    /// All durations together.
    pub seconds: f64,
    /// Requests by the reason of their decision.
    pub reasons: Reasons,
}

/// Requests by the reason of their decision; in JSON those that occurred, by their code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reasons(pub [u64; Reason::ALL.len()]);

/// What happened between two reads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rates {
    /// How long that was.
    pub seconds: f64,
    /// Backends and tracks that had requests meanwhile.
    pub rows: Vec<Rate>,
}

/// What happened to one backend on one track.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rate {
    /// The service.
    pub service: String,
    /// The backend.
    pub backend: String,
    /// The track.
    pub track: &'static str,
    /// The patch's group; empty for stable.
    pub group: String,
    /// The version that the backend runs.
    pub version: String,
    /// What was added.
    #[serde(flatten)]
    pub sums: Sums,
    /// Requests a second.
    pub per_second: f64,
    /// The share of errors, 0 to 1.
    pub error_ratio: f64,
    /// Median duration in seconds.
    pub p50: f64,
    /// 99th percentile of durations in seconds.
    pub p99: f64,
}

impl Metrics {
    /// Traffic so far. Reads a few dozen counters of each series; takes no worker's time.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let rows = self.all_series().into_iter().map(|series| (series.key.clone(), series.sums())).collect();
        Traffic { at: Instant::now(), rows }
    }
}

impl Traffic {
    /// What happened since an earlier read.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Rates {
        let time = self.at.saturating_duration_since(earlier.at);
        let added = self.rows.iter().map(|(key, sums)| match earlier.rows.get(key) {
            Some(before) => (key, sums.less(before)),
            None => (key, sums.clone()),
        });
        let rows = added.filter(|(_, sums)| sums.requests > 0).map(|(key, sums)| Rate::of(key, sums, time)).collect();
        Rates { seconds: time.as_secs_f64(), rows }
    }
}

impl Rate {
    fn of(key: &SeriesKey, sums: Sums, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        Self {
            service: key.service.clone(),
            backend: key.backend.clone(),
            track: key.track,
            group: key.patch_group.clone(),
            version: key.patch_version.clone(),
            per_second: if seconds > 0.0 { sums.requests as f64 / seconds } else { 0.0 },
            error_ratio: sums.errors as f64 / sums.requests.max(1) as f64,
            p50: sums.quantile(0.5),
            p99: sums.quantile(0.99),
            sums,
        }
    }
}

impl Sums {
    fn less(&self, before: &Self) -> Self {
        let mut added = self.clone();
        added.requests = added.requests.saturating_sub(before.requests);
        added.errors = added.errors.saturating_sub(before.errors);
        added.seconds = (added.seconds - before.seconds).max(0.0);
        let counts = added.buckets.iter_mut().chain(&mut added.reasons.0);
        for (count, before) in counts.zip(before.buckets.iter().chain(&before.reasons.0)) {
            *count = count.saturating_sub(*before);
        }
        added
    }

    /// The duration in seconds that a share `q` (0 to 1) of requests did not pass, as far as buckets tell: spread
    /// evenly within one; in the last, which has no end, that bucket's beginning. 0 without requests.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        let rank = q * self.buckets.iter().sum::<u64>() as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (&count, upper) in self.buckets.iter().zip(BOUNDS) {
            let count = count as f64;
            if count > 0.0 && below + count >= rank {
                return lower + (upper - lower) * (rank - below) / count;
            }
            below += count;
            lower = upper;
        }
        if below < rank { lower } else { 0.0 }
    }
}

impl Reasons {
    /// The requests with this reason.
    #[must_use]
    pub const fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }
}

impl Serialize for Reasons {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let occurred = Reason::ALL.iter().zip(self.0).filter(|(_, count)| *count > 0);
        serializer.collect_map(occurred.map(|(reason, count)| (reason.as_str(), count)))
    }
}

#[cfg(test)]
mod tests;
