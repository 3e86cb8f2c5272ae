//! Mirrors: a share of a service's requests is sent to other endpoints, too, whose answers are read and thrown away.
//!
//! A mirror is nobody's attempt: it holds no permit, is in no span and no ledger, and the request that it is of neither
//! waits for it nor learns of its end. It has bounds of its own; beyond them there is none.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use http::{Method, StatusCode};
use patchgate_config::snapshot::{Mirror, MirrorHost};

use super::outbound::Outbound;
use crate::exchange::Exchange;
use crate::upstream::{Lease, Outgoing, Pool, ResponseHead, SendError};

/// The mirrors of one service on one worker.
#[derive(Debug)]
pub(crate) struct Mirroring {
    pools: Vec<Rc<Pool>>,
    next: Cell<usize>,
    in_flight: Rc<Cell<usize>>,
}

/// A mirror's place among those in flight.
struct Place(Rc<Cell<usize>>);

/// What became of a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answered,
    /// With a status of 500 or above.
    ServerError,
    /// No whole answer came.
    Failed,
    TimedOut,
    /// The copy of the body was given up: it was too long, or the client's broke off.
    GivenUp,
}

impl Outcome {
    /// The label in metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ServerError => "server_error",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::GivenUp => "given_up",
        }
    }
}

impl Mirroring {
    pub(crate) fn new(pools: Vec<Rc<Pool>>) -> Self {
        Self { pools, next: Cell::new(0), in_flight: Rc::default() }
    }

    /// Those that have not ended.
    #[cfg(feature = "simulation")]
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    fn enter(&self, most: usize) -> Option<Place> {
        let in_flight = self.in_flight.get();
        (in_flight < most).then(|| {
            self.in_flight.set(in_flight + 1);
            Place(Rc::clone(&self.in_flight))
        })
    }

    fn pool(&self) -> Option<Rc<Pool>> {
        let nth = self.next.get();
        self.next.set(nth.wrapping_add(1));
        self.pools.get(nth % self.pools.len().max(1)).cloned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Sends the request to a mirror, too, if its service has one and its turn has come.
pub(super) fn start(exchange: &Exchange, outbound: &mut Outbound, policy: &Mirror, mirroring: &Mirroring) {
    let worker = &exchange.connection.worker;
    let method = exchange.facts.borrow().method.clone();
    if worker.random() % 1_000_000 >= u64::from(policy.share.millionths()) {
        return;
    }
    if !policy.methods.contains(&method) {
        return worker.telemetry.mirror_refused("method");
    }
    let Some(place) = mirroring.enter(policy.concurrency) else {
        return worker.telemetry.mirror_refused("concurrency");
    };
    let Some(pool) = mirroring.pool() else { return };
    let host = match &policy.host {
        MirrorHost::Preserve => None,
        MirrorHost::Set(host) => Some(host),
    };
    let outgoing = match outbound.shadow(exchange, host, policy.max_body, pool.protocol()) {
        Ok(outgoing) => outgoing,
        Err(reason) => return worker.telemetry.mirror_refused(reason),
    };
    let (worker, timeout) = (Rc::clone(worker), policy.timeout);
    tokio::task::spawn_local(async move {
        let _place = place;
        let outcome = tokio::time::timeout(timeout, relay(&pool, outgoing, &method, timeout)).await;
        worker.telemetry.mirrored(outcome.unwrap_or(Outcome::TimedOut).as_str());
    });
}

/// Sends a mirror and reads its answer to the end.
async fn relay(pool: &Rc<Pool>, mut outgoing: Outgoing, method: &Method, timeout: Duration) -> Outcome {
    let lease = match pool.reuse() {
        Some(lease) => Ok(lease),
        None => pool.connect(timeout, None, None).await,
    };
    let Ok(mut lease) = lease else { return Outcome::Failed };
    let head = match lease.channel.send(&mut outgoing, *method == Method::HEAD).await {
        Ok(head) => head,
        Err(SendError::Upload) => return Outcome::GivenUp,
        Err(_) => return Outcome::Failed,
    };
    let status = head.status;
    match read(lease, head, outgoing).await {
        Some(()) if status >= StatusCode::INTERNAL_SERVER_ERROR => Outcome::ServerError,
        Some(()) => Outcome::Answered,
        None => Outcome::Failed,
    }
}

async fn read(mut lease: Lease, head: ResponseHead, mut outgoing: Outgoing) -> Option<()> {
    let ResponseHead { mut decoder, keep_alive, .. } = head;
    loop {
        let piece = poll_fn(|cx| {
            lease.channel.poll_write(cx, &mut outgoing);
            lease.channel.poll_body(cx, &mut decoder)
        });
        match piece.await {
            Some(Ok(_)) => {}
            Some(Err(_)) => return None,
            None => break,
        }
    }
    if keep_alive && outgoing.is_done() {
        lease.give_back();
    }
    Some(())
}
