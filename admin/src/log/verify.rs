//! Folding the log anew while it is in use, and comparing with what the server believes.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fold::{Fault, Fold};
use crate::api::dto::{StateHash, Verified};
use crate::controller::Controller;
use crate::store::{EventStore, StoreError};
use crate::time::rfc3339;

/// Records that are read at a time; between pages others have their turn.
const PAGE: usize = 1_000;

/// Folds the log anew on demand and by schedule.
#[derive(Debug)]
pub struct Verifier {
    store: Arc<dyn EventStore>,
    controller: Controller,
    observe: Arc<dyn Observe>,
    /// One at a time: the second waits rather than doubling the work.
    turn: tokio::sync::Mutex<()>,
}

/// Who is told how verifications end.
pub trait Observe: Send + Sync + fmt::Debug {
    /// The log was folded anew. `None`: it holds what must not be, or differs from the state in force.
    fn verified(&self, events: Option<u64>, took: Duration);
}

/// Why a log is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It holds what must not be.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Verifier {
    /// Verifies `store` against the state of `controller`.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, controller: Controller, observe: Arc<dyn Observe>) -> Self {
        Self { store, controller, observe, turn: tokio::sync::Mutex::default() }
    }

    /// Folds the log from its first event to its head.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub async fn verify(&self) -> Result<Verified, VerifyError> {
        let _turn = self.turn.lock().await;
        let began = Instant::now();
        let verified = self.fold().await;
        let took = began.elapsed();
        match verified {
            Ok((fold, matches_server)) => {
                self.observe.verified(matches_server.then_some(fold.state().sequence), took);
                if !matches_server {
                    tracing::error!(
                        sequence = fold.state().sequence,
                        "the state in force is not what the log folds to"
                    );
                }
                Ok(Verified {
                    events: fold.state().sequence,
                    folded: StateHash {
                        sequence: fold.state().sequence,
                        head: fold.chain().to_string(),
                        state_hash: fold.state().hash().to_string(),
                    },
                    matches_server,
                    took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                    at: rfc3339(self.controller.clock().now()),
                })
            }
            Err(error) => {
                tracing::error!(%error, "the event log does not verify");
                self.observe.verified(None, took);
                Err(error)
            }
        }
    }

    /// Verifies now, as a start trusts snapshots of the state, and every so often, for as long as the runtime lasts.
    pub async fn repeat(self: Arc<Self>, every: Duration) {
        loop {
            // It was logged and counted.
            let _ = self.verify().await;
            tokio::time::sleep(every).await;
        }
    }

    /// The fold, and whether the server's state is the same where they meet.
    async fn fold(&self) -> Result<(Fold, bool), VerifyError> {
        let mut fold = Fold::default();
        loop {
            let server = self.controller.state();
            while fold.state().sequence < server.sequence {
                let left = usize::try_from(server.sequence - fold.state().sequence).unwrap_or(usize::MAX);
                let records = self.store.read(fold.state().sequence + 1, left.min(PAGE)).await?;
                if records.is_empty() {
                    return Ok((fold, false));
                }
                for record in &records {
                    fold.record(record)?;
                }
                tokio::task::yield_now().await;
            }
            if fold.state().sequence == server.sequence {
                let matches = *fold.state() == *server;
                return Ok((fold, matches));
            }
        }
    }
}
