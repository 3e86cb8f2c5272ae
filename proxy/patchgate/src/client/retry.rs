//! When a request is sent again: bounded in number and in time, later each time, and never before the server wants it.

use std::time::{Duration, Instant};

/// Times that a request is sent at most.
const TRIES: u32 = 6;

/// Wait before the second time; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(100);

/// Longest wait of our own choice.
const LONGEST: Duration = Duration::from_secs(2);

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Tries {
    made: u32,
}

impl Tries {
    /// Before the first.
    pub(crate) const fn new() -> Self {
        Self { made: 0 }
    }

    /// How long to wait after a try that came to nothing; `None`: that was the last. `asked` is what the server wants,
    /// `left` the time there is.
    pub(crate) fn next(&mut self, asked: Option<Duration>, left: Duration) -> Option<Duration> {
        self.made += 1;
        let own = FIRST.saturating_mul(1 << (self.made - 1).min(10)).min(LONGEST);
        let wait = asked.map_or(own, |asked| asked.max(own));
        (self.made < TRIES && wait < left).then_some(wait)
    }
}

/// Lets time pass.
pub(crate) fn pause(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        // May wake early.
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    #[test]
    fn waits_grow_and_end() {
        let mut tries = Tries::new();
        let waits: Vec<_> = std::iter::from_fn(|| tries.next(None, LONG)).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600]);
        assert_eq!(tries.next(None, LONG), None, "and it stays at the end");
    }

    #[test]
    fn the_server_may_ask_for_longer_but_not_for_more_than_there_is() {
        let second = Duration::from_secs(1);
        assert_eq!(Tries::new().next(Some(second), LONG), Some(second));
        assert_eq!(Tries::new().next(Some(Duration::ZERO), LONG), Some(FIRST), "nor for at once");
        assert_eq!(Tries::new().next(Some(second), second), None);
        assert_eq!(Tries::new().next(None, Duration::ZERO), None);
    }
}
