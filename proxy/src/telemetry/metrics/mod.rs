//! Metrics: recorded by workers without lock or contention, merged at a scrape, served as OpenMetrics.

mod counters;
mod encode;
mod series;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub use counters::{Count, Counters, FAMILIES, Family};
pub use encode::CONTENT_TYPE;
pub use series::{BOUNDS, ExemplarOf, HistogramSum, Series, SeriesKey, Shard};

use super::channel::{Channel, ChannelCounts};

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    workers: Box<[Arc<Counters>]>,
    series: Mutex<BTreeMap<SeriesKey, Arc<Series>>>,
    channels: [Arc<ChannelCounts>; 2],
    /// Values the control plane sets.
    pub control: Control,
}

/// What the control plane reports.
#[derive(Debug, Default)]
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
}

impl Metrics {
    /// Metrics of `workers` workers and two channels.
    #[must_use]
    pub fn new(workers: usize, channels: [Arc<ChannelCounts>; 2]) -> Arc<Self> {
        Arc::new(Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            series: Mutex::default(),
            channels,
            control: Control::default(),
        })
    }

    /// The counters of one worker.
    #[must_use]
    pub fn worker(&self, index: usize) -> Arc<Counters> {
        Arc::clone(&self.workers[index])
    }

    /// The series of these labels, the same for ever.
    #[must_use]
    pub fn series(&self, key: SeriesKey) -> Arc<Series> {
        let mut series = self.series.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let workers = self.workers.len();
        Arc::clone(series.entry(key.clone()).or_insert_with(|| Arc::new(Series::new(key, workers))))
    }

    /// The sum of one counter over the workers.
    #[must_use]
    pub fn total(&self, count: Count, nth: usize) -> u64 {
        self.workers.iter().map(|worker| worker.get(count, nth)).sum()
    }

    /// Requests that ended on a track, such as `canary`.
    #[must_use]
    pub fn requests_on(&self, track: &str) -> u64 {
        let all = self.all_series().into_iter().filter(|series| series.key.track == track);
        all.map(|series| series.server().count).sum()
    }

    /// Spans that a channel took.
    #[must_use]
    pub fn accepted_spans(&self, channel: Channel) -> u64 {
        self.channels[channel as usize].accepted()
    }

    /// Spans of a channel that did not reach a collector: failed or dropped.
    #[must_use]
    pub fn lost_spans(&self, channel: Channel) -> u64 {
        self.channels[channel as usize].lost()
    }

    /// Records an applied configuration.
    pub fn reload_applied(&self, revision: u64, unix_seconds: u64) {
        // Relaxed: statistics.
        self.control.snapshot_revision.store(revision, Ordering::Relaxed);
        self.control.last_reload_seconds.store(unix_seconds, Ordering::Relaxed);
        self.control.last_reload_successful.store(1, Ordering::Relaxed);
        self.control.reloads_applied.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that, after a rejected one, the configuration in force was found in its file again.
    pub fn reload_restored(&self) {
        self.control.last_reload_successful.store(1, Ordering::Relaxed);
    }

    /// Records a configuration that was not applied.
    pub fn reload_rejected(&self) {
        self.control.last_reload_successful.store(0, Ordering::Relaxed);
        self.control.reloads_rejected.fetch_add(1, Ordering::Relaxed);
    }
}
