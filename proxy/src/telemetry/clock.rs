//! The wall clock beside the monotonic one, read seldom.
//!
//! A span's times are monotonic ones told by the wall clock. That is read anew only every few milliseconds: in between
//! the two cannot have drifted apart by more than a microsecond or so, and each reading costs as much as a tenth of a
//! span.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A reading serves for so long.
const FRESH: Duration = Duration::from_millis(10);

/// One worker's.
#[derive(Debug, Default)]
pub(super) struct WallClock {
    /// When it was read last, and the nanoseconds since 1970 that it showed.
    read: Cell<Option<(Instant, u64)>>,
}

impl WallClock {
    /// What the wall clock shows at `now`, in nanoseconds since 1970; `read` reads it.
    pub(super) fn unix_nanos(&self, now: Instant, read: impl FnOnce() -> SystemTime) -> u64 {
        if let Some((at, shown)) = self.read.get() {
            let since = now.saturating_duration_since(at);
            if since < FRESH {
                return shown.saturating_add(nanos(since));
            }
        }
        let shown = nanos(read().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        self.read.set(Some((now, shown)));
        shown
    }
}

/// A duration in nanoseconds, at most the 584 years that fit.
pub(super) const fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_once_for_a_while_and_goes_on_monotonically() {
        let (clock, begin) = (WallClock::default(), Instant::now());
        let shows = |seconds| move || SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let at = |millis| begin + Duration::from_millis(millis);
        assert_eq!(clock.unix_nanos(at(0), shows(5)), 5_000_000_000);
        assert_eq!(clock.unix_nanos(at(9), || unreachable!("it is fresh")), 5_009_000_000);
        assert_eq!(clock.unix_nanos(at(10), shows(100)), 100_000_000_000, "a clock that was set is followed");
        assert_eq!(clock.unix_nanos(at(11), || unreachable!("it is fresh")), 100_001_000_000);
    }

    #[test]
    fn a_clock_before_1970_shows_zero() {
        let clock = WallClock::default();
        assert_eq!(clock.unix_nanos(Instant::now(), || SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0);
    }
}
