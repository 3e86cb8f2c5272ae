//! How one endpoint is chosen of many: pure functions of loads and randomness, and the load that a worker sees.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// After so long a latency counts for a third of what it did.
const FADING: f64 = 10.0;

/// What a failure counts as: it may come fast, and is no reason to send more there.
const FAILURE: Duration = Duration::from_secs(1);

/// What one worker sees of one endpoint. The worker's own, so that nothing here is atomic; workers see alike.
#[derive(Debug, Default)]
pub(crate) struct Load {
    outstanding: Cell<u32>,
    /// Seconds to the response's head, when they were last noted.
    latency: Cell<f64>,
    noted: Cell<Option<Instant>>,
}

impl Load {
    pub(super) fn begin(&self) {
        self.outstanding.set(self.outstanding.get() + 1);
    }

    pub(super) fn end(&self) {
        self.outstanding.set(self.outstanding.get().saturating_sub(1));
    }

    /// An attempt took so long: a peak counts at once, what is less by and by.
    pub(super) fn took(&self, time: Duration, now: Instant) {
        let (time, latency) = (time.as_secs_f64(), self.faded(now));
        let old = self.noted.replace(Some(now)).map_or(0.0, |noted| fade(now.duration_since(noted)));
        self.latency.set(if time > latency { time } else { latency + time * (1.0 - old) });
    }

    /// An attempt failed.
    pub(super) fn failed(&self, time: Duration, now: Instant) {
        self.took(time.max(FAILURE), now);
    }

    /// An attempt was given up after so long: it would have taken at least that.
    pub(super) fn took_at_least(&self, time: Duration, now: Instant) {
        if time.as_secs_f64() > self.faded(now) {
            self.took(time, now);
        }
    }

    /// Requests in flight.
    pub(crate) fn outstanding(&self) -> f64 {
        f64::from(self.outstanding.get())
    }

    /// What one more request may have to wait for. An endpoint that nothing is known of is asked at once, and then not
    /// before its first answer.
    pub(super) fn peak_ewma(&self, now: Instant) -> f64 {
        let outstanding = self.outstanding();
        match self.noted.get() {
            None if outstanding > 0.0 => f64::from(u32::MAX) + outstanding,
            None => 0.0,
            Some(_) => self.faded(now) * (outstanding + 1.0),
        }
    }

    fn faded(&self, now: Instant) -> f64 {
        self.noted.get().map_or(0.0, |noted| self.latency.get() * fade(now.duration_since(noted)))
    }
}

fn fade(age: Duration) -> f64 {
    (-age.as_secs_f64() / FADING).exp()
}

/// The better of two that are drawn of `count`, which are different ones from 2 on.
pub(super) fn two_choices(count: usize, random: u64) -> (usize, usize) {
    let draw = |random: u64, of: usize| (((random & 0xffff_ffff) * of as u64) >> 32) as usize;
    let first = draw(random, count);
    let second = draw(random >> 32, count.saturating_sub(1));
    (first, if second >= first && count > 1 { second + 1 } else { second })
}

/// How much an endpoint wants a key: the one that wants it most gets it, so that when one goes, only its keys move.
pub(super) fn rendezvous(key: u64, endpoint: u64) -> u64 {
    // The finaliser of SplitMix64: every bit of both counts.
    let mut mixed = key ^ endpoint;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
