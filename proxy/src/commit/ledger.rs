//! The loser ledger: every attempt ends in exactly one way, and what was not the answer is booked with its cause.

use smallvec::SmallVec;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its response became the response.
    Committed,
    /// It had a response, and another was first.
    Lost,
    /// It brought no response.
    Failed,
    /// It was given up before it brought one: the deadline passed, the client left, the drain was over, the patch was
    /// withdrawn.
    Cancelled,
}

/// Why an attempt was not the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Another attempt followed it.
    Retry,
    /// Another attempt, which ran beside it, was the answer.
    Hedge,
    /// The stable backend was asked instead.
    Fallback,
    /// A deadline passed.
    Timeout,
    /// Its response came when the request was answered already.
    Late,
    /// The request's task panicked.
    Panic,
    /// The client left.
    Disconnect,
    /// The time to drain was over.
    Drain,
    /// It was the last, and failed.
    Error,
    /// The patch was withdrawn.
    Withdrawn,
}

/// An attempt's end and, where it is known yet, why it was not the answer.
type Ended = (End, Option<Cause>);

/// The attempts of one request.
#[derive(Debug, Default)]
pub struct Attempts {
    ends: SmallVec<[Option<Ended>; 2]>,
}

impl End {
    /// All ends, in the order of their labels' index.
    pub const ALL: [Self; 4] = [Self::Committed, Self::Lost, Self::Failed, Self::Cancelled];

    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Cause {
    /// All causes, in the order of their labels' index.
    pub const ALL: [Self; 10] = [
        Self::Retry,
        Self::Hedge,
        Self::Fallback,
        Self::Timeout,
        Self::Late,
        Self::Panic,
        Self::Disconnect,
        Self::Drain,
        Self::Error,
        Self::Withdrawn,
    ];

    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Hedge => "hedge",
            Self::Fallback => "fallback",
            Self::Timeout => "timeout",
            Self::Late => "late",
            Self::Panic => "panic",
            Self::Disconnect => "disconnect",
            Self::Drain => "drain",
            Self::Error => "error",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl Attempts {
    /// Begins an attempt and tells its index. One that failed before it is now booked as retried, unless its cause
    /// is known better.
    pub fn start(&mut self) -> u8 {
        if let Some(Some((End::Failed, cause @ None))) = self.ends.last_mut() {
            *cause = Some(Cause::Retry);
        }
        self.ends.push(None);
        (self.ends.len() - 1) as u8
    }

    /// Ends an attempt. The first end counts.
    pub fn end(&mut self, attempt: u8, how: End) {
        let Some(end) = self.ends.get_mut(usize::from(attempt)) else { return };
        debug_assert!(end.is_none(), "an attempt ends once");
        if end.is_none() {
            let cause = (how == End::Lost).then_some(Cause::Late);
            *end = Some((how, cause));
        }
    }

    /// Books why the last attempt that ended was not the answer.
    pub fn cause_of_last(&mut self, because: Cause) {
        if let Some((End::Failed | End::Lost, cause)) = self.ends.iter_mut().rev().flatten().next() {
            *cause = Some(because);
        }
    }

    /// Gives up what is under way; tells which attempts that were.
    pub fn cancel_open(&mut self, because: Cause) -> impl Iterator<Item = usize> + '_ {
        self.ends.iter_mut().enumerate().filter(|(_, end)| end.is_none()).map(move |(nth, end)| {
            *end = Some((End::Cancelled, Some(because)));
            nth
        })
    }

    /// Gives up all that ran beside `winner`, which is to be the answer; tells which attempts were still under way.
    pub fn beaten_by(&mut self, winner: u8) -> impl Iterator<Item = usize> + '_ {
        let others = self.ends.iter_mut().enumerate().filter(move |(nth, _)| *nth != usize::from(winner));
        others.filter_map(|(nth, end)| match end {
            Some((End::Failed | End::Lost, cause @ None)) => {
                *cause = Some(Cause::Hedge);
                None
            }
            Some(_) => None,
            none => {
                *none = Some((End::Cancelled, Some(Cause::Hedge)));
                Some(nth)
            }
        })
    }

    /// Ends an attempt whose response was given up for a better one.
    pub fn lose(&mut self, attempt: u8, because: Cause) {
        if let Some(end @ None) = self.ends.get_mut(usize::from(attempt)) {
            *end = Some((End::Lost, Some(because)));
        }
    }

    /// At the request's end: every attempt's end and, unless it is the answer, its cause. What is still under way is
    /// cancelled `because` the request ended without it.
    pub fn settle(&self, because: Cause) -> impl Iterator<Item = (End, Option<Cause>)> + '_ {
        self.ends.iter().map(move |end| match *end {
            None => (End::Cancelled, Some(because)),
            Some((End::Committed, _)) => (End::Committed, None),
            Some((how, cause)) => (how, Some(cause.unwrap_or(Cause::Error))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_has_one_end_and_every_loser_a_cause() {
        let mut attempts = Attempts::default();
        let first = attempts.start();
        attempts.end(first, End::Failed);
        let second = attempts.start();
        attempts.end(second, End::Failed);
        attempts.cause_of_last(Cause::Fallback);
        let third = attempts.start();
        attempts.end(third, End::Committed);
        assert_eq!(
            attempts.settle(Cause::Disconnect).collect::<Vec<_>>(),
            [(End::Failed, Some(Cause::Retry)), (End::Failed, Some(Cause::Fallback)), (End::Committed, None)]
        );
    }

    #[test]
    fn an_attempt_under_way_is_cancelled_by_the_requests_end() {
        let mut attempts = Attempts::default();
        attempts.start();
        assert_eq!(attempts.settle(Cause::Timeout).collect::<Vec<_>>(), [(End::Cancelled, Some(Cause::Timeout))]);
        assert_eq!(attempts.settle(Cause::Timeout).count(), 1);
    }

    #[test]
    fn what_is_withdrawn_is_cancelled_for_that_and_another_may_follow() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.cancel_open(Cause::Withdrawn).count(), 0, "there is none");
        attempts.start();
        assert_eq!(attempts.cancel_open(Cause::Withdrawn).collect::<Vec<_>>(), [0]);
        assert_eq!(attempts.cancel_open(Cause::Timeout).count(), 0, "it has ended");
        let second = attempts.start();
        attempts.end(second, End::Committed);
        assert_eq!(
            attempts.settle(Cause::Disconnect).collect::<Vec<_>>(),
            [(End::Cancelled, Some(Cause::Withdrawn)), (End::Committed, None)]
        );
    }

    #[test]
    fn who_loses_a_race_is_booked_for_the_race() {
        let mut attempts = Attempts::default();
        let failed = attempts.start();
        let beaten = attempts.start();
        attempts.end(failed, End::Failed);
        let winner = attempts.start();
        let (answered, under_way) = (attempts.start(), attempts.start());
        attempts.lose(answered, Cause::Hedge);
        assert_eq!(attempts.beaten_by(winner).collect::<Vec<_>>(), [usize::from(beaten), usize::from(under_way)]);
        attempts.end(winner, End::Committed);
        assert_eq!(
            attempts.settle(Cause::Timeout).collect::<Vec<_>>(),
            [
                (End::Failed, Some(Cause::Hedge)),
                (End::Cancelled, Some(Cause::Hedge)),
                (End::Committed, None),
                (End::Lost, Some(Cause::Hedge)),
                (End::Cancelled, Some(Cause::Hedge)),
            ]
        );
    }

    #[test]
    fn the_last_failure_is_an_error_of_its_own() {
        let mut attempts = Attempts::default();
        let only = attempts.start();
        attempts.end(only, End::Failed);
        assert_eq!(attempts.settle(Cause::Disconnect).collect::<Vec<_>>(), [(End::Failed, Some(Cause::Error))]);
    }
}
