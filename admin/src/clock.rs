//! The control plane's time: anchored to the wall clock once, then as steady as the machine's monotonic clock.
//!
//! A wall clock that is set forward or back while patchgate runs ends no hold early and delays no deadline. What was
//! wrong at the start stays so until a restart, where the log's own clock still never goes back.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::rollout::Millis;

/// Tells the time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    at: Millis,
    anchor: Instant,
}

impl Clock {
    /// By the wall clock as it is now.
    #[must_use]
    pub fn system() -> Self {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        Self::starting_at(u64::try_from(at).unwrap_or(Millis::MAX))
    }

    /// Shows `at` now.
    #[must_use]
    pub fn starting_at(at: Millis) -> Self {
        Self { at, anchor: Instant::now() }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.at.saturating_add(u64::try_from(self.anchor.elapsed().as_millis()).unwrap_or(Millis::MAX))
    }

    /// Ready when the clock shows `at`, or a day from now: far moments do not fit every timer.
    pub async fn reached(&self, at: Millis) {
        let left = Duration::from_millis(at.saturating_sub(self.now()));
        tokio::time::sleep(left.min(Duration::from_secs(86_400))).await;
    }
}
