mod snapshots;

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::rollout::{
    Envelope, Event, Gates, Key, Millionths, OnFail, OnWithdraw, Origin, Patch, Plan, Role, Rule, Stage,
};
use crate::store::memory::MemoryStore;
use crate::store::{Append, Head, Record, Sequence};

#[derive(Debug, Default)]
struct Counts {
    appends: AtomicU64,
    events: AtomicU64,
    failures: AtomicU64,
}

impl Observe for Counts {
    fn appended(&self, _: Duration, events: usize) {
        self.appends.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(events as u64, Ordering::Relaxed);
    }

    fn append_failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

/// Applies what `order` decides, as a controller would; for tests of what is made of a state.
pub(crate) fn apply(state: &mut State, order: &Order, now: u64) {
    let services = ["shop", "cart"].map(|name| (name.to_owned(), Millionths::ALL)).into();
    let context = crate::rollout::Context { now, services, require_reason: false };
    let mut batch = Batch::new(state, &context, "test");
    batch.order(order, None).unwrap_or_else(|refusal| panic!("{refusal}"));
    *state = batch.into_state();
}

struct Running {
    controller: Controller,
    counts: Arc<Counts>,
    _world: watch::Sender<Arc<World>>,
}

async fn start(store: Arc<dyn EventStore>) -> Running {
    let services = ["shop", "cart"].map(|name| (name.to_owned(), Millionths::ALL)).into();
    let (changes, world) = watch::channel(Arc::new(World { services, require_reason: false }));
    let counts = Arc::new(Counts::default());
    let parts = Parts {
        store,
        snapshots: None,
        observe: counts.clone(),
        feed: Arc::default(),
        node: "test".into(),
        clock: Clock::starting_at(1_000_000),
        world,
    };
    Running { controller: Controller::start(parts).await.unwrap(), counts, _world: changes }
}

fn order(id: &str, rollout: &str, command: Command) -> Order {
    let actor = Actor { name: "ann".into(), role: Role::Operator };
    Order { id: id.into(), rollout: rollout.into(), command, actor, reason: "a test".into(), if_version: None }
}

fn create(group: &str, stages: &[(u32, Option<u64>)]) -> Command {
    let stage =
        |(percent, hold_ms): &(u32, Option<u64>)| Stage { exposure: Millionths(percent * 10_000), hold_ms: *hold_ms };
    let plan = Plan {
        group: group.into(),
        patches: vec![Patch {
            service: "shop".into(),
            version: "v2".into(),
            endpoints: vec![([127, 0, 0, 1], 9).into()],
            pin_version: false,
            may_mark: true,
        }],
        force_stable: Vec::new(),
        assign: vec![Rule::Percent(Key::Random)],
        stages: stages.iter().map(stage).collect(),
        gates: Gates::default(),
        on_fail: OnFail::Rollback,
        deadline_ms: 86_400_000,
        approval_above: None,
        on_withdraw: OnWithdraw::Finish,
    };
    Command::Create { plan: Box::new(plan), start: true, origin: Origin::Api }
}

fn wanted(order: Order) -> Wanted {
    Wanted::Order(order, None)
}

async fn events(store: &dyn EventStore) -> Vec<Envelope> {
    let records = store.read(1, usize::MAX).await.unwrap();
    records.iter().map(|record| crate::rollout::codec::decode(&record.payload).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn holds_pass_by_the_clock_and_go_on_after_a_restart_where_the_log_says() {
    let store = Arc::new(MemoryStore::new());
    let running = start(store.clone()).await;
    let mut states = running.controller.states();
    let stages = [(1, Some(60_000)), (50, Some(60_000)), (100, Some(60_000))];
    running.controller.carry_out(wanted(order("1", "fix", create("g", &stages)))).await.unwrap();
    let entered = tokio::time::Instant::now();
    states.wait_for(|state| state.rollouts["fix"].exposure() == Millionths(500_000)).await.unwrap();
    assert_eq!(entered.elapsed().as_secs(), 60);
    drop(running);

    // Half of the second hold passes while nobody runs: the new clock starts there.
    let services = [("shop".to_owned(), Millionths::ALL)].into();
    let (_world, world) = watch::channel(Arc::new(World { services, require_reason: false }));
    let at = 1_000_000 + 60_000 + 30_000;
    let parts = Parts {
        store: store.clone(),
        snapshots: None,
        observe: Arc::new(Counts::default()),
        feed: Arc::default(),
        node: "test".into(),
        clock: Clock::starting_at(at),
        world,
    };
    let restarted = Controller::start(parts).await.unwrap();
    let began = tokio::time::Instant::now();
    restarted.states().wait_for(|state| state.rollouts["fix"].phase == Phase::Promoted).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 30 + 60);
    let last = events(&*store).await.pop().unwrap();
    assert_eq!((last.actor, last.event.name()), (Actor::controller(), "promoted"));
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_nobody_ends_falls_back_at_its_deadline() {
    let store = Arc::new(MemoryStore::new());
    let running = start(store.clone()).await;
    running.controller.carry_out(wanted(order("1", "fix", create("g", &[(1, None)])))).await.unwrap();
    let began = tokio::time::Instant::now();
    running.controller.states().wait_for(|state| state.rollouts["fix"].phase == Phase::RolledBack).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(86_400));
}

#[tokio::test]
async fn orders_that_wait_share_an_append_and_each_has_its_own_answer() {
    let store = Arc::new(MemoryStore::new());
    let running = start(store.clone()).await;
    let mut asked = JoinSet::new();
    for n in 0..100 {
        let controller = running.controller.clone();
        // Every tenth wants a group that is taken.
        let group = if n % 10 == 9 { "g0".into() } else { format!("g{n}") };
        let order = order(&n.to_string(), &format!("r{n}"), create(&group, &[(1, None)]));
        let order = Order {
            command: match order.command {
                Command::Create { mut plan, start, origin } => {
                    plan.assign.clear();
                    Command::Create { plan, start, origin }
                }
                other => other,
            },
            ..order
        };
        asked.spawn(async move { (n, controller.carry_out(wanted(order)).await) });
    }
    while let Some(answered) = asked.join_next().await {
        let (n, answer) = answered.unwrap();
        match answer {
            Ok(done) => assert_eq!(done.rollout.unwrap().version, done.sequence),
            Err(Failure::Refused(Refusal::GroupTaken { .. })) => assert!(n % 10 == 9 || n == 0),
            Err(failure) => panic!("{failure}"),
        }
    }
    assert_eq!(running.counts.events.load(Ordering::Relaxed), store.head().sequence);
    assert!(running.counts.appends.load(Ordering::Relaxed) < 50, "appends are shared");
}

#[tokio::test]
async fn the_same_order_again_does_nothing_and_says_the_same_also_after_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let running = start(store.clone()).await;
    let ask = |digest: &str| Wanted::Order(order("key", "fix", create("g", &[(1, None)])), Some(digest.into()));
    let (first, second) = tokio::join!(running.controller.carry_out(ask("a")), running.controller.carry_out(ask("a")));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.sequence, second.sequence);
    assert!(matches!(running.controller.carry_out(ask("b")).await, Err(Failure::KeyReused)));
    drop(running);
    let again = start(store.clone()).await.controller.carry_out(ask("a")).await.unwrap();
    assert!(again.replayed);
    assert_eq!((again.sequence, store.head().sequence), (2, 2));
}

#[tokio::test]
async fn of_two_controllers_on_one_store_exactly_one_wins_each_version() {
    let store = Arc::new(MemoryStore::new());
    let (one, two) = (start(store.clone()).await, start(store.clone()).await);
    one.controller.carry_out(wanted(order("c", "fix", create("g", &[(1, None), (99, None)])))).await.unwrap();
    for round in 0..50 {
        let version = one.controller.state().rollouts["fix"]
            .version
            .max(two.controller.state().rollouts.get("fix").map_or(0, |rollout| rollout.version));
        let command = || if round % 2 == 0 { Command::Pause } else { Command::Resume };
        let ask = |id: String| wanted(Order { if_version: Some(version), ..order(&id, "fix", command()) });
        let answers = tokio::join!(
            one.controller.carry_out(ask(format!("a{round}"))),
            two.controller.carry_out(ask(format!("b{round}"))),
        );
        let won = [&answers.0, &answers.1].iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1, "{answers:?}");
        let lost = if answers.0.is_ok() { answers.1 } else { answers.0 };
        assert!(matches!(lost, Err(Failure::Refused(Refusal::VersionMismatch { .. }))), "{lost:?}");
    }
    assert_eq!(store.head().sequence, 52);
}

/// Refuses or swallows what it is told to, else is a memory store.
#[derive(Debug)]
struct Moody {
    inner: MemoryStore,
    refuse: AtomicU64,
    /// Stored, and then not confirmed.
    swallow: AtomicU64,
}

fn took_one(count: &AtomicU64) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[async_trait::async_trait]
impl EventStore for Moody {
    fn watch(&self) -> watch::Receiver<Head> {
        self.inner.watch()
    }

    async fn append(&self, expected: Sequence, payloads: Vec<bytes::Bytes>) -> Append {
        let no_space = || crate::store::StoreError::Io { what: "log".into(), source: std::io::Error::other("full") };
        if took_one(&self.refuse) {
            return Append::Refused(no_space());
        }
        let appended = self.inner.append(expected, payloads).await;
        if took_one(&self.swallow) { Append::Unknown(no_space()) } else { appended }
    }

    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<Record>, crate::store::StoreError> {
        self.inner.read(from, limit).await
    }
}

#[tokio::test]
async fn what_the_log_does_not_take_was_not_done_and_what_it_does_not_confirm_is_found_by_its_key() {
    let store = Arc::new(Moody { inner: MemoryStore::new(), refuse: AtomicU64::new(1), swallow: AtomicU64::new(0) });
    let running = start(store.clone()).await;
    let ask = || wanted(order("key", "fix", create("g", &[(1, None)])));
    assert!(matches!(running.controller.carry_out(ask()).await, Err(Failure::Unwritable(_))));
    assert!(running.controller.state().rollouts.is_empty(), "nothing is shown that is not durable");
    store.swallow.store(1, Ordering::SeqCst);
    assert!(matches!(running.controller.carry_out(ask()).await, Err(Failure::Unknown(_))));
    let again = running.controller.carry_out(ask()).await.unwrap();
    assert!(again.replayed, "it had been stored after all");
    assert_eq!(store.head().sequence, 2);
    assert_eq!(running.counts.failures.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_due_is_taken_once_the_log_can_be_written_again() {
    let store = Arc::new(Moody { inner: MemoryStore::new(), refuse: AtomicU64::new(0), swallow: AtomicU64::new(0) });
    let running = start(store.clone()).await;
    let stages = [(1, Some(5_000)), (50, None)];
    running.controller.carry_out(wanted(order("1", "fix", create("g", &stages)))).await.unwrap();
    store.refuse.store(3, Ordering::SeqCst);
    let began = tokio::time::Instant::now();
    let mut states = running.controller.states();
    states.wait_for(|state| state.rollouts["fix"].exposure() == Millionths(500_000)).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(5 + 3), "a second between attempts");
}

#[tokio::test]
async fn a_log_with_an_event_that_cannot_be_stops_the_start_and_names_it() {
    let store = Arc::new(MemoryStore::new());
    start(store.clone())
        .await
        .controller
        .carry_out(wanted(order("1", "fix", create("g", &[(1, None)]))))
        .await
        .unwrap();
    let mut last = events(&*store).await.pop().unwrap();
    last.event = Event::Resumed { stage: 0 };
    last.cause = Some(2);
    last.clock.n += 1;
    let _ = store.append(2, vec![crate::rollout::codec::encode(&last).into()]).await;
    let (_changes, world) = watch::channel(Arc::default());
    let parts = Parts {
        store,
        snapshots: None,
        observe: Arc::new(Counts::default()),
        feed: Arc::default(),
        node: "test".into(),
        clock: Clock::starting_at(0),
        world,
    };
    let error = Controller::start(parts).await.unwrap_err().to_string();
    assert!(error.starts_with("event 3 of the log: R3: `resumed` of `fix`, which is canary"), "{error}");
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_and_does_nothing() {
    let store = Arc::new(MemoryStore::new());
    let running = start(store.clone()).await;
    let create = order("1", "fix", create("g", &[(7, None)]));
    let would_be = running.controller.dry_run(&create).unwrap();
    assert_eq!(would_be.rollouts["fix"].exposure(), Millionths(70_000));
    assert_eq!(store.head().sequence, 0);
    let abort = order("2", "fix", Command::Abort);
    assert!(matches!(running.controller.dry_run(&abort), Err(Refusal::NotFound { .. })));
}
