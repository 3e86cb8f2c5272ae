//! The limits in time of one connection, looked at every [`TICK`] instead of by timers for each request.
//!
//! Pure: takes `now` and what the wire saw, says what to do. Precision is one tick, which is fine for limits of
//! seconds.

use std::time::Duration;

use patchgate_config::snapshot::Limits;
use tokio::time::Instant;

use super::wire::Traffic;

/// Time between two looks.
pub(super) const TICK: Duration = Duration::from_millis(500);

/// A connection in a drain is closed once it was quiet for this long: a client about to use it gets its answer, with
/// `connection: close`, instead of a reset.
const DRAIN_QUIET: Duration = Duration::from_secs(1);

/// What a look finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing to do.
    Fine,
    /// No request for a whole tick: parser and buffers can go.
    Quiet,
    /// A head was begun and not ended in time.
    HeadTooSlow,
    /// The client does not read its response.
    ReadTooSlow,
    /// No request for the idle timeout, or a drain waits for this connection.
    Expired,
}

/// What was seen at earlier looks.
#[derive(Debug)]
pub(super) struct Watch {
    requests: u64,
    written: u64,
    /// Since when nothing but an open head, or nothing at all, was seen.
    quiet_since: Instant,
    blocked_since: Option<Instant>,
}

impl Watch {
    pub(super) fn new(now: Instant, traffic: &Traffic) -> Self {
        Self { requests: traffic.requests.get(), written: traffic.written.get(), quiet_since: now, blocked_since: None }
    }

    /// One look.
    pub(super) fn look(&mut self, now: Instant, traffic: &Traffic, limits: &Limits, draining: bool) -> Finding {
        if self.reads_too_slowly(now, traffic, limits) {
            return Finding::ReadTooSlow;
        }
        let requests = traffic.requests.get();
        if traffic.in_flight.get() > 0 || requests != self.requests {
            self.requests = requests;
            self.quiet_since = now;
            return Finding::Fine;
        }
        let quiet = now.duration_since(self.quiet_since);
        if traffic.head_open.get() {
            return if quiet >= limits.header_timeout { Finding::HeadTooSlow } else { Finding::Fine };
        }
        if quiet >= limits.idle_timeout || (draining && quiet >= DRAIN_QUIET) {
            Finding::Expired
        } else if quiet >= TICK && !traffic.write_blocked.get() && !draining {
            Finding::Quiet
        } else {
            Finding::Fine
        }
    }

    fn reads_too_slowly(&mut self, now: Instant, traffic: &Traffic, limits: &Limits) -> bool {
        let written = traffic.written.get();
        if !traffic.write_blocked.get() || written != self.written {
            self.written = written;
            self.blocked_since = None;
            return false;
        }
        now.duration_since(*self.blocked_since.get_or_insert(now)) >= limits.body_idle_timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            connections: 1,
            header_bytes: 1,
            header_count: 1,
            header_timeout: Duration::from_secs(2),
            body_idle_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(10),
            streams: 1,
        }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_connection_is_quiet_then_expires() {
        let (start, traffic) = (Instant::now(), Traffic::default());
        let mut watch = Watch::new(start, &traffic);
        assert_eq!(watch.look(after(start, 1), &traffic, &limits(), false), Finding::Quiet);
        assert_eq!(watch.look(after(start, 10), &traffic, &limits(), false), Finding::Expired);
    }

    #[test]
    fn a_head_that_trickles_is_cut_and_a_request_in_flight_is_not() {
        let (start, traffic) = (Instant::now(), Traffic::default());
        let mut watch = Watch::new(start, &traffic);
        traffic.head_open.set(true);
        assert_eq!(watch.look(after(start, 1), &traffic, &limits(), false), Finding::Fine);
        assert_eq!(watch.look(after(start, 2), &traffic, &limits(), false), Finding::HeadTooSlow);
        traffic.in_flight.set(1);
        assert_eq!(watch.look(after(start, 60), &traffic, &limits(), false), Finding::Fine);
    }

    #[test]
    fn requests_between_looks_count_as_life() {
        let (start, traffic) = (Instant::now(), Traffic::default());
        let mut watch = Watch::new(start, &traffic);
        for second in 1..60 {
            traffic.requests.set(second);
            traffic.head_open.set(true);
            assert_eq!(watch.look(after(start, second), &traffic, &limits(), false), Finding::Fine);
        }
    }

    #[test]
    fn a_client_that_does_not_read_is_cut_unless_something_moves() {
        let (start, traffic) = (Instant::now(), Traffic::default());
        let mut watch = Watch::new(start, &traffic);
        traffic.in_flight.set(1);
        traffic.write_blocked.set(true);
        for second in 1..10 {
            traffic.written.set(second);
            assert_eq!(watch.look(after(start, second), &traffic, &limits(), false), Finding::Fine);
        }
        assert_eq!(watch.look(after(start, 10), &traffic, &limits(), false), Finding::Fine);
        assert_eq!(watch.look(after(start, 13), &traffic, &limits(), false), Finding::ReadTooSlow);
    }

    #[test]
    fn a_drain_closes_a_quiet_connection_soon() {
        let (start, traffic) = (Instant::now(), Traffic::default());
        let mut watch = Watch::new(start, &traffic);
        assert_eq!(watch.look(start, &traffic, &limits(), true), Finding::Fine);
        assert_eq!(watch.look(after(start, 1), &traffic, &limits(), true), Finding::Expired);
    }
}
