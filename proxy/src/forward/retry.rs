//! Whether a request is sent again, and when: pure, but for the balance of a budget.

use std::cell::Cell;
use std::time::Duration;

use http::{Method, StatusCode};
use patchgate_config::snapshot::{Retry, RetryOn};
use tokio::time::Instant;

/// What a budget has at first: a service that was quiet may retry at once.
const RESERVE: f64 = 3.0;

/// The most that it saves up.
const MOST: f64 = 100.0;

/// So often a retry is let through whatever the balance: of a quiet service each request counts.
const FLOOR: Duration = Duration::from_secs(1);

/// Retries of a service as a share of its requests, on one worker: each request brings a part of a retry, and a retry
/// takes a whole one. A backend that fails entirely gets so much more load, and no more.
#[derive(Debug)]
pub(crate) struct Budget {
    balance: Cell<f64>,
    /// Whether something is let through now and then whatever the balance.
    has_floor: bool,
    floor_used: Cell<Option<Instant>>,
}

/// What became of an attempt that may be followed by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No endpoint took a connection: nothing was sent.
    Connect,
    /// The backend refused the stream, or took no more: it did nothing about the request.
    Refused,
    /// The connection ended before the response's head.
    Reset,
    /// The response has this status.
    Status(StatusCode),
}

/// What of a request decides whether it may be sent again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    /// It has an `Idempotency-Key`: its backend recognises it.
    pub(super) keyed: bool,
    /// It has a body, of which something was sent and is not kept.
    pub(super) body_is_lost: bool,
}

/// Why a request is not sent again although the policy asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was sent as often as it may be.
    Attempts,
    /// A backend may have acted on it, and its method is not one that is retried.
    Method,
    /// Its body is gone.
    Body,
    /// The service has had its share of retries.
    Budget,
}

impl Default for Budget {
    fn default() -> Self {
        Self { balance: Cell::new(RESERVE), has_floor: true, floor_used: Cell::new(None) }
    }
}

impl Budget {
    /// One that is never exceeded.
    pub(super) fn strict() -> Self {
        Self { balance: Cell::new(0.0), has_floor: false, floor_used: Cell::new(None) }
    }

    /// A request brings its part.
    pub(super) fn deposit(&self, share: f64) {
        self.balance.set((self.balance.get() + share).min(MOST));
    }

    /// A retry takes its whole, if there is one.
    pub(super) fn withdraw(&self, now: Instant) -> bool {
        let left = self.balance.get() - 1.0;
        if left >= 0.0 {
            self.balance.set(left);
            return true;
        }
        let due = self.has_floor && self.floor_used.get().is_none_or(|used| now.duration_since(used) >= FLOOR);
        if due {
            self.floor_used.set(Some(now));
        }
        due
    }
}

impl Failure {
    /// The label in metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect_failure",
            Self::Refused => "refused_stream",
            Self::Reset => "reset",
            Self::Status(_) => "status",
        }
    }
}

impl Refusal {
    /// The label in metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Method => "method",
            Self::Body => "body",
            Self::Budget => "budget",
        }
    }
}

/// Whether the policy lets a request follow that was sent `tried` times; `None`: it does not ask for this failure.
pub(super) fn allows(policy: &Retry, failure: Failure, tried: u32, asked: Asked<'_>) -> Option<Result<(), Refusal>> {
    let is_meant = |on: &RetryOn| match (on, failure) {
        (RetryOn::ConnectFailure, Failure::Connect)
        | (RetryOn::RefusedStream, Failure::Refused)
        | (RetryOn::Reset, Failure::Reset) => true,
        (RetryOn::Status(meant), Failure::Status(status)) => *meant == status,
        _ => false,
    };
    if !policy.on.iter().any(is_meant) {
        return None;
    }
    let acted_on = !matches!(failure, Failure::Connect | Failure::Refused);
    Some(match () {
        () if tried >= policy.attempts => Err(Refusal::Attempts),
        () if acted_on && !asked.keyed && !policy.methods.contains(asked.method) => Err(Refusal::Method),
        () if failure != Failure::Connect && asked.body_is_lost => Err(Refusal::Body),
        () => Ok(()),
    })
}

/// The pause before a retry, the first being 1: a random part of a time that doubles, so that those who failed together
/// do not come back together. `random` is any number.
pub(super) fn pause(policy: &Retry, retry: u32, random: u64) -> Duration {
    let most = policy.backoff.saturating_mul(1 << retry.saturating_sub(1).min(16)).min(policy.backoff_max);
    most.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Asked<'_> = Asked { method: &Method::GET, keyed: false, body_is_lost: false };

    fn policy(on: &[RetryOn]) -> Retry {
        Retry {
            attempts: 3,
            budget: 0.2,
            on: on.to_vec(),
            methods: vec![Method::GET],
            backoff: Duration::from_millis(10),
            backoff_max: Duration::from_millis(70),
        }
    }

    #[test]
    fn only_what_the_policy_names_is_retried_and_as_often_as_it_says() {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let policy = policy(&[RetryOn::Reset, RetryOn::Status(unavailable)]);
        assert_eq!(allows(&policy, Failure::Reset, 1, GET), Some(Ok(())));
        assert_eq!(allows(&policy, Failure::Status(unavailable), 2, GET), Some(Ok(())));
        assert_eq!(allows(&policy, Failure::Status(unavailable), 3, GET), Some(Err(Refusal::Attempts)));
        assert_eq!(allows(&policy, Failure::Status(StatusCode::BAD_GATEWAY), 1, GET), None);
        assert_eq!(allows(&policy, Failure::Connect, 1, GET), None);
    }

    #[test]
    fn what_a_backend_may_have_acted_on_is_sent_again_only_if_that_does_no_harm() {
        let policy = policy(&[RetryOn::ConnectFailure, RetryOn::Reset]);
        let post = Asked { method: &Method::POST, ..GET };
        assert_eq!(allows(&policy, Failure::Reset, 1, post), Some(Err(Refusal::Method)));
        assert_eq!(allows(&policy, Failure::Reset, 1, Asked { keyed: true, ..post }), Some(Ok(())));
        let with_body = Asked { keyed: true, body_is_lost: true, ..post };
        assert_eq!(allows(&policy, Failure::Reset, 1, with_body), Some(Err(Refusal::Body)));
        assert_eq!(allows(&policy, Failure::Connect, 1, with_body), Some(Ok(())), "nothing was sent");
    }

    #[test]
    fn what_a_backend_refused_is_sent_again_whatever_its_method_if_its_body_is_there() {
        let policy = policy(&[RetryOn::RefusedStream]);
        let post = Asked { method: &Method::POST, ..GET };
        assert_eq!(allows(&policy, Failure::Refused, 1, post), Some(Ok(())));
        let lost = Asked { body_is_lost: true, ..post };
        assert_eq!(allows(&policy, Failure::Refused, 1, lost), Some(Err(Refusal::Body)));
        assert_eq!(allows(&policy, Failure::Reset, 1, GET), None);
    }

    #[test]
    fn a_budget_lets_its_share_through_and_one_a_second_at_least() {
        let (budget, now) = (Budget::default(), Instant::now());
        let through = (0..1_000).filter(|_| {
            budget.deposit(0.2);
            budget.withdraw(now)
        });
        let through = through.count();
        assert!((200..=204).contains(&through), "{through}: a fifth, the reserve, and the floor once");
        assert!(!budget.withdraw(now + Duration::from_millis(999)));
        assert!(budget.withdraw(now + FLOOR));
        assert!(!budget.withdraw(now + FLOOR));
        for _ in 0..10_000 {
            budget.deposit(1.0);
        }
        assert_eq!((0..1_000).filter(|_| budget.withdraw(now + FLOOR)).count(), MOST as usize);
    }

    #[test]
    fn a_strict_budget_lets_its_share_through_and_nothing_besides() {
        let (budget, now) = (Budget::strict(), Instant::now());
        assert!(!budget.withdraw(now));
        let through = (0..1_000).filter(|_| {
            budget.deposit(0.05);
            budget.withdraw(now)
        });
        let through = through.count();
        assert!((49..=50).contains(&through), "{through}");
    }

    #[test]
    fn pauses_double_up_to_the_most_and_are_spread() {
        let policy = policy(&[]);
        let longest: Vec<_> = [1, 2, 3, 4, 40].map(|retry| pause(&policy, retry, u64::MAX).as_millis()).into();
        assert_eq!(longest, [10, 20, 40, 70, 70]);
        assert_eq!(pause(&policy, 4, 0), Duration::ZERO);
        assert_eq!(pause(&policy, 2, u64::MAX / 2).as_millis(), 10);
    }
}
