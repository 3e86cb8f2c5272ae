//! One decision as a ring keeps it, in six words of numbers, and as users see it, with the names of its snapshot.

use std::time::{Duration, Instant, SystemTime};

use patchgate_config::snapshot::{BackendId, RolloutId, Snapshot};
use serde::Serialize;

use crate::exchange::{Exchange, Facts};
use crate::rollout::{Decision, Reason, Track};

/// In place of an id: there is none.
const NONE: u32 = u32::MAX;

/// Where the numbers of the last word begin.
const STATUS: u32 = 32;
const REASON: u32 = 48;
const TRACK: u32 = 56;
const ASSIGNED: u32 = 58;
const SAMPLED: u32 = 59;
const DECIDED: u32 = 60;

/// What is kept of a request's end. Its ids are those of the snapshot of that revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The trace.
    pub trace_id: u128,
    /// Revision of the snapshot that the request was served by.
    pub revision: u64,
    /// When it ended.
    pub at: Instant,
    /// The decision; `None` if it was refused before there was one.
    pub decision: Option<Decision>,
    /// The backend that answered, which a fallback makes another than the decision's.
    pub served_by: Option<BackendId>,
    /// The status; `None` if the client left before there was one.
    pub status: Option<u16>,
    /// Whether backends were told that the trace is sampled.
    pub sampled: bool,
}

/// A decision that a worker took lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecentDecision {
    /// The trace, 32 hex digits.
    pub trace_id: String,
    /// When the request ended, in milliseconds of Unix time.
    pub unix_millis: u64,
    /// Revision of the snapshot that it was served by.
    pub revision: u64,
    /// The service; names are `null` where there is none, or where the snapshot is no longer kept.
    pub service: Option<String>,
    /// The backend that it was decided for.
    pub backend: Option<String>,
    /// The backend that answered, which a fallback makes another.
    pub served_by: Option<String>,
    /// The rollout that decided.
    pub rollout: Option<String>,
    /// The track; `null`: refused before there was a decision.
    pub track: Option<&'static str>,
    /// The reason's code.
    pub reason: Option<&'static str>,
    /// Whether it was marked here.
    pub assigned: bool,
    /// The status; `null`: the client left before there was one.
    pub status: Option<u16>,
    /// Whether backends were told that the trace is sampled.
    pub sampled: bool,
}

impl Record {
    /// Words that a record takes.
    pub const WORDS: usize = 6;

    /// What is kept of a request that ends now.
    pub(crate) fn of(exchange: &Exchange, facts: &Facts, now: tokio::time::Instant) -> Self {
        Self {
            trace_id: facts.trace.id.get(),
            revision: exchange.snapshot.config.revision,
            at: now.into_std(),
            decision: facts.decision,
            served_by: facts.served_by,
            status: facts.status.map(|status| status.as_u16()),
            sampled: facts.trace.flags.sampled(),
        }
    }

    /// Its words; times count from `epoch`.
    pub(super) fn encode(&self, epoch: Instant) -> [u64; Self::WORDS] {
        let decision = self.decision.as_ref();
        let backend = decision.map_or(NONE, |decision| decision.backend.0);
        let served_by = self.served_by.map_or(NONE, |backend| backend.0);
        let rollout = decision.and_then(|decision| decision.rollout).map_or(NONE, |rollout| rollout.0);
        let about = u64::from(rollout)
            | u64::from(self.status.unwrap_or(0)) << STATUS
            | decision.map_or(0, |decision| decision.reason as u64) << REASON
            | decision.map_or(0, |decision| decision.track as u64) << TRACK
            | u64::from(decision.is_some_and(|decision| decision.assigned)) << ASSIGNED
            | u64::from(self.sampled) << SAMPLED
            | u64::from(decision.is_some()) << DECIDED;
        [
            (self.trace_id >> 64) as u64,
            self.trace_id as u64,
            self.revision,
            self.at.saturating_duration_since(epoch).as_nanos() as u64,
            u64::from(backend) << 32 | u64::from(served_by),
            about,
        ]
    }

    /// The record of these words; `None` if they are none.
    pub(super) fn decode(words: [u64; Self::WORDS], epoch: Instant) -> Option<Self> {
        let [high, low, revision, nanos, backends, about] = words;
        let id = |number: u32| (number != NONE).then_some(number);
        let decision = if about >> DECIDED & 1 == 1 {
            Some(Decision {
                track: *Track::ALL.get((about >> TRACK & 3) as usize)?,
                backend: BackendId((backends >> 32) as u32),
                rollout: id(about as u32).map(RolloutId),
                reason: *Reason::ALL.get((about >> REASON & 0xff) as usize)?,
                assigned: about >> ASSIGNED & 1 == 1,
            })
        } else {
            None
        };
        Some(Self {
            trace_id: u128::from(high) << 64 | u128::from(low),
            revision,
            at: epoch + Duration::from_nanos(nanos),
            decision,
            served_by: id(backends as u32).map(BackendId),
            status: Some((about >> STATUS) as u16).filter(|&status| status != 0),
            sampled: about >> SAMPLED & 1 == 1,
        })
    }

    /// The record with the names of its snapshot, if that is still known.
    #[must_use]
    pub fn resolve(&self, snapshot: Option<&Snapshot>) -> RecentDecision {
        let backend = self.decision.map(|decision| decision.backend);
        let name = |id: BackendId| Some(snapshot?.backend(id).name.to_string());
        let service = |id| Some(snapshot?.service(snapshot?.backend(id).service).name.to_string());
        let rollout = |id| Some(snapshot?.rollout(id).name.to_string());
        // Told by the wall clock of now, so that a clock that was set meanwhile does not matter.
        let wall = SystemTime::now().checked_sub(self.at.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        RecentDecision {
            trace_id: format!("{:032x}", self.trace_id),
            unix_millis: since.as_millis() as u64,
            revision: self.revision,
            service: backend.and_then(service),
            backend: backend.and_then(name),
            served_by: self.served_by.and_then(name),
            rollout: self.decision.and_then(|decision| decision.rollout).and_then(rollout),
            track: self.decision.map(|decision| decision.track.as_str()),
            reason: self.decision.map(|decision| decision.reason.as_str()),
            assigned: self.decision.is_some_and(|decision| decision.assigned),
            status: self.status,
            sampled: self.sampled,
        }
    }
}
