//! Bounds on what a backend is given at a time, over all workers: who is over them is refused at once, or waits in a
//! short queue.
//!
//! Only backends of services that set a bound have a [`Circuit`]; the requests of all others pass without a look at it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use patchgate_config::snapshot::{BackendId, CircuitBreaker};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ProxyError;
use crate::exchange::Exchange;

/// Those of all backends that have bounds.
#[derive(Debug, Default)]
pub(crate) struct Circuits(Mutex<BTreeMap<Arc<str>, Weak<Circuit>>>);

/// A backend's bounds, and how much of them is taken.
#[derive(Debug)]
pub(crate) struct Circuit {
    limits: CircuitBreaker,
    /// First come, first served.
    requests: Option<Arc<Semaphore>>,
    pending: Arc<AtomicU32>,
    connections: Arc<AtomicU32>,
    retries: Arc<AtomicU32>,
}

/// A request's place at a backend; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    backend: BackendId,
    _permit: OwnedSemaphorePermit,
}

/// A place among so many; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicU32>);

impl Circuits {
    /// What is taken of every backend's bounds: backend, bound, how much.
    pub(crate) fn told(&self) -> Vec<(Arc<str>, &'static str, u32)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = known.iter().filter_map(|(backend, circuit)| Some((backend, circuit.upgrade()?)));
        alive
            .flat_map(|(name, it)| {
                it.taken().map(|(limit, taken)| (Arc::clone(name), limit, taken)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// That of a backend; the same for as long as somebody holds it and its bounds stay.
    pub(crate) fn of(&self, backend: &Arc<str>, limits: &CircuitBreaker) -> Arc<Circuit> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, circuit| circuit.strong_count() > 0);
        let held = known.get(backend).and_then(Weak::upgrade).filter(|circuit| circuit.limits == *limits);
        held.unwrap_or_else(|| {
            let new = Arc::new(Circuit {
                limits: *limits,
                requests: limits.max_requests.map(|most| Arc::new(Semaphore::new(most as usize))),
                pending: Arc::default(),
                connections: Arc::default(),
                retries: Arc::default(),
            });
            known.insert(Arc::clone(backend), Arc::downgrade(&new));
            new
        })
    }
}

impl Circuit {
    /// What is taken of each bound that there is, by its name.
    fn taken(&self) -> impl Iterator<Item = (&'static str, u32)> {
        // ORDERING: Relaxed: statistics.
        let count = |taken: &AtomicU32| taken.load(Ordering::Relaxed);
        let requests = self.limits.max_requests.zip(self.requests.as_ref());
        let requests = requests.map(|(most, free)| most - u32::try_from(free.available_permits()).unwrap_or(most));
        let taken = [
            ("requests", requests),
            ("pending", self.limits.max_requests.map(|_| count(&self.pending))),
            ("connections", self.limits.max_connections.map(|_| count(&self.connections))),
            ("retries", self.limits.max_retries.map(|_| count(&self.retries))),
        ];
        taken.into_iter().filter_map(|(limit, taken)| Some((limit, taken?)))
    }

    /// Takes a place for a request, once, however many attempts it has at the backend; waits in the queue if there is
    /// room in it.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn enter(&self, exchange: &Exchange, backend: BackendId) -> Result<(), ProxyError> {
        let Some(requests) = &self.requests else { return Ok(()) };
        if exchange.admission.borrow().as_ref().is_some_and(|held| held.backend == backend) {
            return Ok(());
        }
        let permit = match Arc::clone(requests).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let most = self.limits.max_pending_requests;
                let Some(_waiting) = Place::take(&self.pending, Some(most)) else {
                    return Err(overflow(exchange, if most == 0 { "requests" } else { "pending" }));
                };
                // The request's own time bounds the wait.
                exchange.deadline.set(exchange.total_at.get());
                Arc::clone(requests).acquire_owned().await.map_err(|_| ProxyError::Overflow)?
            }
        };
        *exchange.admission.borrow_mut() = Some(Admission { backend, _permit: permit });
        Ok(())
    }

    /// A place for a new connection.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn connection(&self, exchange: &Exchange) -> Result<Place, ProxyError> {
        Place::take(&self.connections, self.limits.max_connections).ok_or_else(|| overflow(exchange, "connections"))
    }

    /// A place for a retry, if there is one.
    pub(crate) fn retry(&self) -> Option<Place> {
        Place::take(&self.retries, self.limits.max_retries)
    }
}

impl Place {
    fn take(taken: &Arc<AtomicU32>, most: Option<u32>) -> Option<Self> {
        // ORDERING: Relaxed: a count with a bound; nothing else is published with it.
        let place = Self(Arc::clone(taken));
        let before = taken.fetch_add(1, Ordering::Relaxed);
        most.is_none_or(|most| before < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // ORDERING: Relaxed, as above.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn overflow(exchange: &Exchange, limit: &str) -> ProxyError {
    exchange.worker().telemetry.overflowed(limit);
    ProxyError::Overflow
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CircuitBreaker = CircuitBreaker {
        max_connections: Some(2),
        max_requests: Some(1),
        max_pending_requests: 0,
        max_retries: Some(1),
    };

    #[test]
    fn places_are_bounded_and_given_back() {
        let circuit = Circuits::default().of(&"shop/stable".into(), &LIMITS);
        let first = circuit.retry();
        assert!(first.is_some() && circuit.retry().is_none() && circuit.retry().is_none());
        drop(first);
        assert!(circuit.retry().is_some());
    }

    #[test]
    fn a_circuit_is_the_same_while_it_is_held_and_its_bounds_stay() {
        let (circuits, name) = (Circuits::default(), Arc::from("shop/stable"));
        let one = circuits.of(&name, &LIMITS);
        assert!(Arc::ptr_eq(&one, &circuits.of(&name, &LIMITS)));
        let wider = CircuitBreaker { max_requests: Some(2), ..LIMITS };
        assert!(!Arc::ptr_eq(&one, &circuits.of(&name, &wider)));
    }
}
