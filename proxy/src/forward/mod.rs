//! The attempts of one request, in order, and the commit of the first that brings a response.
//!
//! The one orchestrator: it holds the guard and the body, so it alone can say which attempt may follow which. An
//! attempt follows another only when the backend cannot have acted on the first: the connection failed, the request
//! was not sent, or (for an idempotent request without a body) the connection died or was cut off before a response.
//! What else is sent again is the service's policy to say ([`retry`]), within its budget; a request that is late may be
//! sent to two at a time ([`hedge`]).

mod again;
mod attempt;
mod head;
pub(crate) mod headers;
pub(crate) mod hedge;
pub(crate) mod hop;
pub(crate) mod mirror;
mod outbound;
mod pace;
mod proxy_header;
pub(crate) mod retry;
mod rules;
pub(crate) mod tee;
mod upgrade;

use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use patchgate_config::snapshot::{BackendId, Timeouts};
use tokio::time::Instant;

use crate::balance::{Outcome, Turn};
use crate::body::ResponseBody;
use crate::call::{Call, Decided};
use crate::commit::Committed;
use crate::commit::ledger::Cause;
use crate::error::ProxyError;
use crate::exchange::Exchange;
use attempt::{Answered, Failed};
pub(crate) use outbound::Outbound;

/// Forwards a request and commits its response.
pub(crate) fn forward(call: Call<Decided>) -> impl Future<Output = Result<Committed<ResponseBody>, ProxyError>> {
    let exchange = Rc::clone(&call.exchange);
    let timeouts = exchange.snapshot.config.service(call.stage.service).timeouts;
    let backends = [Some(call.stage.backend), call.stage.fallback];
    let mut outbound = Outbound::new(call);
    if let Some((policy, mirroring)) = exchange.snapshot.mirror(outbound.service) {
        mirror::start(&exchange, &mut outbound, policy, mirroring);
    }
    // Boxed: each layer would move it, and it is the largest thing a request has.
    Box::pin(async move {
        let mut answered = in_time(&exchange, &mut outbound, backends, &timeouts).await;
        if let Err(ProxyError::Withdrawn) = answered
            && let Some(stable) = after_withdrawal(&exchange, &mut outbound, backends[1])
        {
            // Boxed: rare, and as large as what every request carries along.
            answered = Box::pin(in_time(&exchange, &mut outbound, [Some(stable), None], &timeouts)).await;
        }
        attempt::commit(&exchange, answered?, &timeouts, outbound.take_upgrade())
    })
}

/// The attempts, until a deadline passes or the patch is withdrawn.
async fn in_time(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    backends: [Option<BackendId>; 2],
    timeouts: &Timeouts,
) -> Result<Answered, ProxyError> {
    let mut work = pin!(attempts(exchange, outbound, backends, timeouts));
    std::future::poll_fn(|cx| {
        // Looked at first: a response that comes after the withdrawal is too late.
        if exchange.withdrawn.get() {
            return Poll::Ready(Err(ProxyError::Withdrawn));
        }
        match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => poll_deadline(exchange, timeouts, cx).map(Err),
        }
    })
    .await
}

/// Books the attempt that a withdrawal ended; the backend that may be asked instead, if there is one and the first
/// cannot have acted on the request, or may act on it again.
fn after_withdrawal(exchange: &Exchange, outbound: &mut Outbound, fallback: Option<BackendId>) -> Option<BackendId> {
    exchange.withdrawn.set(false);
    let mut facts = exchange.facts.borrow_mut();
    {
        let facts = &mut *facts;
        for nth in facts.attempts.cancel_open(Cause::Withdrawn) {
            facts.sent[nth].error = Some(ProxyError::Withdrawn.code());
        }
    }
    let telemetry = &exchange.worker().telemetry;
    let stable = fallback.filter(|_| outbound.may_begin_anew(&facts.method));
    match stable {
        Some(_) => {
            telemetry.withdrawn("fallback");
            telemetry.fell_back();
            exchange.canary.take();
        }
        None => telemetry.withdrawn("answered"),
    }
    stable
}

/// Ready, with what to answer, once the request's deadline has passed; whoever works on it sets that as it goes.
fn poll_deadline(exchange: &Exchange, timeouts: &Timeouts, cx: &mut Context<'_>) -> Poll<ProxyError> {
    loop {
        ready!(exchange.deadline.poll_passed(cx));
        if exchange.worker().is_drain_over() {
            return Poll::Ready(ProxyError::Draining);
        }
        let now = Instant::now();
        if now >= exchange.total_at.get() {
            return Poll::Ready(ProxyError::TotalTimeout);
        }
        if !exchange.upload.pending.get() {
            Turn::end(exchange, None, Outcome::Failed);
            return Poll::Ready(ProxyError::FirstByteTimeout);
        }
        // The client still uploads: the backend's time has not begun.
        exchange.deadline.set((now + timeouts.first_byte).min(exchange.total_at.get()));
    }
}

/// The attempts as the service's policies have them.
async fn attempts(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    backends: [Option<BackendId>; 2],
    timeouts: &Timeouts,
) -> Result<Answered, ProxyError> {
    if let Some(hedge) = exchange.snapshot.hedge(outbound.service, backends[0]) {
        // Boxed: not every request carries it along.
        return Box::pin(hedge::attempts(exchange, outbound, backends, timeouts, hedge)).await;
    }
    in_turn(exchange, outbound, backends, timeouts).await
}

/// Every endpoint of the decided backend, then of the one to fall back to, until one takes the request.
async fn in_turn(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    backends: [Option<BackendId>; 2],
    timeouts: &Timeouts,
) -> Result<Answered, ProxyError> {
    if let Some(retry) = exchange.snapshot.retry(outbound.service) {
        // Boxed: not every request carries it along.
        return Box::pin(again::attempts(exchange, outbound, backends, timeouts, retry)).await;
    }
    let mut unreachable = ProxyError::NoHealthyEndpoint;
    for (turn, backend) in backends.into_iter().flatten().enumerate() {
        if turn > 0 {
            fall_back(exchange);
        }
        for pool in exchange.snapshot.backend(backend).endpoints(exchange, outbound) {
            match attempt::on_endpoint(exchange, outbound, backend, pool, timeouts).await {
                Err(Failed::Unreachable(error)) => unreachable = error,
                Err(Failed::Final(error)) => return Err(error),
                Ok(answered) => return Ok(answered),
            }
        }
    }
    Err(unreachable)
}

/// Books that stable is asked instead.
fn fall_back(exchange: &Exchange) {
    exchange.worker().telemetry.fell_back();
    exchange.facts.borrow_mut().attempts.cause_of_last(Cause::Fallback);
    exchange.canary.take();
}
