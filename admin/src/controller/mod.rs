//! The one who decides: takes orders, appends their events, and only then lets anybody see the new state.
//!
//! ```text
//! order ──▶ queue ──▶ batch: decide each on the state so far ──▶ one append ──▶ state, in one swap ──▶ answers
//!                                                                   │ somebody else was first: read, decide anew
//! time ───▶ due: advance, expire ──▶ the same way
//! ```
//!
//! Orders that wait are decided together and made durable by one append, so that a slow disk costs each of them little.
//! What is read is always a state whose every event is durable.

mod batch;
pub mod feed;
mod past;
mod snapshot;
mod world;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::log::{Fault, Fold};
use crate::rollout::{Actor, Command, Order, Phase, Refusal, Rollout, State, due};
use crate::store::{EventStore, MAX_BATCH_BYTES, Sequence, StoreError};

use batch::Batch;
use feed::Feed;
use past::Past;
pub use snapshot::Snapshots;
pub use world::World;

/// Orders that may wait; a further one is told that it is too much.
const QUEUE: usize = 1_024;

/// Most orders of one append: as many as fit into one whatever they say.
const BATCH: usize = MAX_BATCH_BYTES / MAX_ORDER_BYTES;

/// Bytes of one order's events.
const MAX_ORDER_BYTES: usize = 256 << 10;

/// Records that are read at a time.
const PAGE: usize = 1_024;

/// After a store's no, time-driven steps are tried again this much later.
const RETRY: Duration = Duration::from_secs(1);

/// Gives orders and sees the state. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Controller {
    orders: mpsc::Sender<Ask>,
    state: watch::Receiver<Arc<State>>,
    world: watch::Receiver<Arc<World>>,
    clock: Clock,
}

/// An order that was carried out.
#[derive(Debug, Clone)]
pub struct Done {
    /// Sequence of its last event.
    pub sequence: u64,
    /// The rollout right after it; absent for what is about none.
    pub rollout: Option<Arc<Rollout>>,
    /// It had been carried out before; nothing was done now.
    pub replayed: bool,
}

/// Why an order was not carried out, or is not known to have been.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It cannot be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its id belongs to another order.
    #[error("this idempotency key was used for another request; choose a new one")]
    KeyReused,
    /// The log did not take it: nothing was done.
    #[error("the event log refuses to be written ({0}); nothing was done, try again")]
    Unwritable(Arc<StoreError>),
    /// The log did not confirm it.
    #[error("the event log did not confirm ({0}); send the same again with the same idempotency key")]
    Unknown(Arc<StoreError>),
    /// Too many orders wait.
    #[error("too many orders wait; try again in a moment")]
    Busy,
    /// The control plane has stopped.
    #[error("the control plane has stopped")]
    Closed,
}

/// What an order is carried out for, besides rollouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Of a rollout, with the digest of the request that carried it.
    Order(Order, Option<String>),
    /// A fact about the control plane itself that the log is to keep.
    Note {
        /// Who.
        actor: Actor,
        /// What; of those that name no rollout.
        event: crate::rollout::Event,
    },
}

/// What the controller tells of its work.
pub trait Observe: Send + Sync + fmt::Debug {
    /// `events` were made durable in `took`.
    fn appended(&self, took: Duration, events: usize);
    /// The store did not take or confirm an append.
    fn append_failed(&self);
}

/// An order and who waits for its end.
#[derive(Debug)]
struct Ask {
    wanted: Wanted,
    answer: oneshot::Sender<Result<Done, Failure>>,
}

/// The task's side.
#[derive(Debug)]
struct Task {
    store: Arc<dyn EventStore>,
    observe: Arc<dyn Observe>,
    fold: Fold,
    past: Past,
    feed: Arc<Feed>,
    node: String,
    clock: Clock,
    state: watch::Sender<Arc<State>>,
    world: watch::Receiver<Arc<World>>,
    orders: mpsc::Receiver<Ask>,
    snapshots: Option<Snapshots>,
    /// The record of the newest snapshot.
    snapshot_at: Sequence,
    /// The snapshot that is being written.
    writing: Option<JoinHandle<()>>,
    /// The store's no, or its silence: what is due waits a little.
    backing_off: bool,
}

/// What a controller is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where events are kept.
    pub store: Arc<dyn EventStore>,
    /// Who is told of appends.
    pub observe: Arc<dyn Observe>,
    /// Where snapshots of the state are kept; none: every start folds the whole log.
    pub snapshots: Option<Snapshots>,
    /// Where the newest events are kept for those who follow.
    pub feed: Arc<Feed>,
    /// This process's name in the log's clock.
    pub node: String,
    /// The time.
    pub clock: Clock,
    /// What the configuration says, whenever it changes.
    pub world: watch::Receiver<Arc<World>>,
}

impl Controller {
    /// Folds the log, from its newest snapshot on, and begins to take orders, on the current runtime. The task ends with its last controller.
    ///
    /// # Errors
    /// If the log cannot be read, or holds what must not be.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { store, snapshots, observe, feed, node, clock, world } = parts;
        let (orders, waiting) = mpsc::channel(QUEUE);
        let mut task = Task {
            store,
            observe,
            fold: Fold::default(),
            past: Past::default(),
            feed,
            node,
            clock,
            state: watch::Sender::default(),
            world: world.clone(),
            orders: waiting,
            snapshots,
            snapshot_at: 0,
            writing: None,
            backing_off: false,
        };
        task.restore().await?;
        task.catch_up().await?;
        task.snapshot();
        let state = task.state.subscribe();
        tokio::spawn(task.run());
        Ok(Self { orders, state, world, clock })
    }

    /// Carries out `wanted`: once this returns `Ok`, its events are durable and seen.
    ///
    /// # Errors
    /// See [`Failure`]: only after `Unknown` may it have been carried out all the same.
    pub async fn carry_out(&self, wanted: Wanted) -> Result<Done, Failure> {
        let (answer, answered) = oneshot::channel();
        match self.orders.try_send(Ask { wanted, answer }) {
            Ok(()) => answered.await.unwrap_or(Err(Failure::Closed)),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Failure::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Failure::Closed),
        }
    }

    /// What `order` would do, without doing it: the state as it would be.
    ///
    /// # Errors
    /// If it would be refused.
    pub fn dry_run(&self, order: &Order) -> Result<State, Refusal> {
        let state = self.state();
        let context = self.world.borrow().at(self.clock.now());
        let mut batch = Batch::new(&state, &context, "dry-run");
        batch.order(order, None)?;
        Ok(batch.into_state())
    }

    /// The newest state, all of it durable.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    /// Follows the state.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<Arc<State>> {
        self.state.clone()
    }

    /// What the configuration says.
    #[must_use]
    pub fn world(&self) -> Arc<World> {
        Arc::clone(&self.world.borrow())
    }

    /// The control plane's time.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }
}

/// Why the control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log holds what must not be.
    #[error("{0}; `patchgate log verify` tells more, `patchgate log export` saves what is before it")]
    Fault(#[from] Fault),
}

impl Task {
    async fn run(mut self) {
        loop {
            let wake = self.wake();
            tokio::select! {
                first = self.orders.recv() => {
                    let Some(first) = first else { return };
                    let mut asks = vec![first];
                    while asks.len() < BATCH && let Ok(next) = self.orders.try_recv() {
                        asks.push(next);
                    }
                    self.backing_off = false;
                    self.carry_out(asks).await;
                    self.snapshot();
                }
                () = wake => self.act_on_time().await,
                // Caps and services decide what is refused: what waited may go on now.
                changed = self.world.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Ready when something may be due.
    fn wake(&self) -> impl Future<Output = ()> + use<> {
        let (clock, backing_off) = (self.clock, self.backing_off);
        let now = clock.now();
        let state = self.state.borrow();
        let context = self.world.borrow().at(now);
        // What is due but refused is not asked for again until something else changes.
        let next = state.live().filter_map(|(name, rollout)| {
            let at = due(rollout)?;
            let possible = at > now || time_driven(&state, name, rollout, &context).is_some();
            possible.then_some(at)
        });
        let next = next.min();
        async move {
            match next {
                Some(at) if at > now => clock.reached(at).await,
                Some(_) if backing_off => tokio::time::sleep(RETRY).await,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    async fn act_on_time(&mut self) {
        let now = self.clock.now();
        let state = Arc::clone(&self.state.borrow());
        let context = self.world.borrow().at(now);
        let is_due = |(_, rollout): &(&str, &Rollout)| due(rollout).is_some_and(|at| at <= now);
        let orders = state.live().filter(is_due);
        let orders: Vec<Order> =
            orders.filter_map(|(name, rollout)| time_driven(&state, name, rollout, &context)).collect();
        let mut answers = Vec::new();
        let asks = orders.into_iter().map(|order| {
            let (answer, answered) = oneshot::channel();
            answers.push(answered);
            Ask { wanted: Wanted::Order(order, None), answer }
        });
        let asks = asks.collect();
        self.carry_out(asks).await;
        for mut answered in answers {
            if let Ok(Err(failure)) = answered.try_recv() {
                tracing::warn!(%failure, "a step that was due was not taken");
                self.backing_off = matches!(failure, Failure::Unwritable(_) | Failure::Unknown(_));
            }
        }
    }

    async fn carry_out(&mut self, asks: Vec<Ask>) {
        let mut asks = asks;
        loop {
            let answers = match self.attempt(&asks).await {
                Attempt::Answers(answers) => answers,
                Attempt::Again => continue,
            };
            for (ask, answer) in asks.drain(..).zip(answers) {
                // Who asked may be gone; what was done is done.
                let _ = ask.answer.send(answer);
            }
            return;
        }
    }
}

/// The order that time gives for a rollout that is due, if it would be carried out.
fn time_driven(state: &State, name: &str, rollout: &Rollout, context: &crate::rollout::Context) -> Option<Order> {
    let expired = rollout.phase != Phase::Promoted && rollout.deadline() <= context.now;
    let command = if expired { Command::Expire } else { Command::Advance };
    let reason = if expired { "its deadline has passed" } else { "its hold is over" };
    let order = Order {
        id: format!("{}:{name}:{}", command.name(), rollout.version),
        rollout: name.to_owned(),
        command,
        actor: Actor::controller(),
        reason: reason.to_owned(),
        if_version: Some(rollout.version),
    };
    crate::rollout::decide(state, &order, context).is_ok().then_some(order)
}

/// How an attempt to carry out a batch ended.
enum Attempt {
    /// One a piece.
    Answers(Vec<Result<Done, Failure>>),
    /// Somebody else wrote meanwhile; what they wrote is read.
    Again,
}

#[cfg(test)]
pub(crate) mod tests;
