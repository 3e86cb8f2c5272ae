//! The attempts of a request whose service has a policy of retries.

use std::rc::Rc;

use http::HeaderName;
use patchgate_config::snapshot::{BackendId, Retry, Timeouts};
use tokio::time::{Instant, sleep};

use super::attempt::{self, Answered, Failed};
use super::endpoints;
use super::outbound::Outbound;
use super::retry::{Asked, Budget, Failure, Refusal, allows, pause};
use crate::error::ProxyError;
use crate::exchange::Exchange;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// One backend's endpoints, each time another one first, until there is an answer that the policy does not
/// refuse, or no further attempt is due. Then the last outcome is the answer, whatever it is.
pub(super) async fn attempts(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    backend: BackendId,
    timeouts: &Timeouts,
    policy: &Retry,
    budget: &Budget,
) -> Result<Answered, Failed> {
    outbound.leave_resets_to_policy(policy);
    let (mut tried, mut failed) = (0, None);
    loop {
        let outcome = endpoints(exchange, outbound, backend, timeouts, failed).await;
        tried += 1;
        let failure = match &outcome {
            Ok(answered) => Failure::Status(answered.status()),
            Err(Failed::Unreachable(_)) => Failure::Connect,
            Err(Failed::Final(ProxyError::UpstreamReset)) => Failure::Reset,
            Err(Failed::Final(_)) => return outcome,
        };
        match permission(exchange, outbound, policy, budget, failure, tried) {
            None => return outcome,
            Some(Err(refusal)) => {
                exchange.worker().telemetry.retry_refused(refusal.as_str());
                return outcome;
            }
            Some(Ok(())) => exchange.worker().telemetry.retried(failure.as_str()),
        }
        if let Ok(answered) = outcome {
            attempt::discard(exchange, answered);
        }
        failed = exchange.facts.borrow().sent.last().map(|sent| sent.endpoint);
        exchange.deadline.set(exchange.total_at.get());
        sleep(pause(policy, tried, exchange.worker().random())).await;
    }
}

fn permission(
    exchange: &Exchange,
    outbound: &Outbound,
    policy: &Retry,
    budget: &Budget,
    failure: Failure,
    tried: u32,
) -> Option<Result<(), Refusal>> {
    let facts = exchange.facts.borrow();
    let keyed = outbound.has(&IDEMPOTENCY_KEY);
    let asked = Asked { method: &facts.method, keyed, body: outbound.has_body() };
    let allowed = allows(policy, failure, tried, asked)?;
    Some(allowed.and_then(|()| match budget.withdraw(Instant::now()) {
        true => Ok(()),
        false => Err(Refusal::Budget),
    }))
}
