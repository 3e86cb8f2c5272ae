//! Canary requests in flight on one worker, by rollout: what a withdrawal counts, and what a cut ends.
//!
//! A request is entered when it is decided for a hot-fix backend and leaves when it ends or falls back to stable. Kept
//! under the rollout's name over all snapshots, since a request stays with the snapshot that it began with. Requests
//! for stable backends are not in here and pay nothing for it.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use slab::Slab;
use tokio::time::Instant;

use crate::exchange::{Exchange, Withdrawn};
use crate::telemetry::WorkerTelemetry;
use crate::telemetry::metrics::CanaryCounts;

/// All rollouts that requests of this worker may be under way for.
#[derive(Debug, Default)]
pub(crate) struct Canaries(RefCell<Vec<Rc<InFlight>>>);

/// One rollout's.
#[derive(Debug)]
pub(crate) struct InFlight {
    rollout: Arc<str>,
    counts: Arc<CanaryCounts>,
    worker: usize,
    requests: RefCell<Slab<Weak<Exchange>>>,
}

/// A request's place among those in flight; leaving is dropping it.
#[derive(Debug)]
pub(crate) struct Place {
    of: Rc<InFlight>,
    key: usize,
}

/// What a cut found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// Requests without an answer: they get 503, or go to stable where the fallback rules allow.
    pub unanswered: usize,
    /// Responses whose body was under way: they break off visibly.
    pub broken: usize,
}

// === impl Canaries ===

impl Canaries {
    /// The requests of one rollout.
    pub(crate) fn of(&self, rollout: &Arc<str>, telemetry: &WorkerTelemetry) -> Rc<InFlight> {
        let mut all = self.0.borrow_mut();
        if let Some(known) = all.iter().find(|known| known.rollout == *rollout) {
            return Rc::clone(known);
        }
        let (counts, worker) = telemetry.canary(rollout);
        let new = InFlight { rollout: Arc::clone(rollout), counts, worker, requests: RefCell::default() };
        let new = Rc::new(new);
        all.push(Rc::clone(&new));
        new
    }

    /// Forgets rollouts that no snapshot and no request knows any more.
    pub(crate) fn tidy(&self) {
        self.0.borrow_mut().retain(|known| Rc::strong_count(known) > 1);
    }

    /// Ends what is in flight for a rollout.
    pub(crate) fn cut(&self, rollout: &str) -> Cut {
        let found = self.0.borrow().iter().find(|known| *known.rollout == *rollout).cloned();
        let Some(found) = found else { return Cut::default() };
        // Apart from the table, which each leaves as it ends.
        let exchanges: Vec<_> = found.requests.borrow().iter().filter_map(|(_, request)| request.upgrade()).collect();
        let mut cut = Cut::default();
        for exchange in exchanges {
            match exchange.withdraw() {
                Withdrawn::Unanswered => cut.unanswered += 1,
                Withdrawn::Broken => cut.broken += 1,
                Withdrawn::Ended => {}
            }
        }
        cut
    }
}

impl std::ops::AddAssign for Cut {
    fn add_assign(&mut self, other: Self) {
        self.unanswered += other.unanswered;
        self.broken += other.broken;
    }
}

// === impl InFlight ===

impl InFlight {
    /// Enters a request.
    pub(crate) fn enter(self: &Rc<Self>, exchange: &Rc<Exchange>) -> Place {
        self.counts.begin(self.worker);
        let key = self.requests.borrow_mut().insert(Rc::downgrade(exchange));
        Place { of: Rc::clone(self), key }
    }
}

// === impl Place ===

impl Place {
    /// The hot-fix backend's response became the answer.
    pub(crate) fn committed(&self, now: Instant) {
        self.of.counts.commit(self.of.worker, now.into_std());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.requests.borrow_mut().try_remove(self.key);
        self.of.counts.end(self.of.worker);
    }
}
