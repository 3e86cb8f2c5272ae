//! What is recorded of a request, and where it goes.
//!
//! One call at a request's end: metrics and the decision's record always, spans and access log only for what [`decide`](decide::decide) exports.
//! Nothing is built, formatted or allocated for a request that is not exported.

pub mod access;
mod blocks;
pub mod channel;
mod clock;
mod counting;
pub mod decide;
mod exporter;
#[cfg(feature = "otlp-grpc")]
mod grpc;
pub mod metrics;
pub mod otlp;
mod pieces;
pub mod recent;
mod span;
pub mod traffic;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use patchgate_config::snapshot::Telemetry as Config;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::balance::Endpoints;
use crate::commit::Contender;
use crate::commit::ledger::{Cause, End};
use crate::exchange::{Exchange, Facts, Finish};
use crate::rollout::Track;
use access::AccessLog;
pub(crate) use blocks::Blocks;
use channel::{Channel, ChannelCounts, Chunk, Sender};
use clock::WallClock;
use decide::{Exported, Sampling, decide};
use exporter::{Exporter, Target};
use metrics::{CanaryCounts, Count, Counters, ExemplarOf, Metrics, Series, SeriesKey};
use recent::{Recent, Record, Writer};
use span::Ending;

/// A chunk that is not full is handed over after this.
const CHUNK_AGE: Duration = Duration::from_millis(200);

/// All telemetry of the process.
#[derive(Debug)]
pub struct Telemetry {
    /// Counters and histograms.
    pub metrics: Arc<Metrics>,
    /// The last decisions of each worker.
    pub recent: Arc<Recent>,
    senders: Mutex<Option<[Sender; 2]>>,
    exporters: Mutex<Vec<Exporter>>,
    access: Mutex<Option<(AccessLog, oneshot::Receiver<()>)>>,
}

/// One worker's part.
#[derive(Debug)]
pub struct WorkerTelemetry {
    index: usize,
    metrics: Arc<Metrics>,
    counters: Arc<Counters>,
    recent: Writer,
    access: AccessLog,
    pending: Rc<Pending>,
    clock: WallClock,
}

/// Spans that this worker has not handed over yet.
#[derive(Debug)]
struct Pending {
    chunks: [RefCell<Chunk>; 2],
    senders: [Sender; 2],
    begun: Notify,
}

// === impl Telemetry ===

impl Telemetry {
    /// Starts the exporters.
    ///
    /// # Errors
    /// That of the operating system, if a thread cannot be made.
    pub fn start(workers: usize, config: &Config) -> std::io::Result<Arc<Self>> {
        let counts: [Arc<ChannelCounts>; 2] = Default::default();
        let (normal, normal_receiver) = channel::channel(&counts[0]);
        let (canary, canary_receiver) = channel::channel(&counts[1]);
        let exporters = vec![
            Exporter::start("normal", normal_receiver, Arc::clone(&counts[0]))?,
            Exporter::start("canary", canary_receiver, Arc::clone(&counts[1]))?,
        ];
        let telemetry = Arc::new(Self {
            metrics: Metrics::new(workers, counts),
            recent: Arc::new(Recent::new(workers)),
            senders: Mutex::new(Some([normal, canary])),
            exporters: Mutex::new(exporters),
            access: Mutex::new(Some(AccessLog::start()?)),
        });
        telemetry.apply(config);
        Ok(telemetry)
    }

    /// One that ships nothing, and has no threads.
    #[cfg(feature = "simulation")]
    pub(crate) fn unshipped(workers: usize) -> Arc<Self> {
        let counts: [Arc<ChannelCounts>; 2] = Default::default();
        let senders = counts.each_ref().map(|counts| channel::channel(counts).0);
        Arc::new(Self {
            metrics: Metrics::new(workers, counts),
            recent: Arc::new(Recent::new(workers)),
            senders: Mutex::new(Some(senders)),
            exporters: Mutex::default(),
            access: Mutex::new(Some((AccessLog::nowhere(), oneshot::channel().1))),
        })
    }

    /// Follows a configuration: collectors and bounds.
    pub fn apply(&self, config: &Config) {
        let exporters = self.exporters.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(senders) = &*senders else { return };
        for ((exporter, sender), otlp) in exporters.iter().zip(senders).zip([&config.otlp, &config.canary_otlp]) {
            exporter.aim(otlp.clone().map(|otlp| Target { otlp, service_name: config.service_name.clone() }));
            let (spans, bytes) = otlp.as_ref().map_or((0, 0), |otlp| (otlp.queue_spans, otlp.queue_bytes));
            sender.bound(spans, bytes);
        }
    }

    /// The part of worker `index`.
    ///
    /// # Panics
    /// After [`shutdown`](Self::shutdown).
    #[must_use]
    pub fn worker(&self, index: usize) -> WorkerSeed {
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        WorkerSeed {
            index,
            metrics: Arc::clone(&self.metrics),
            recent: self.recent.writer(index),
            access: access.as_ref().map(|(log, _)| log.clone()).expect("workers are made before the shutdown"),
            senders: senders.clone().expect("workers are made before the shutdown"),
        }
    }

    /// Ships what is left, at most for `deadline`; false if that was too short. The workers must have ended.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        drop(self.senders.lock().unwrap_or_else(PoisonError::into_inner).take());
        let exporters = std::mem::take(&mut *self.exporters.lock().unwrap_or_else(PoisonError::into_inner));
        let until = Instant::now() + deadline;
        let mut all = true;
        for exporter in exporters {
            all &= exporter.flush(until.saturating_duration_since(Instant::now())).await;
        }
        let access = self.access.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((log, ended)) = access {
            // The last log: its thread ends once all lines are written.
            drop(log);
            let _ = tokio::time::timeout_at(until, ended).await;
        }
        all
    }
}

/// What becomes a [`WorkerTelemetry`] on the worker's own thread.
#[derive(Debug)]
pub struct WorkerSeed {
    index: usize,
    metrics: Arc<Metrics>,
    recent: Writer,
    access: AccessLog,
    senders: [Sender; 2],
}

impl WorkerSeed {
    /// The worker's part. Call it on the worker's runtime: a task of it hands over chunks that are not full.
    #[must_use]
    pub fn grow(self) -> WorkerTelemetry {
        let pending = Rc::new(Pending { chunks: Default::default(), senders: self.senders, begun: Notify::new() });
        tokio::task::spawn_local(Rc::clone(&pending).hand_over());
        WorkerTelemetry {
            index: self.index,
            counters: self.metrics.worker(self.index),
            metrics: self.metrics,
            recent: self.recent,
            access: self.access,
            pending,
            clock: WallClock::default(),
        }
    }
}

// === impl Pending ===

impl Pending {
    /// Hands over chunks some time after they were begun, for ever.
    async fn hand_over(self: Rc<Self>) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(CHUNK_AGE).await;
            self.flush(Channel::Normal);
            self.flush(Channel::Canary);
        }
    }

    fn flush(&self, channel: Channel) {
        let chunk = std::mem::take(&mut *self.chunks[channel as usize].borrow_mut());
        if chunk.spans > 0 {
            self.senders[channel as usize].offer(chunk);
        }
    }
}

impl Drop for WorkerTelemetry {
    fn drop(&mut self) {
        self.metrics.ended(self.index);
        self.flush();
    }
}

// === impl WorkerTelemetry ===

impl WorkerTelemetry {
    /// The metrics of a backend on a track.
    pub(crate) fn series(&self, key: SeriesKey) -> Arc<Series> {
        self.metrics.series(key)
    }

    /// Hands over what is pending.
    pub(crate) fn flush(&self) {
        self.pending.flush(Channel::Normal);
        self.pending.flush(Channel::Canary);
    }

    /// How endpoints stand.
    pub(crate) fn endpoints(&self) -> &Arc<Endpoints> {
        &self.metrics.endpoints
    }

    /// Forgets what nobody needs any more; one worker does it for all.
    pub(crate) fn tidy(&self) {
        if self.index == 0 {
            self.metrics.rate_limits.tidy();
        }
    }

    /// What is told of the whole process.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The counts of a rollout's canary requests, and this worker's index in them.
    pub(crate) fn canary(&self, rollout: &str) -> (Arc<CanaryCounts>, usize) {
        (self.metrics.canary_counts(rollout), self.index)
    }

    /// This worker serves from a snapshot of this revision from now on.
    pub(crate) fn serves(&self, revision: u64) {
        self.metrics.serves(self.index, revision);
    }

    /// Counts an attempt when it begins; its end is counted by [`finish`](Self::finish).
    pub(crate) fn attempt_started(&self) {
        self.counters.add(Count::AttemptsStarted);
    }

    /// Counts an answer when it is committed; its request's end is counted by [`finish`](Self::finish).
    pub(crate) fn committed(&self, winner: Contender) {
        self.counters.add_nth(Count::Commits, winner.index());
    }

    /// Records a request that ended.
    pub(crate) fn finish(&self, exchange: &Exchange, finish: Finish) {
        let now = Instant::now();
        let duration = now.duration_since(exchange.started);
        let facts = exchange.facts.borrow();
        self.count(exchange, &facts, finish);
        // How long people talk through a tunnel says nothing of how fast its backend is.
        let answered = match facts.status {
            Some(StatusCode::SWITCHING_PROTOCOLS) => facts.sent.last().and_then(|sent| sent.headers_at),
            _ => None,
        };
        let answered_in = answered.map_or(duration, |at| at.duration_since(exchange.started));
        let series = self.observe(exchange, &facts, finish, answered_in);
        self.recent.write(&Record::of(exchange, &facts, now));
        let Some(exported) = exported(&facts) else { return };
        let config = &exchange.snapshot.config.telemetry;
        if config.access_log && !self.access.write(exchange, &facts, finish.as_str(), duration.as_secs_f64()) {
            self.counters.add(Count::AccessLogDropped);
        }
        let collector = match exported.channel {
            Channel::Normal => &config.otlp,
            Channel::Canary => &config.canary_otlp,
        };
        if collector.is_none() {
            return;
        }
        let wall = self.clock.unix_nanos(now, SystemTime::now);
        self.export(exchange, &facts, exported, &Ending { finish, at: now, duration, wall });
        if let Some(series) = series {
            let at = Duration::from_nanos(wall);
            series.shard(self.index).note_exemplar(answered_in, at, || ExemplarOf {
                trace_id: facts.trace.id.get(),
                span_id: facts.trace.span.get(),
                value: answered_in.as_secs_f64(),
                at: SystemTime::UNIX_EPOCH + at,
            });
        }
    }

    fn count(&self, exchange: &Exchange, facts: &Facts, finish: Finish) {
        let winner = exchange.guard.winner().unwrap_or(Contender::ClientGone);
        self.counters.add_nth(Count::Finished, finish as usize);
        for (end, cause) in facts.attempts.settle(cause_of(winner)) {
            self.counters.add_nth(Count::Attempts, end as usize);
            if let (Some(cause), false) = (cause, end == End::Committed) {
                self.counters.add_nth(Count::Dropped, cause as usize);
            }
        }
    }

    fn observe<'a>(
        &self,
        exchange: &'a Exchange,
        facts: &Facts,
        finish: Finish,
        duration: Duration,
    ) -> Option<&'a Series> {
        let decision = facts.decision?;
        let backend = facts.served_by.unwrap_or(decision.backend);
        // A patch's request that stable served says nothing about the patch.
        let track = if backend == decision.backend { decision.track } else { Track::Stable };
        let series = exchange.snapshot.series(exchange.worker(), backend, track);
        let shard = series.shard(self.index);
        // A client that left before an answer: 499, as others have it.
        let status = facts.status.map_or(499, |status| status.as_u16());
        shard.finish(status, duration);
        shard.decided(decision.reason);
        // A call that ended without a status, other than by its client, ended as nobody knows.
        let called = facts.grpc.then(|| facts.grpc_status.unwrap_or(crate::grpc::UNKNOWN));
        if let Some(called) = called.filter(|_| finish != Finish::ClientGone || facts.grpc_status.is_some()) {
            shard.called(called);
        }
        let call_failed = facts.grpc_status.is_some_and(crate::grpc::is_failure);
        if (call_failed || matches!(finish, Finish::Broken | Finish::TimedOut)) && status < 500 {
            shard.broke();
        }
        for sent in &facts.sent {
            if let Some(headers_at) = sent.headers_at {
                shard.attempt(headers_at.duration_since(sent.started));
            }
        }
        Some(series)
    }

    fn export(&self, exchange: &Exchange, facts: &Facts, exported: Exported, ending: &Ending) {
        let channel = exported.channel;
        let sender = &self.pending.senders[channel as usize];
        let full = {
            let mut chunk = self.pending.chunks[channel as usize].borrow_mut();
            let chunk = &mut *chunk;
            if chunk.spans == 0 {
                *chunk = sender.chunk();
                self.pending.begun.notify_one();
            }
            chunk.spans += span::encode(&mut chunk.bytes, exchange, facts, exported, ending);
            sender.is_full(chunk)
        };
        if full {
            self.pending.flush(channel);
        }
    }
}

fn exported(facts: &Facts) -> Option<Exported> {
    decide(Sampling {
        sampled: facts.trace.flags.sampled(),
        raised: facts.trace.raised,
        control: facts.decision.is_some_and(|decision| decision.track == Track::Control),
        parent: facts.trace.parent.is_some(),
        response_mark: facts.response_mark.is_some(),
    })
}

/// Why an attempt was given up that had not ended when its request did.
fn cause_of(winner: Contender) -> Cause {
    match winner {
        Contender::Timeout => Cause::Timeout,
        Contender::Panic => Cause::Panic,
        Contender::Drain => Cause::Drain,
        Contender::Withdrawn => Cause::Withdrawn,
        Contender::ClientGone => Cause::Disconnect,
        Contender::Attempt(_) | Contender::Local | Contender::Reclaimed => Cause::Error,
    }
}
