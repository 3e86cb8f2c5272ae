//! Metrics: recorded by workers without lock or contention, merged at a scrape, served as OpenMetrics.

mod canary;
mod control;
mod counters;
mod encode;
mod series;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use canary::{Canary, CanaryCounts};
pub use control::{APPEND_BOUNDS, Control, DurationSums, Durations, LiveRollout, TO_ZERO_BOUNDS};
pub use counters::{Count, Counters, FAMILIES, Family};
pub use encode::CONTENT_TYPE;
pub use series::{BOUNDS, ExemplarOf, HistogramSum, Series, SeriesKey, Shard};

use crate::balance::Endpoints;
use crate::circuit::Circuits;
use crate::rate_limit::AllRateLimits;

use super::channel::{Channel, ChannelCounts};

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    workers: Box<[Arc<Counters>]>,
    series: Mutex<BTreeMap<SeriesKey, Arc<Series>>>,
    canaries: Mutex<BTreeMap<String, Arc<CanaryCounts>>>,
    /// What each worker serves from.
    revisions: Box<[Revision]>,
    channels: [Arc<ChannelCounts>; 2],
    /// How the endpoints of backends that have several stand.
    pub(crate) endpoints: Arc<Endpoints>,
    /// What backends with bounds are given.
    pub(crate) circuits: Circuits,
    /// How often services may be asked.
    pub(crate) rate_limits: AllRateLimits,
    /// Values the control plane sets.
    pub control: Control,
}

/// The revision that one worker serves new requests from.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Revision(AtomicU64);

/// In place of a revision: the worker has ended.
const ENDED: u64 = u64::MAX;

impl Metrics {
    /// Metrics of `workers` workers and two channels.
    #[must_use]
    pub fn new(workers: usize, channels: [Arc<ChannelCounts>; 2]) -> Arc<Self> {
        Arc::new(Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            series: Mutex::default(),
            canaries: Mutex::default(),
            revisions: (0..workers).map(|_| Revision::default()).collect(),
            channels,
            endpoints: Arc::default(),
            circuits: Circuits::default(),
            rate_limits: AllRateLimits::default(),
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
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let workers = self.workers.len();
        Arc::clone(series.entry(key.clone()).or_insert_with(|| Arc::new(Series::new(key, workers))))
    }

    /// The counts of a rollout's canary requests, the same for ever.
    #[must_use]
    pub fn canary_counts(&self, rollout: &str) -> Arc<CanaryCounts> {
        let mut canaries = self.canaries.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = canaries.entry(rollout.to_owned());
        Arc::clone(counts.or_insert_with(|| Arc::new(CanaryCounts::new(self.workers.len()))))
    }

    /// How a rollout's canary requests stand; none of a rollout that no worker knows.
    #[must_use]
    pub fn canary(&self, rollout: &str) -> Canary {
        let canaries = self.canaries.lock().unwrap_or_else(PoisonError::into_inner);
        canaries.get(rollout).map(|counts| counts.read()).unwrap_or_default()
    }

    /// A worker serves from a snapshot of this revision from now on.
    pub(crate) fn serves(&self, worker: usize, revision: u64) {
        // ORDERING: Release pairs with the Acquire of `applied_revision`: who sees the revision sees every canary
        // request that began before it.
        self.revisions[worker].0.store(revision, Ordering::Release);
    }

    /// A worker serves no more.
    pub(crate) fn ended(&self, worker: usize) {
        self.serves(worker, ENDED);
    }

    /// The least revision that a worker serves new requests from; 0 while one has none yet, or when all have ended.
    #[must_use]
    pub fn applied_revision(&self) -> u64 {
        // ORDERING: Acquire: see `serves`.
        let revisions = self.revisions.iter().map(|revision| revision.0.load(Ordering::Acquire));
        revisions.filter(|&revision| revision != ENDED).min().unwrap_or(0)
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

    /// Records a snapshot that is in force for another reason than a configuration.
    pub fn snapshot_published(&self, revision: u64) {
        // Relaxed: a statistic.
        self.control.snapshot_revision.store(revision, Ordering::Relaxed);
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
