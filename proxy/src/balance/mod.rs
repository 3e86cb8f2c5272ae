//! Which of a backend's endpoints a request goes to, and what becomes known of them by that.
//!
//! Only a backend with several endpoints, or with health checks, has a [`Balancer`]. Latency and requests in flight are seen by each worker for
//! itself ([`Load`]); which endpoints are left out is shared ([`Endpoints`]).

mod policy;
mod state;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use patchgate_config::balance::{Balancing, Policy};
use patchgate_config::snapshot::{Backend, BackendId};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use crate::exchange::Exchange;
use crate::upstream::Pool;
pub(crate) use policy::Load;
use policy::{rendezvous, two_choices};
pub(crate) use state::{EndpointState, Endpoints, Told};

/// The endpoints of a backend that has several, or whose health is checked, as one worker sees them.
#[derive(Debug)]
pub(crate) struct Balancer {
    config: Arc<Balancing>,
    endpoints: Arc<Endpoints>,
    states: Vec<Arc<EndpointState>>,
    hashes: Vec<u64>,
    next: Cell<usize>,
    /// If fewer can be used, all are; `None`: nobody checks them, and each but one may be left out.
    panic_below: Option<usize>,
}

/// A backend's endpoints in the order that they are tried in.
#[derive(Debug, Clone)]
pub(crate) struct Order<'b> {
    pools: &'b [Rc<Pool>],
    /// Who knows which are left out; `None`: all are tried.
    sieve: Option<(&'b Balancer, u64)>,
    first: usize,
    tried: usize,
}

/// A request's turn at an endpoint, from the attempt to the end of the response.
#[derive(Debug)]
pub(crate) struct Turn {
    balancer: Rc<Balancer>,
    pool: Rc<Pool>,
    at: usize,
    begun: Instant,
    told: bool,
}

/// How an attempt ended, for the balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded,
    /// The endpoint failed, or says so itself.
    Failed,
    /// Somebody else did.
    Unknown,
}

// === impl Balancer ===

impl Balancer {
    /// `None` where there is nothing to choose, and nobody checks.
    pub(crate) fn new(backend: &Backend, config: &Arc<Balancing>, endpoints: &Arc<Endpoints>) -> Option<Rc<Self>> {
        let count = backend.endpoints.len();
        // A hot-fix has no panic: its requests have somewhere else to go, or are to fail.
        let share = if backend.group.is_some() { 0 } else { config.panic_threshold };
        let least = (u64::from(share) * count as u64).div_ceil(1_000_000) as usize;
        let panic_below = config.health_check.is_some().then_some(least);
        (count > 1 || panic_below.is_some()).then(|| {
            let states = backend.endpoints.iter().map(|&address| endpoints.of(&backend.name, address));
            Rc::new(Self {
                config: Arc::clone(config),
                endpoints: Arc::clone(endpoints),
                states: states.collect(),
                hashes: backend.endpoints.iter().map(|address| xxh3_64(address.to_string().as_bytes())).collect(),
                next: Cell::new(0),
                panic_below,
            })
        })
    }

    /// All endpoints that are not left out, the chosen one first; all of them if each is, or too many are; none if they
    /// are checked and none is well. `key` hands over the hash of
    /// what sticks, if the request has it.
    pub(crate) fn order<'b>(
        &'b self,
        pools: &'b [Rc<Pool>],
        now: Instant,
        random: u64,
        key: impl FnOnce(&patchgate_config::snapshot::StickyKey) -> Option<u64>,
    ) -> Order<'b> {
        let nanos = self.endpoints.nanos(now);
        if let Some(least) = self.panic_below {
            let usable = self.states.iter().filter(|state| state.is_usable(nanos)).count();
            match usable {
                0 if least == 0 => return Order { pools, sieve: None, first: 0, tried: pools.len() },
                _ if usable < least => return self.among(pools, None, now, random, key),
                _ => {}
            }
        }
        self.among(pools, Some(nanos), now, random, key)
    }

    /// The endpoints that can be used at `nanos`, or all of them.
    fn among<'b>(
        &'b self,
        pools: &'b [Rc<Pool>],
        nanos: Option<u64>,
        now: Instant,
        random: u64,
        key: impl FnOnce(&patchgate_config::snapshot::StickyKey) -> Option<u64>,
    ) -> Order<'b> {
        let usable = |at: usize| nanos.is_none_or(|nanos| self.states[at].is_usable(nanos));
        let (first, is_usable) = match &self.config.policy {
            Policy::RoundRobin => {
                let turn = self.next.get();
                self.next.set(turn.wrapping_add(1));
                self.in_turn(turn % pools.len(), random, usable)
            }
            Policy::PeakEwma => self.drawn(random, usable, |at| pools[at].load.peak_ewma(now)),
            Policy::LeastRequests => self.drawn(random, usable, |at| pools[at].load.outstanding()),
            Policy::ConsistentHash(sticky) => match key(sticky) {
                Some(key) => {
                    let all = 0..self.states.len();
                    let most = all.filter(|&at| usable(at)).max_by_key(|&at| rendezvous(key, self.hashes[at]));
                    (most.unwrap_or(0), most.is_some())
                }
                None => self.drawn(random, usable, |at| pools[at].load.outstanding()),
            },
        };
        Order { pools, sieve: nanos.filter(|_| is_usable).map(|nanos| (self, nanos)), first, tried: 0 }
    }

    /// The one whose turn it is, or, so that its neighbour does not bear it all, any other.
    fn in_turn(&self, turn: usize, random: u64, usable: impl Fn(usize) -> bool) -> (usize, bool) {
        if usable(turn) {
            return (turn, true);
        }
        let left: Vec<usize> = (0..self.states.len()).filter(|&at| usable(at)).collect();
        match left[..] {
            [] => (turn, false),
            _ => (left[two_choices(left.len(), random).0], true),
        }
    }

    /// The better of two that are drawn.
    fn drawn(&self, random: u64, usable: impl Fn(usize) -> bool, cost: impl Fn(usize) -> f64) -> (usize, bool) {
        let better = |one: usize, other: usize| if cost(other) < cost(one) { other } else { one };
        let (one, other) = two_choices(self.states.len(), random);
        if usable(one) && usable(other) {
            return (better(one, other), true);
        }
        let left: Vec<usize> = (0..self.states.len()).filter(|&at| usable(at)).collect();
        match left[..] {
            [] => (better(one, other), false),
            [only] => (only, true),
            _ => {
                let (one, other) = two_choices(left.len(), random);
                (better(left[one], left[other]), true)
            }
        }
    }
}

// === impl Order ===

impl<'b> Order<'b> {
    /// The only one there is.
    pub(crate) const fn only(pools: &'b [Rc<Pool>]) -> Self {
        Self { pools, sieve: None, first: 0, tried: 0 }
    }
}

impl<'b> Iterator for Order<'b> {
    type Item = &'b Rc<Pool>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.tried < self.pools.len() {
            let at = (self.first + self.tried) % self.pools.len();
            self.tried += 1;
            if self.sieve.is_none_or(|(balancer, now)| balancer.states[at].is_usable(now)) {
                return Some(&self.pools[at]);
            }
        }
        None
    }
}

// === impl Turn ===

impl Turn {
    /// An attempt at an endpoint begins; the turn before, if there was one, is over.
    pub(crate) fn begin(exchange: &Exchange, backend: BackendId, pool: &Rc<Pool>) {
        let turn = exchange.snapshot.backend(backend).turn_at(pool).map(|(balancer, at)| {
            pool.load.begin();
            let (balancer, pool) = (Rc::clone(balancer), Rc::clone(pool));
            Self { balancer, pool, at, begun: Instant::now(), told: false }
        });
        *exchange.turn.borrow_mut() = turn;
    }

    /// What became of the attempt at this endpoint, or of the one that is under way. The turn goes on until the request
    /// ends or has another: of an attempt that a hedge joined, no more is noted than that it was late.
    pub(crate) fn end(exchange: &Exchange, at: Option<&Rc<Pool>>, outcome: Outcome) {
        if let Some(turn) = &mut *exchange.turn.borrow_mut()
            && at.is_none_or(|pool| Rc::ptr_eq(pool, &turn.pool))
        {
            turn.tell(exchange, outcome);
        }
    }

    fn tell(&mut self, exchange: &Exchange, outcome: Outcome) {
        let now = Instant::now();
        let (took, state) = (now.duration_since(self.begun), &self.balancer.states[self.at]);
        self.told = outcome != Outcome::Unknown;
        match outcome {
            Outcome::Unknown => {}
            Outcome::Succeeded => {
                self.pool.load.took(took, now);
                state.succeeded();
            }
            Outcome::Failed => {
                self.pool.load.failed(took, now);
                let Balancer { config, endpoints, states, .. } = &*self.balancer;
                let nanos = endpoints.nanos(now);
                if let Some(length) = endpoints.failed(states, self.at, &config.ejection, nanos) {
                    exchange.worker().telemetry.ejected("consecutive_failures");
                    tracing::warn!(endpoint = %self.pool.endpoint(), ?length, "ejected: too many failures in a row");
                }
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.pool.load.end();
        if !self.told {
            let now = Instant::now();
            self.pool.load.took_at_least(now.duration_since(self.begun), now);
        }
    }
}
