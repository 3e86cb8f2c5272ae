//! What one seed draws, what happened in it, and what must hold of that.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use patchgate_config::compile;
use patchgate_config::load::from_text;
use patchgate_config::rollout_table::RolloutTable;
use patchgate_config::snapshot::Snapshot;
use patchgate_proxy::simulation::{Gateway, Link};
use patchgate_proxy::telemetry::metrics::{Count, FAMILIES};
use tokio::time::Instant;

/// Every client's request is answered after this: the service's total timeout, that of a body that does not come, and
/// what the network takes.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(6);

/// The share of requests that a policy's budget lets be sent again, or twice.
const RETRY_BUDGET: f64 = 0.2;
const HEDGE_BUDGET: f64 = 0.5;

/// Families whose values a run of many seeds is to reach.
const REACHED: &[Count] = &[
    Count::Commits,
    Count::Finished,
    Count::AttemptsStarted,
    Count::Attempts,
    Count::Dropped,
    Count::Fallbacks,
    Count::Retries,
    Count::RetriesRefused,
    Count::Hedges,
    Count::HedgesRefused,
    Count::Ejections,
    Count::Mirrors,
    Count::MirrorsRefused,
];

pub(crate) type Shared = Rc<World>;

/// What a backend answered with, by its serial number.
pub(crate) struct Answered {
    pub(crate) id: u64,
    pub(crate) length: usize,
    /// It wrote all of it, and ended as its framing has it.
    pub(crate) whole: bool,
}

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) answers: HashMap<u64, Answered>,
    /// Heads that backends read, by request; mirrors apart.
    pub(crate) received: BTreeMap<u64, u64>,
    pub(crate) serials: u64,
    pub(crate) ids: u64,
    /// Requests that are not to be sent twice.
    pub(crate) unsafe_ids: Vec<u64>,
    pub(crate) open: usize,
    pub(crate) wrong: Vec<String>,
    hash: u64,
}

pub(crate) struct World {
    pub(crate) random: RefCell<fastrand::Rng>,
    pub(crate) log: RefCell<Log>,
    pub(crate) begun: Instant,
    pub(crate) policy: Policy,
    traced: bool,
}

/// The service's policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Policy {
    endpoints: u8,
    retry: bool,
    hedge: bool,
    mirror: bool,
    ejection: bool,
    balancing: u8,
}

impl World {
    pub(crate) fn draw(seed: u64, traced: bool) -> Shared {
        let mut random = fastrand::Rng::with_seed(seed);
        let policy = Policy {
            endpoints: random.u8(1..=4),
            retry: random.bool(),
            hedge: random.bool(),
            mirror: random.u8(..4) == 0,
            ejection: random.bool(),
            balancing: random.u8(..3),
        };
        let world =
            Self { random: RefCell::new(random), log: RefCell::default(), begun: Instant::now(), policy, traced };
        if traced {
            println!("seed {seed}: {policy:?}");
        }
        Rc::new(world)
    }

    /// A number below `bound`.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().u64(..bound)
    }

    /// Whether something happens that happens so often of a hundred times.
    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A while: mostly short, now and then longer than `long` milliseconds allow.
    pub(crate) fn pause(&self, long: u64) -> Duration {
        Duration::from_millis(if self.chance(10) { self.below(long) } else { self.below(20) })
    }

    pub(crate) fn link(&self) -> Link {
        Link {
            delay: if self.chance(10) { 40 } else { 3 },
            piece: if self.chance(10) { 1 + self.below(8) as usize } else { 16 * 1024 },
            room: if self.chance(10) { 64 + self.below(512) as usize } else { 64 * 1024 },
            seed: self.below(u64::MAX),
        }
    }

    /// Others go first, now and then.
    pub(crate) async fn reschedule(&self) {
        for _ in 0..self.below(3) {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn note(&self, what: &'static str, id: u64, more: u64) {
        let at = self.begun.elapsed().as_millis() as u64;
        if self.traced {
            println!("{at:>6} ms  request {id:<3} {what} {more}");
        }
        let mut log = self.log.borrow_mut();
        for word in [at, id, more, what.len() as u64, u64::from(what.as_bytes()[0])] {
            log.hash = (log.hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
        }
    }

    pub(crate) fn wrong(&self, what: String) {
        if self.traced {
            println!("WRONG: {what}");
        }
        self.log.borrow_mut().wrong.push(what);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.log.borrow().hash
    }

    /// What happened, by name: that a run reaches what it is for is asserted, too.
    pub(crate) fn reached(&self, gateway: &Gateway, totals: &mut BTreeMap<String, u64>) {
        for count in REACHED {
            for (nth, value) in FAMILIES[*count as usize].values.iter().enumerate() {
                let many = gateway.metrics().total(*count, nth);
                *totals.entry(format!("{} {value}", FAMILIES[*count as usize].name)).or_default() += many;
            }
        }
    }

    /// What must hold once all is over.
    pub(crate) fn judge(&self, gateway: &Gateway) {
        let sum = |count: Count| -> u64 {
            (0..FAMILIES[count as usize].values.len()).map(|nth| gateway.metrics().total(count, nth)).sum()
        };
        let (started, ends) = (sum(Count::AttemptsStarted), sum(Count::Attempts));
        let committed = gateway.metrics().total(Count::Attempts, 0);
        let (commits, finished) = (sum(Count::Commits), sum(Count::Finished));
        let mut wrong = gateway.leftovers();
        let mut hold = |holds: bool, what: String| {
            if !holds {
                wrong.push(what);
            }
        };
        hold(started == ends, format!("{started} attempts began and {ends} ended"));
        hold(sum(Count::Dropped) == ends - committed, "an attempt that was not the answer has no cause".to_owned());
        hold(commits == finished, format!("{commits} answers for {finished} requests"));
        hold(committed == gateway.metrics().total(Count::Commits, 0), "an attempt's answer is not its end".to_owned());
        hold(sum(Count::Panics) == 0, "a panic".to_owned());
        let log = self.log.borrow();
        hold(log.open == 0, format!("{} client connections stay open", log.open));
        let received: u64 = log.received.values().sum();
        hold(received <= started, format!("backends got {received} requests in {started} attempts"));
        for id in &log.unsafe_ids {
            let times = log.received.get(id).copied().unwrap_or(0);
            hold(times <= 1, format!("request {id} is not idempotent and was sent {times} times"));
        }
        let (requests, seconds) = (finished as f64, self.begun.elapsed().as_secs_f64());
        let retries = sum(Count::Retries) as f64;
        hold(retries <= 3.0 + RETRY_BUDGET * requests + seconds + 1.0, format!("{retries} retries of {requests}"));
        let hedges = sum(Count::Hedges) as f64;
        hold(hedges <= HEDGE_BUDGET * requests, format!("{hedges} hedges of {requests}"));
        drop(log);
        wrong.into_iter().for_each(|what| self.wrong(what));
    }
}

/// A snapshot for each policy that was drawn so far.
#[derive(Default)]
pub(crate) struct Snapshots(HashMap<Policy, Arc<Snapshot>>);

impl Snapshots {
    pub(crate) fn of(&mut self, policy: Policy) -> Arc<Snapshot> {
        Arc::clone(self.0.entry(policy).or_insert_with(|| {
            let text = policy.text();
            let loaded = from_text("simulation.yaml", &text, &|_| None).unwrap_or_else(|error| panic!("{error}"));
            Arc::new(compile(&loaded.model, &RolloutTable::from_model(&loaded.model), 1))
        }))
    }
}

impl Policy {
    fn text(self) -> String {
        let endpoints: Vec<_> = (1..=self.endpoints).map(|nth| format!("\"10.0.0.{nth}:80\"")).collect();
        let mut service = format!(
            "  - name: shop\n    routes: [{{ path_prefix: / }}]\n    stable: {{ version: v1, endpoints: [{}] }}\n    \
             fallback: stable\n    timeouts: {{ connect: 200ms, first_byte: 500ms, idle: 500ms, total: 2s }}\n",
            endpoints.join(", ")
        );
        let balancing = ["round_robin", "least_requests", "peak_ewma"][usize::from(self.balancing)];
        service.push_str(&format!("    load_balancing: {{ policy: {balancing} }}\n"));
        if self.retry {
            service.push_str(&format!(
                "    retry: {{ attempts: 3, budget: {RETRY_BUDGET}, \"on\": [connect_failure, reset, \"503\"], \
                 methods: [GET], backoff: {{ base: 5ms, max: 50ms }} }}\n"
            ));
        }
        if self.hedge {
            service.push_str(&format!("    hedge: {{ after: 20ms, budget: {HEDGE_BUDGET} }}\n"));
        }
        if self.mirror {
            service.push_str(
                "    mirror: { endpoints: [10.0.2.1:80], percent: 50%, max_body: 1KiB, concurrency: 2, \
                 methods: [GET, POST], timeout: 300ms }\n",
            );
        }
        if self.ejection {
            service.push_str("    outlier_ejection: { consecutive_failures: 2, base: 1s, max_ejected: 50% }\n");
        }
        format!(
            "listeners: [{{ name: web, address: \"127.0.0.1:0\", assign: true, limits: {{ header_timeout: 2s, \
             body_idle_timeout: 1s, idle_timeout: 3s }} }}]\nservices:\n{service}rollouts:\n  \
             - {{ name: fix, service: shop, version: v2, group: lane, endpoints: [\"10.0.1.1:80\"], \
             assign: [{{ header: {{ name: x-beta, equals: \"1\" }} }}] }}\ntelemetry: {{ sampling: {{ default: 0 }} }}\n"
        )
    }
}
