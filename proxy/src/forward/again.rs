//! The attempts of a request whose service has a policy of retries.

use std::net::SocketAddr;
use std::rc::Rc;

use patchgate_config::snapshot::{BackendId, Retry, Timeouts};
use tokio::time::{Instant, sleep};

use super::attempt::{self, Answered, Failed};
use super::fall_back;
use super::outbound::Outbound;
use super::retry::{Asked, Budget, Failure, Refusal, allows, pause};
use crate::circuit::Circuit;
use crate::error::ProxyError;
use crate::exchange::Exchange;

/// As without a policy, and each backend's part again for as long as the policy says.
pub(super) async fn attempts(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    backends: [Option<BackendId>; 2],
    timeouts: &Timeouts,
    retry: (&Retry, &Budget),
) -> Result<Answered, ProxyError> {
    let (policy, budget) = retry;
    budget.deposit(policy.budget);
    outbound.leave_to_policy(policy);
    let mut unreachable = ProxyError::NoHealthyEndpoint;
    for (turn, backend) in backends.into_iter().flatten().enumerate() {
        if turn > 0 {
            fall_back(exchange);
        }
        match on_backend(exchange, outbound, backend, timeouts, retry).await {
            Err(Failed::Unreachable(error)) => unreachable = error,
            Err(Failed::Final(error)) => return Err(error),
            Ok(answered) => return Ok(answered),
        }
    }
    Err(unreachable)
}

/// One backend's endpoints, each time another one first, until there is an answer that the policy does not refuse, or
/// no further attempt is due. Then the last outcome is the answer, whatever it is.
async fn on_backend(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    backend: BackendId,
    timeouts: &Timeouts,
    (policy, budget): (&Retry, &Budget),
) -> Result<Answered, Failed> {
    let (mut tried, mut failed) = (0, None);
    // Of the retry that is under way.
    let mut _place = None;
    loop {
        let outcome = endpoints(exchange, outbound, backend, timeouts, failed).await;
        tried += 1;
        let failure = match &outcome {
            Ok(answered) => Failure::Status(answered.status()),
            Err(Failed::Unreachable(ProxyError::UpstreamRefused) | Failed::Final(ProxyError::UpstreamRefused)) => {
                Failure::Refused
            }
            Err(Failed::Unreachable(_)) => Failure::Connect,
            Err(Failed::Final(ProxyError::UpstreamReset)) => Failure::Reset,
            Err(Failed::Final(_)) => return outcome,
        };
        let body_is_lost = match failure {
            Failure::Refused => matches!(outcome, Err(Failed::Final(_))),
            _ => outbound.has_body(),
        };
        match permission(exchange, outbound, policy, budget, failure, tried, body_is_lost) {
            None => return outcome,
            Some(Err(refusal)) => {
                exchange.worker().telemetry.retry_refused(refusal.as_str());
                return outcome;
            }
            Some(Ok(())) => {}
        }
        drop(_place);
        _place = match exchange.snapshot.backend(backend).circuit().map(Circuit::retry) {
            Some(None) => {
                exchange.worker().telemetry.retry_refused("circuit");
                return outcome;
            }
            taken => taken.flatten(),
        };
        exchange.worker().telemetry.retried(failure.as_str());
        if let Ok(answered) = outcome {
            attempt::discard(exchange, answered);
        }
        failed = exchange.facts.borrow().sent.last().map(|sent| sent.endpoint);
        exchange.deadline.set(exchange.total_at.get());
        if failure == Failure::Refused {
            // Nothing was done about it: there is nothing to wait for.
            continue;
        }
        sleep(pause(policy, tried, exchange.worker().random())).await;
    }
}

/// Every endpoint of a backend, until one takes the request; the one that failed comes last.
async fn endpoints(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    backend: BackendId,
    timeouts: &Timeouts,
    failed: Option<SocketAddr>,
) -> Result<Answered, Failed> {
    let mut unreachable = ProxyError::NoHealthyEndpoint;
    let all = exchange.snapshot.backend(backend).endpoints(exchange, outbound);
    let others = all.clone().filter(|pool| Some(pool.endpoint()) != failed);
    for pool in others.chain(all.filter(|pool| Some(pool.endpoint()) == failed)) {
        match attempt::on_endpoint(exchange, outbound, backend, pool, timeouts).await {
            Err(Failed::Unreachable(error)) if error != ProxyError::UpstreamRefused => unreachable = error,
            answered => return answered,
        }
    }
    Err(Failed::Unreachable(unreachable))
}

fn permission(
    exchange: &Exchange,
    outbound: &Outbound,
    policy: &Retry,
    budget: &Budget,
    failure: Failure,
    tried: u32,
    body_is_lost: bool,
) -> Option<Result<(), Refusal>> {
    let facts = exchange.facts.borrow();
    let keyed = outbound.is_keyed();
    let asked = Asked { method: &facts.method, keyed, body_is_lost };
    let allowed = allows(policy, failure, tried, asked)?;
    Some(allowed.and_then(|()| match budget.withdraw(Instant::now()) {
        true => Ok(()),
        false => Err(Refusal::Budget),
    }))
}
