//! A request whose service hedges: when its answer is late, another endpoint of the same version is asked, too, and the
//! first acceptable answer wins. An error never beats an answer that may still be good.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use patchgate_config::snapshot::{BackendId, Hedge, Timeouts};
use tokio::time::{Instant, timeout};

use super::attempt::{self, Answered, Failed};
use super::outbound::Outbound;
use super::pace::Pace;
use super::retry::Budget;
use crate::error::ProxyError;
use crate::exchange::Exchange;

/// What hedges of one backend's requests go by, on one worker.
#[derive(Debug)]
pub(crate) struct Hedging {
    budget: Budget,
    pace: Pace,
}

/// Why a late request is not sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The backend has had its share of hedges.
    Budget,
    /// The backend as a whole has become slow.
    Shifting,
    /// Another version than the decided one is being asked already.
    Fallback,
}

impl Default for Hedging {
    fn default() -> Self {
        Self { budget: Budget::strict(), pace: Pace::default() }
    }
}

impl Refusal {
    /// The label in metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Shifting => "shifting",
            Self::Fallback => "fallback",
        }
    }
}

type Outcome = Result<Answered, ProxyError>;

/// As without hedges, until the answer is late.
pub(super) async fn attempts(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    backends: [Option<BackendId>; 2],
    timeouts: &Timeouts,
    (policy, hedging): (&Hedge, &Hedging),
) -> Outcome {
    let (Some(mut copy), [Some(backend), _]) = (copy(exchange, outbound, policy), backends) else {
        return super::in_turn(exchange, outbound, backends, timeouts).await;
    };
    let Hedging { budget, pace } = hedging;
    budget.deposit(policy.budget);
    let delay = policy.after.or_else(|| pace.p95());
    let begun = Instant::now();
    let mut first = pin!(super::in_turn(exchange, outbound, backends, timeouts));
    let in_time = match delay {
        Some(delay) => timeout(delay, first.as_mut()).await.ok(),
        None => Some(first.as_mut().await),
    };
    if let Some(outcome) = in_time {
        match is_acceptable(&outcome) {
            true => pace.in_time(begun.elapsed()),
            false => pace.failed(),
        }
        return outcome;
    }
    let shifts = pace.is_shifting();
    pace.late();
    let outcome = match permission(exchange, backend, shifts, budget) {
        Ok(()) => race(exchange, first, &mut copy, backend, timeouts).await,
        Err(refusal) => {
            exchange.worker().telemetry.hedge_refused(refusal.as_str());
            first.await
        }
    };
    pace.took(begun.elapsed());
    outcome
}

/// The request once more, if it may be sent twice: nothing of it can be lost, and to carry it out twice does no harm.
fn copy(exchange: &Exchange, outbound: &Outbound, policy: &Hedge) -> Option<Outbound> {
    let harmless = policy.methods.contains(&exchange.facts.borrow().method) || outbound.is_keyed();
    if harmless { outbound.copy() } else { None }
}

fn permission(exchange: &Exchange, backend: BackendId, shifts: bool, budget: &Budget) -> Result<(), Refusal> {
    if exchange.facts.borrow().sent.last().is_some_and(|sent| sent.backend != backend) {
        return Err(Refusal::Fallback);
    }
    if shifts {
        return Err(Refusal::Shifting);
    }
    if budget.withdraw(Instant::now()) { Ok(()) } else { Err(Refusal::Budget) }
}

/// The first acceptable of two; if there is none, the better failure.
async fn race(
    exchange: &Rc<Exchange>,
    mut first: std::pin::Pin<&mut impl Future<Output = Outcome>>,
    copy: &mut Outbound,
    backend: BackendId,
    timeouts: &Timeouts,
) -> Outcome {
    let (mut first_done, mut second_done) = (None, None);
    {
        let mut second = pin!(once(exchange, copy, backend, timeouts));
        poll_fn(|cx| {
            if first_done.is_none()
                && let Poll::Ready(outcome) = first.as_mut().poll(cx)
            {
                first_done = Some(outcome);
            }
            if second_done.is_none()
                && !first_done.as_ref().is_some_and(is_acceptable)
                && let Poll::Ready(outcome) = second.as_mut().poll(cx)
            {
                second_done = Some(outcome);
            }
            let is_won = |done: &Option<Outcome>| done.as_ref().is_some_and(is_acceptable);
            match (&first_done, &second_done) {
                (Some(_), Some(_)) => Poll::Ready(()),
                _ if is_won(&first_done) || is_won(&second_done) => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
        // Here the second is dropped, and with it its connection; the first goes when the caller drops it.
    }
    let second_wins = match (&first_done, &second_done) {
        (Some(first), _) if is_acceptable(first) => false,
        (_, Some(second)) if is_acceptable(second) => true,
        // An answer is better than none, and the first is as good as the second.
        (Some(Ok(_)), _) => false,
        (_, Some(second)) => second.is_ok(),
        (_, None) => false,
    };
    let telemetry = &exchange.worker().telemetry;
    telemetry.hedged(match (second_wins, &second_done) {
        (true, _) => "won",
        (false, Some(Err(_))) => "failed",
        (false, _) => "lost",
    });
    let (winner, loser) = if second_wins { (second_done, first_done) } else { (first_done, second_done) };
    if let Some(Ok(loser)) = loser {
        attempt::give_up(exchange, loser);
    }
    let winner = winner.unwrap_or(Err(ProxyError::Abandoned));
    if let Ok(answered) = &winner {
        let facts = &mut *exchange.facts.borrow_mut();
        for nth in facts.attempts.beaten_by(answered.attempt()) {
            facts.sent[nth].error = Some("beaten");
        }
    }
    winner
}

/// One try at an endpoint, another than the first one's if there is one.
async fn once(exchange: &Rc<Exchange>, copy: &mut Outbound, backend: BackendId, timeouts: &Timeouts) -> Outcome {
    let asked = exchange.facts.borrow().sent.last().map(|sent| sent.endpoint);
    let mut all = exchange.snapshot.backend(backend).endpoints(exchange, copy);
    let other = all.clone().find(|pool| Some(pool.endpoint()) != asked);
    let Some(pool) = other.or_else(|| all.next()) else { return Err(ProxyError::NoHealthyEndpoint) };
    attempt::on_endpoint(exchange, copy, backend, pool, timeouts).await.map_err(|failed| match failed {
        Failed::Unreachable(error) | Failed::Final(error) => error,
    })
}

/// Whether an outcome is what the other would have been waited for.
fn is_acceptable(outcome: &Outcome) -> bool {
    outcome.as_ref().is_ok_and(|answered| !answered.status().is_server_error())
}
