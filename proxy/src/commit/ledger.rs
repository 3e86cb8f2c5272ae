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
    pub const ALL: [Self; 9] = [
        Self::Retry,
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

    /// Books why the last attempt was not the answer.
    pub fn cause_of_last(&mut self, because: Cause) {
        if let Some(Some((End::Failed | End::Lost, cause))) = self.ends.last_mut() {
            *cause = Some(because);
        }
    }

    /// Gives up the attempt under way, if there is one.
    pub fn cancel_last(&mut self, because: Cause) -> bool {
        let Some(end @ None) = self.ends.last_mut() else { return false };
        *end = Some((End::Cancelled, Some(because)));
        true
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
        assert!(!attempts.cancel_last(Cause::Withdrawn), "there is none");
        attempts.start();
        assert!(attempts.cancel_last(Cause::Withdrawn));
        assert!(!attempts.cancel_last(Cause::Timeout), "it has ended");
        let second = attempts.start();
        attempts.end(second, End::Committed);
        assert_eq!(
            attempts.settle(Cause::Disconnect).collect::<Vec<_>>(),
            [(End::Cancelled, Some(Cause::Withdrawn)), (End::Committed, None)]
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
