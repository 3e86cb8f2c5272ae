//! Exactly one answer for each request.
//!
//! All who could answer (attempts, deadline, panic handler, drain, withdrawal, the client by leaving) race for one write-once
//! atomic. The winner gets a [`CommitPermit`] by value, the only thing that makes a [`Committed`] response, which is
//! the only thing the server side sends: a second answer does not compile in one task and loses across tasks.

pub mod ledger;
mod states;
mod sync;

use http::Response;

pub use states::Contender;
use states::{ABANDONED, OPEN};
use sync::{AtomicU8, Ordering};

/// Who answered one request. See [`states`](self) for its values.
#[derive(Debug)]
pub struct CommitGuard {
    state: AtomicU8,
}

/// The right to answer. Dropped unused it leaves the request abandoned, for
/// [`reclaim_abandoned`](CommitGuard::reclaim_abandoned).
#[derive(Debug)]
#[must_use = "dropping the permit abandons the request"]
pub struct CommitPermit<'guard> {
    guard: &'guard CommitGuard,
    winner: Contender,
    used: bool,
}

/// A response that won.
#[derive(Debug)]
#[must_use = "a committed response has to be sent"]
pub struct Committed<B> {
    response: Response<B>,
    winner: Contender,
}

/// Somebody else answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request was answered by another contender")]
pub struct Lost {
    /// Who; `None` if the winner gave up.
    pub to: Option<Contender>,
}

// === impl CommitGuard ===

impl CommitGuard {
    /// A request nobody has answered.
    #[must_use]
    pub fn new() -> Self {
        Self { state: AtomicU8::new(OPEN) }
    }

    /// Tries to become the one who answers.
    ///
    /// # Errors
    /// Another was first.
    pub fn try_commit(&self, who: Contender) -> Result<CommitPermit<'_>, Lost> {
        self.claim(OPEN, who)
            .map(|()| CommitPermit { guard: self, winner: who, used: false })
            .map_err(|state| Lost { to: Contender::decode(state) })
    }

    /// Records that nobody is left to be answered; false if somebody answered before.
    pub fn client_gone(&self) -> bool {
        let gone = Contender::ClientGone;
        self.claim(OPEN, gone).is_ok() || self.claim(ABANDONED, gone).is_ok()
    }

    /// Takes over an answer whose winner gave its permit up. Of several one gets it.
    pub fn reclaim_abandoned(&self) -> Option<CommitPermit<'_>> {
        let winner = Contender::Reclaimed;
        self.claim(ABANDONED, winner).ok().map(|()| CommitPermit { guard: self, winner, used: false })
    }

    /// Who answered; `None` while nobody has, or nobody any more.
    #[must_use]
    pub fn winner(&self) -> Option<Contender> {
        // ORDERING: Acquire pairs with the Release of the winner's exchange in `claim`: who sees the winner also sees
        // what it wrote before it won.
        Contender::decode(self.state.load(Ordering::Acquire))
    }

    fn claim(&self, from: u8, who: Contender) -> Result<(), u8> {
        // ORDERING: the one exchange that succeeds Releases what its contender wrote before, to `winner` and to the
        // failed exchanges, which Acquire it: a loser may go by what the winner did. Nothing orders two requests.
        self.state.compare_exchange(from, who.encode(), Ordering::AcqRel, Ordering::Acquire).map(drop)
    }
}

impl Default for CommitGuard {
    fn default() -> Self {
        Self::new()
    }
}

// === impl CommitPermit ===

impl CommitPermit<'_> {
    /// Whose it is.
    #[must_use]
    pub fn winner(&self) -> Contender {
        self.winner
    }

    /// Spends the permit on a response.
    pub fn answer<B>(mut self, response: Response<B>) -> Committed<B> {
        self.used = true;
        Committed { response, winner: self.winner }
    }
}

impl Drop for CommitPermit<'_> {
    fn drop(&mut self) {
        if !self.used {
            // ORDERING: Release pairs with the Acquire of `reclaim_abandoned`'s exchange: who takes over sees what the
            // winner did before it gave up. A plain store: only the permit's holder may write this state.
            self.guard.state.store(ABANDONED, Ordering::Release);
        }
    }
}

// === impl Committed ===

impl<B> Committed<B> {
    /// The response, to be sent.
    pub fn into_response(self) -> Response<B> {
        self.response
    }

    /// Who answered.
    pub fn winner(&self) -> Contender {
        self.winner
    }
}

#[cfg(all(test, not(patchgate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_first_wins_and_the_second_learns_to_whom_it_lost() {
        let guard = CommitGuard::new();
        assert_eq!(guard.winner(), None);
        let permit = guard.try_commit(Contender::Attempt(3)).unwrap();
        assert_eq!(guard.try_commit(Contender::Timeout).unwrap_err().to, Some(Contender::Attempt(3)));
        let committed = permit.answer(Response::new("answer"));
        assert_eq!(committed.winner(), Contender::Attempt(3));
        assert_eq!(committed.into_response().into_body(), "answer");
        assert_eq!(guard.winner(), Some(Contender::Attempt(3)));
    }

    #[test]
    fn a_client_that_left_is_not_answered() {
        let guard = CommitGuard::new();
        assert!(guard.client_gone());
        assert_eq!(guard.try_commit(Contender::Attempt(0)).unwrap_err().to, Some(Contender::ClientGone));
    }

    #[test]
    fn a_dropped_permit_is_reclaimed_by_one() {
        let guard = CommitGuard::new();
        drop(guard.try_commit(Contender::Attempt(0)).unwrap());
        assert_eq!(guard.winner(), None);
        assert!(guard.try_commit(Contender::Panic).is_err());
        let permit = guard.reclaim_abandoned().unwrap();
        assert!(guard.reclaim_abandoned().is_none());
        assert_eq!(permit.answer(Response::new(())).winner(), Contender::Reclaimed);
    }

    #[test]
    fn every_contender_survives_its_encoding() {
        let all = [
            Contender::Attempt(0),
            Contender::Attempt(198),
            Contender::Timeout,
            Contender::Local,
            Contender::Panic,
            Contender::Drain,
            Contender::ClientGone,
            Contender::Reclaimed,
            Contender::Withdrawn,
        ];
        for who in all {
            assert_eq!(Contender::decode(who.encode()), Some(who));
        }
    }
}
