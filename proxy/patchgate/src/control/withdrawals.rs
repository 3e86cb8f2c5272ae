//! Withdrawals: how long until the last response of a hot-fix that is served no more, and the end of those that take
//! longer than they may.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use patchgate_admin::controller::Controller;
use patchgate_admin::rollout::{OnWithdraw, State};
use patchgate_proxy::handle::Handle;
use patchgate_proxy::telemetry::metrics::Metrics;

use super::WITHDRAWAL;
use super::board::Board;

/// How often it is looked whether the last one has ended: at first, and after a second.
const LOOK: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

/// One withdrawal.
struct Withdrawal {
    rollout: String,
    /// The record that ordered it.
    sequence: u64,
    began: Instant,
    policy: OnWithdraw,
    handle: Handle,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
}

/// Follows the log, and every rollout that it withdraws.
pub(super) async fn follow(controller: Controller, handle: Handle, board: Arc<Board>, metrics: Arc<Metrics>) {
    let mut states = controller.states();
    let mut served = served_by(&states.borrow_and_update());
    while states.changed().await.is_ok() {
        let state = Arc::clone(&states.borrow_and_update());
        let now = served_by(&state);
        for (rollout, policy) in served {
            let Some(ended) = state.rollouts.get(&rollout).filter(|_| !now.contains_key(&rollout)) else { continue };
            board.withdrawing(&rollout);
            let ago = controller.clock().now().saturating_sub(ended.changed.at_ms);
            let withdrawal = Withdrawal {
                sequence: ended.changed.sequence,
                rollout,
                began: Instant::now().checked_sub(Duration::from_millis(ago)).unwrap_or_else(Instant::now),
                policy,
                handle: handle.clone(),
                board: Arc::clone(&board),
                metrics: Arc::clone(&metrics),
            };
            tokio::spawn(withdrawal.run());
        }
        served = now;
    }
}

fn served_by(state: &State) -> BTreeMap<String, OnWithdraw> {
    let served = state.live().filter(|(_, rollout)| rollout.phase.is_served());
    served.map(|(name, rollout)| (name.to_owned(), rollout.plan.on_withdraw)).collect()
}

impl Withdrawal {
    async fn run(self) {
        let mut is_cut = false;
        loop {
            let revision = self.handle.applied_revision();
            let canary = self.handle.canary(&self.rollout);
            let is_out = self.board.sequence_at(revision) >= self.sequence;
            if is_out && canary.in_flight == 0 {
                let last = canary.last_commit.map_or(Duration::ZERO, |at| at.saturating_duration_since(self.began));
                self.metrics.control.time_to_zero_canary.observe(last);
                self.board.withdrawn(&self.rollout, last);
                tracing::info!(rollout = self.rollout, to_zero = ?last, "withdrawn: its hot-fix answers nobody any more");
                return;
            }
            let took = self.began.elapsed();
            if let OnWithdraw::CutAfter(grace) = self.policy
                && is_out
                && !is_cut
                && took >= Duration::from_millis(grace)
            {
                is_cut = true;
                let cut = self.handle.cut(&self.rollout).await;
                tracing::warn!(
                    rollout = self.rollout,
                    unanswered = cut.unanswered,
                    broken = cut.broken,
                    "requests cut"
                );
                continue;
            }
            if took > WITHDRAWAL {
                let in_flight = canary.in_flight;
                return tracing::warn!(rollout = self.rollout, in_flight, "withdrawn, but some requests do not end");
            }
            tokio::time::sleep(LOOK[usize::from(took > Duration::from_secs(1))]).await;
        }
    }
}
