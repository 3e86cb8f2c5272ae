//! Orders decided one after the other, each on what those before it did, and appended together.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::feed::NEWEST;
use super::snapshot::Kept;
use super::{Ask, Attempt, Done, Failure, MAX_ORDER_BYTES, PAGE, StartError, Task, Wanted};
use crate::log::Fault;
use crate::rollout::codec::CodecError;
use crate::rollout::invariants::follows;
use crate::rollout::{Actor, Context, Envelope, Event, Order, Refusal, State, codec, decide};
use crate::store::{Append, StoreError};

/// A state that is ahead of the log by its events.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    state: State,
    context: &'a Context,
    node: &'a str,
    envelopes: Vec<Envelope>,
}

/// What became of an order before the append.
enum Decided {
    /// Its events end the batch's first so many.
    Events(usize),
    /// It is not carried out.
    Refused(Refusal),
    /// Its id was seen before, maybe in this very batch: the log tells what became of it.
    Before,
}

impl<'a> Batch<'a> {
    pub(super) fn new(state: &State, context: &'a Context, node: &'a str) -> Self {
        Self { state: state.clone(), context, node, envelopes: Vec::new() }
    }

    pub(super) fn order(&mut self, order: &Order, request: Option<&str>) -> Result<(), Refusal> {
        let events = decide(&self.state, order, self.context)?;
        let bytes = serde_json::to_vec(&(&events, &order.reason)).map_or(usize::MAX, |bytes| bytes.len());
        if bytes > MAX_ORDER_BYTES / 2 {
            let what = format!("{bytes} bytes are too much for an event; {} are the most", MAX_ORDER_BYTES / 2);
            return Err(Refusal::Invalid { what });
        }
        for event in events {
            let known = self.state.rollouts.get(order.rollout.as_str());
            let cause = known.filter(|_| !matches!(event, Event::Created { .. })).map(|rollout| rollout.version);
            self.add(Envelope {
                cause,
                command: order.id.clone(),
                request: request.map(str::to_owned),
                reason: order.reason.clone(),
                rollout: Some(order.rollout.clone()),
                ..self.envelope(&order.actor, event)
            });
        }
        Ok(())
    }

    fn note(&mut self, actor: &Actor, event: &Event) {
        let envelope = self.envelope(actor, event.clone());
        self.add(Envelope { command: format!("note:{}", envelope.clock), ..envelope });
    }

    fn envelope(&self, actor: &Actor, event: Event) -> Envelope {
        Envelope {
            v: Envelope::VERSION,
            clock: self.state.clock.next(self.context.now, self.node),
            cause: None,
            command: String::new(),
            request: None,
            actor: actor.clone(),
            reason: String::new(),
            rollout: None,
            event,
        }
    }

    fn add(&mut self, envelope: Envelope) {
        debug_assert_eq!(follows(&self.state, &envelope), Ok(()));
        self.state.apply(&envelope);
        self.envelopes.push(envelope);
    }

    fn has(&self, id: &str) -> bool {
        self.envelopes.iter().any(|envelope| envelope.command == id)
    }

    pub(super) fn into_state(self) -> State {
        self.state
    }
}

impl Task {
    /// Begins with the newest snapshot that is the log's, if there is one. What it does not hold is read again: the
    /// orders that are remembered, and the events that are kept for those who follow.
    pub(super) async fn restore(&mut self) -> Result<(), StartError> {
        let Some(snapshots) = &self.snapshots else { return Ok(()) };
        let Some(kept) = snapshots.newest(&*self.store).await else { return Ok(()) };
        let last = kept.fold.state().sequence;
        let newest = (last + 1).saturating_sub(NEWEST as u64).max(1);
        let mut next = kept.past_from.min(newest);
        while next <= last {
            let left = usize::try_from(last - next + 1).unwrap_or(usize::MAX);
            for record in self.store.read(next, left.min(PAGE)).await? {
                let fault = |error: CodecError| Fault { sequence: record.sequence, what: error.into() };
                let envelope = codec::decode(&record.payload).map_err(fault)?;
                self.past.note(record.sequence, &envelope);
                if record.sequence >= newest {
                    self.feed.keep(&record, &envelope);
                }
                next = record.sequence + 1;
            }
        }
        self.feed.restore(kept.by_rollout);
        self.fold = kept.fold;
        self.snapshot_at = last;
        Ok(())
    }

    /// Writes a snapshot if it is time for one, beside all that goes on.
    pub(super) fn snapshot(&mut self) {
        let Some(snapshots) = &self.snapshots else { return };
        let sequence = self.fold.state().sequence;
        // One at a time: the next one comes with a later event.
        let busy = self.writing.as_ref().is_some_and(|writing| !writing.is_finished());
        if busy || sequence < self.snapshot_at + snapshots.every {
            return;
        }
        self.snapshot_at = sequence;
        let kept = Kept {
            fold: self.fold.clone(),
            by_rollout: self.feed.by_rollout(),
            past_from: self.past.from().unwrap_or(sequence + 1),
        };
        let snapshots = snapshots.clone();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = snapshots.write(&kept) {
                tracing::warn!(%error, sequence, "a snapshot of the state was not written; the log has it all the same");
            }
        }));
    }

    /// Reads what the store has beyond the state, and shows it.
    pub(super) async fn catch_up(&mut self) -> Result<(), StartError> {
        loop {
            let records = self.store.read(self.fold.state().sequence + 1, PAGE).await?;
            for record in &records {
                let envelope = self.fold.record(record)?;
                self.past.note(record.sequence, &envelope);
                self.feed.add(record, &envelope);
            }
            if records.len() < PAGE {
                break;
            }
        }
        let state = Arc::new(self.fold.state().clone());
        self.state.send_if_modified(|seen| {
            let is_newer = seen.sequence != state.sequence;
            *seen = state;
            is_newer
        });
        self.feed.tell(self.fold.state().sequence);
        Ok(())
    }

    /// Decides and appends once.
    pub(super) async fn attempt(&mut self, asks: &[Ask]) -> Attempt {
        if self.store.head().sequence != self.fold.state().sequence
            && let Err(error) = self.catch_up().await
        {
            let failure = || Err(not_followed(&error));
            return Attempt::Answers(asks.iter().map(|_| failure()).collect());
        }
        let context = self.world.borrow().at(self.clock.now());
        let mut batch = Batch::new(self.fold.state(), &context, &self.node);
        let decided: Vec<Decided> = asks.iter().map(|ask| self.decide(&mut batch, &ask.wanted)).collect();
        let first = self.fold.state().sequence;
        let payloads: Vec<Bytes> = batch.envelopes.iter().map(|envelope| codec::encode(envelope).into()).collect();
        let events = payloads.len();
        let mut failed: Option<Box<dyn Fn() -> Failure + Send>> = None;
        if events > 0 {
            let began = Instant::now();
            match self.store.append(first, payloads).await {
                Append::Committed(_) => {
                    self.observe.appended(began.elapsed(), events);
                    if let Err(error) = self.catch_up().await {
                        failed = Some(Box::new(move || not_followed(&error)));
                    }
                }
                Append::Conflict { .. } => return Attempt::Again,
                Append::Refused(error) => failed = Some(self.failed(error, Failure::Unwritable)),
                Append::Unknown(error) => failed = Some(self.failed(error, Failure::Unknown)),
            }
        }
        let answers = decided.into_iter().zip(asks).map(|(decided, ask)| match (decided, &failed) {
            (Decided::Refused(refusal), _) => Err(Failure::Refused(refusal)),
            (Decided::Before, failed) => self.before(&ask.wanted, failed.as_deref()),
            (Decided::Events(_), Some(failure)) => Err(failure()),
            (Decided::Events(end), None) => Ok(self.done(&ask.wanted, first + end as u64, false)),
        });
        Attempt::Answers(answers.collect())
    }

    fn decide(&self, batch: &mut Batch<'_>, wanted: &Wanted) -> Decided {
        match wanted {
            Wanted::Note { actor, event } => batch.note(actor, event),
            Wanted::Order(order, request) => {
                if batch.has(&order.id) || self.past.find(&order.id, &order.actor, request.as_deref()).is_some() {
                    return Decided::Before;
                }
                if let Err(refusal) = batch.order(order, request.as_deref()) {
                    return Decided::Refused(refusal);
                }
            }
        }
        Decided::Events(batch.envelopes.len())
    }

    fn before(&self, wanted: &Wanted, failed: Option<&(dyn Fn() -> Failure + Send)>) -> Result<Done, Failure> {
        let Wanted::Order(order, request) = wanted else { return Err(Failure::KeyReused) };
        match self.past.find(&order.id, &order.actor, request.as_deref()) {
            Some(Ok(sequence)) => Ok(self.done(wanted, sequence, true)),
            Some(Err(())) => Err(Failure::KeyReused),
            // It was in this batch, which failed.
            None => Err(failed.map_or(Failure::KeyReused, |failure| failure())),
        }
    }

    fn done(&self, wanted: &Wanted, sequence: u64, replayed: bool) -> Done {
        let name = match wanted {
            Wanted::Order(order, _) => Some(order.rollout.as_str()),
            Wanted::Note { .. } => None,
        };
        let rollout = name.and_then(|name| self.fold.state().rollouts.get(name)).map(Arc::clone);
        Done { sequence, rollout, replayed }
    }

    fn failed(&self, error: StoreError, as_failure: fn(Arc<StoreError>) -> Failure) -> Box<dyn Fn() -> Failure + Send> {
        self.observe.append_failed();
        tracing::error!(%error, "events were not made durable");
        let error = Arc::new(error);
        Box::new(move || as_failure(Arc::clone(&error)))
    }
}

/// The log holds what this process cannot fold: it must not decide any more.
fn not_followed(error: &StartError) -> Failure {
    tracing::error!(%error, "the event log cannot be followed");
    Failure::Closed
}
