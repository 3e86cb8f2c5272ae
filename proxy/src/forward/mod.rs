//! The attempts of one request, in order, and the commit of the first that brings a response.
//!
//! The one orchestrator: it holds the guard and the body, so it alone can say which attempt may follow which. An
//! attempt follows another only when the backend cannot have acted on the first: the connection failed, the request
//! was not sent, or (for an idempotent request without a body) the connection died before a response.

mod attempt;
pub(crate) mod headers;
pub(crate) mod hop;
mod outbound;

use std::rc::Rc;
use std::task::Poll;

use patchgate_config::snapshot::{BackendId, Timeouts};
use tokio::time::Instant;

use crate::body::ResponseBody;
use crate::call::{Call, Decided};
use crate::commit::Committed;
use crate::commit::ledger::Cause;
use crate::error::ProxyError;
use crate::exchange::Exchange;
use attempt::{Answered, Failed};
use outbound::Outbound;

/// Forwards a request and commits its response.
pub(crate) async fn forward(call: Call<Decided>) -> Result<Committed<ResponseBody>, ProxyError> {
    let exchange = Rc::clone(&call.exchange);
    let timeouts = {
        let facts = exchange.facts.borrow();
        let service = facts.service.ok_or(ProxyError::NoRoute)?;
        exchange.snapshot.config.service(service).timeouts
    };
    let (backend, fallback) = (call.stage.backend, call.stage.fallback);
    let outbound = Outbound::new(call);
    let answered = in_time(&exchange, timeouts, attempts(&exchange, outbound, backend, fallback, timeouts)).await?;
    attempt::commit(&exchange, answered, timeouts)
}

/// Runs `work` against the request's deadline; whoever works sets that as it goes.
async fn in_time(
    exchange: &Exchange,
    timeouts: Timeouts,
    work: impl Future<Output = Result<Answered, ProxyError>>,
) -> Result<Answered, ProxyError> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        while exchange.deadline.poll_passed(cx).is_ready() {
            if exchange.worker().is_drain_over() {
                return Poll::Ready(Err(ProxyError::Draining));
            }
            let now = Instant::now();
            if now >= exchange.total_at.get() {
                return Poll::Ready(Err(ProxyError::TotalTimeout));
            }
            if !exchange.upload.pending.get() {
                return Poll::Ready(Err(ProxyError::FirstByteTimeout));
            }
            // The client still uploads: the backend's time has not begun.
            exchange.deadline.set((now + timeouts.first_byte).min(exchange.total_at.get()));
        }
        Poll::Pending
    })
    .await
}

/// The decided backend, then the one to fall back to.
async fn attempts(
    exchange: &Rc<Exchange>,
    mut outbound: Outbound,
    backend: BackendId,
    fallback: Option<BackendId>,
    timeouts: Timeouts,
) -> Result<Answered, ProxyError> {
    let unreachable = match on_backend(exchange, &mut outbound, backend, timeouts).await {
        Err(Failed::Unreachable(error)) => error,
        Err(Failed::Final(error)) => return Err(error),
        Ok(answered) => return Ok(answered),
    };
    let Some(stable) = fallback else { return Err(unreachable) };
    exchange.worker().telemetry.fell_back();
    exchange.facts.borrow_mut().attempts.cause_of_last(Cause::Fallback);
    on_backend(exchange, &mut outbound, stable, timeouts).await.map_err(|failed| match failed {
        Failed::Unreachable(error) | Failed::Final(error) => error,
    })
}

/// Every endpoint of a backend, until one takes the request.
async fn on_backend(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    backend: BackendId,
    timeouts: Timeouts,
) -> Result<Answered, Failed> {
    let mut unreachable = ProxyError::ConnectFailed;
    for pool in exchange.snapshot.backend(backend).endpoints() {
        match attempt::on_endpoint(exchange, outbound, backend, pool, timeouts).await {
            Err(Failed::Unreachable(error)) => unreachable = error,
            done => return done,
        }
    }
    Err(Failed::Unreachable(unreachable))
}
