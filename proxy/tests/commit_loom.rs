//! Every interleaving of those who could answer one request, as far as the C11 memory model lets them see each other.
//!
//! Built only for loom's atomics, which work nowhere else:
//! `RUSTFLAGS="--cfg patchgate_loom" LOOM_MAX_PREEMPTIONS=3 cargo test --release -p patchgate-proxy --test commit_loom`.

#![cfg(patchgate_loom)]

use http::Response;
use loom::cell::Cell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle};
use patchgate_proxy::commit::{CommitGuard, CommitPermit, Contender};

/// One request: its guard, and how often it was answered.
#[derive(Default)]
struct Request {
    guard: CommitGuard,
    answers: AtomicUsize,
}

impl Request {
    fn answer(&self, permit: CommitPermit<'_>) -> Contender {
        // Relaxed: counted by all, read after they are joined.
        self.answers.fetch_add(1, Ordering::Relaxed);
        permit.answer(Response::new(())).winner()
    }

    /// Answers as `who`, if nobody else does.
    fn contend(&self, who: Contender) -> Result<Contender, Option<Contender>> {
        self.guard.try_commit(who).map(|permit| self.answer(permit)).map_err(|lost| lost.to)
    }

    fn answered(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }
}

fn spawn<T: 'static>(request: &Arc<Request>, run: impl FnOnce(&Request) -> T + 'static) -> JoinHandle<T> {
    let request = Arc::clone(request);
    thread::spawn(move || run(&request))
}

/// All contend at once: one answers, and everyone knows which.
fn one_of(contenders: &'static [Contender]) {
    loom::model(move || {
        let request = Arc::new(Request::default());
        let (own, others) = contenders.split_first().expect("somebody contends");
        let others: Vec<_> = others.iter().map(|who| spawn(&request, |request| request.contend(*who))).collect();
        let mut outcomes = vec![request.contend(*own)];
        outcomes.extend(others.into_iter().map(|other| other.join().expect("no panic")));

        let winner = request.guard.winner().expect("somebody answered");
        assert_eq!(request.answered(), 1);
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        for (who, outcome) in contenders.iter().zip(outcomes) {
            assert_eq!(outcome, if *who == winner { Ok(winner) } else { Err(Some(winner)) });
        }
    });
}

#[test]
fn of_two_contenders_one_answers() {
    one_of(&[Contender::Attempt(0), Contender::Timeout]);
}

#[test]
fn of_three_contenders_one_answers() {
    one_of(&[Contender::Attempt(0), Contender::Attempt(1), Contender::Drain]);
}

#[test]
fn a_client_that_leaves_is_answered_before_or_not_at_all() {
    loom::model(|| {
        let request = Arc::new(Request::default());
        let attempt = spawn(&request, |request| request.contend(Contender::Attempt(0)));
        let left_first = request.guard.client_gone();
        let outcome = attempt.join().unwrap();
        if left_first {
            assert_eq!(outcome, Err(Some(Contender::ClientGone)));
        } else {
            assert_eq!(outcome, Ok(Contender::Attempt(0)));
        }
        assert_eq!(request.answered(), usize::from(!left_first));
        assert_eq!(request.guard.winner().is_some_and(|winner| winner == Contender::ClientGone), left_first);
    });
}

#[test]
fn an_answer_given_up_is_reclaimed_by_at_most_one_and_by_no_other_way() {
    loom::model(|| {
        let request = Arc::new(Request::default());
        let reclaim = |request: &Request| request.guard.reclaim_abandoned().map(|permit| request.answer(permit));
        // The request's task wins and gives up; two clean up after it, one of them tries to answer first.
        let cleaner = spawn(&request, reclaim);
        let rival = spawn(&request, move |request| {
            let tried = request.contend(Contender::Panic);
            (tried, reclaim(request))
        });
        let gave_up = request.guard.try_commit(Contender::Attempt(0)).map(drop).is_ok();
        let reclaimed = cleaner.join().unwrap();
        let (tried, rival_reclaimed) = rival.join().unwrap();

        let reclaims = usize::from(reclaimed.is_some()) + usize::from(rival_reclaimed.is_some());
        assert!(reclaims <= 1, "reclaimed twice");
        assert_eq!(tried.is_ok(), !gave_up, "what was given up is not open to a contender");
        if !gave_up {
            assert_eq!(tried, Ok(Contender::Panic));
            assert_eq!(reclaims, 0, "an answer in use is nobody's to reclaim");
        }
        // Whoever comes last finds it, so that no request ends without an answer.
        let last = usize::from(reclaim(&request).is_some());
        assert_eq!(last + reclaims, usize::from(gave_up));
        assert_eq!(request.answered(), 1);
    });
}

#[test]
fn an_answer_given_up_while_the_client_leaves_is_settled_by_one() {
    loom::model(|| {
        let request = Arc::new(Request::default());
        let permit_of = |request: &Request| request.guard.reclaim_abandoned().map(|permit| request.answer(permit));
        let cleaner = spawn(&request, permit_of);
        let client = spawn(&request, |request| request.guard.client_gone());
        let gave_up = request.guard.try_commit(Contender::Attempt(0)).map(drop).is_ok();
        let (reclaimed, left) = (cleaner.join().unwrap().is_some(), client.join().unwrap());

        assert!(!(reclaimed && left), "one is answered, or nobody is left");
        assert!(gave_up || left, "only the client can be before the attempt");
        // Who looks last settles what is still open.
        let last = permit_of(&request).is_some();
        assert_eq!(usize::from(reclaimed) + usize::from(left) + usize::from(last), 1);
        assert_eq!(request.guard.winner() == Some(Contender::ClientGone), left);
        assert_eq!(request.answered(), usize::from(!left));
    });
}

#[test]
fn a_loser_sees_what_the_winner_wrote_before_it_won() {
    loom::model(|| {
        let noted = Arc::new((CommitGuard::new(), Cell::new(0)));
        let winner = {
            let noted = Arc::clone(&noted);
            thread::spawn(move || {
                noted.1.set(7);
                noted.0.try_commit(Contender::Attempt(0)).map(|permit| permit.answer(Response::new(()))).is_ok()
            })
        };
        // Loom fails the model where the note is read without being ordered behind its writing.
        let lost = noted.0.try_commit(Contender::Timeout).map(|permit| permit.answer(Response::new(()))).is_err();
        if lost {
            assert_eq!(noted.1.get(), 7);
        }
        assert_eq!(winner.join().unwrap(), lost);
    });
}

#[test]
fn an_onlooker_who_sees_the_winner_sees_what_it_wrote() {
    loom::model(|| {
        let noted = Arc::new((CommitGuard::new(), Cell::new(0)));
        let winner = {
            let noted = Arc::clone(&noted);
            thread::spawn(move || {
                noted.1.set(7);
                noted.0.try_commit(Contender::Attempt(0)).map(|permit| permit.answer(Response::new(()))).is_ok()
            })
        };
        if noted.0.winner().is_some() {
            assert_eq!(noted.1.get(), 7);
        }
        assert!(winner.join().unwrap());
    });
}

#[test]
fn who_reclaims_sees_what_was_done_before_the_answer_was_given_up() {
    loom::model(|| {
        let noted = Arc::new((CommitGuard::new(), Cell::new(0)));
        let quitter = {
            let noted = Arc::clone(&noted);
            thread::spawn(move || {
                let permit = noted.0.try_commit(Contender::Attempt(0)).expect("nobody else contends");
                noted.1.set(7);
                drop(permit);
            })
        };
        let reclaimed = noted.0.reclaim_abandoned().map(|permit| permit.answer(Response::new(()))).is_some();
        if reclaimed {
            assert_eq!(noted.1.get(), 7);
        }
        quitter.join().unwrap();
        assert_eq!(noted.0.reclaim_abandoned().is_some(), !reclaimed);
    });
}
