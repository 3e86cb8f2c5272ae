//! Deadlines of a worker's requests, without a timer operation a request.
//!
//! A request keeps one slot here for its whole life and moves its deadline as it goes from phase to phase. One task a
//! worker sleeps until the earliest deadline it has seen, then looks at all slots at once. Deadlines lie seconds
//! ahead and requests end in milliseconds, so that look is rare, and what a request pays is one slab insert and one
//! removal instead of two operations on a timer wheel.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Between two looks at all slots at least this much passes, so that many staggered deadlines cost few looks.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(5);

/// All deadlines of one worker.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    slots: RefCell<Slab<Slot>>,
    next_look: Cell<Option<Instant>>,
    sooner: Notify,
}

#[derive(Debug)]
struct Slot {
    at: Option<Instant>,
    passed: bool,
    waker: Option<Waker>,
}

/// One request's place among the [`Deadlines`]; leaving is dropping it.
#[derive(Debug)]
pub(crate) struct Deadline {
    deadlines: Rc<Deadlines>,
    key: usize,
}

// === impl Deadlines ===

impl Deadlines {
    /// A place without a deadline yet.
    #[must_use]
    pub(crate) fn enter(self: &Rc<Self>) -> Deadline {
        let key = self.slots.borrow_mut().insert(Slot { at: None, passed: false, waker: None });
        Deadline { deadlines: Rc::clone(self), key }
    }

    /// Wakes those whose deadline passed, for ever. One task a worker.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            match self.next_look.get() {
                None => self.sooner.notified().await,
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(at) => self.look(Instant::now()),
                        () = self.sooner.notified() => {}
                    }
                }
            }
        }
    }

    fn look(&self, now: Instant) {
        let mut earliest: Option<Instant> = None;
        for (_, slot) in self.slots.borrow_mut().iter_mut() {
            let Some(at) = slot.at else { continue };
            if at <= now {
                slot.pass();
            } else if earliest.is_none_or(|earliest| at < earliest) {
                earliest = Some(at);
            }
        }
        self.next_look.set(earliest.map(|at| at.max(now + LOOK_AT_MOST_EVERY)));
    }

    /// How many places are held.
    #[cfg(feature = "simulation")]
    pub(crate) fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Has every deadline pass now.
    pub(crate) fn pass_all(&self) {
        for (_, slot) in self.slots.borrow_mut().iter_mut() {
            slot.pass();
        }
    }

    fn look_by(&self, at: Instant) {
        if self.next_look.get().is_none_or(|next| at < next) {
            self.next_look.set(Some(at));
            self.sooner.notify_one();
        }
    }
}

impl Slot {
    fn pass(&mut self) {
        self.at = None;
        self.passed = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

// === impl Deadline ===

impl Deadline {
    /// Has the deadline pass now.
    pub(crate) fn pass(&self) {
        if let Some(slot) = self.deadlines.slots.borrow_mut().get_mut(self.key) {
            slot.pass();
        }
    }

    /// Replaces the deadline.
    pub(crate) fn set(&self, at: Instant) {
        if let Some(slot) = self.deadlines.slots.borrow_mut().get_mut(self.key) {
            slot.at = Some(at);
            slot.passed = false;
        }
        self.deadlines.look_by(at);
    }

    /// Whether the deadline has passed, without being woken for it.
    pub(crate) fn has_passed(&self) -> bool {
        self.deadlines.slots.borrow().get(self.key).is_some_and(|slot| slot.passed)
    }

    /// Ready once the deadline has passed; stays so until the next [`set`](Self::set).
    pub(crate) fn poll_passed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut slots = self.deadlines.slots.borrow_mut();
        let Some(slot) = slots.get_mut(self.key) else { return Poll::Pending };
        if slot.passed {
            return Poll::Ready(());
        }
        match &mut slot.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.deadlines.slots.borrow_mut().try_remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// `work`'s output, or `None` if the deadline passes first.
    async fn race<F: Future>(deadline: &Deadline, work: F) -> Option<F::Output> {
        let mut work = std::pin::pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => deadline.poll_passed(cx).map(|()| None),
        })
        .await
    }

    async fn with_driver<F: AsyncFnOnce(Rc<Deadlines>)>(test: F) {
        let deadlines = Rc::new(Deadlines::default());
        tokio::select! {
            () = Rc::clone(&deadlines).run() => unreachable!("the driver never ends"),
            () = test(deadlines) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_in_time_is_returned() {
        with_driver(async |deadlines| {
            let deadline = deadlines.enter();
            deadline.set(Instant::now() + Duration::from_secs(1));
            assert_eq!(race(&deadline, async { 7 }).await, Some(7));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_passed_deadline_ends_the_race() {
        with_driver(async |deadlines| {
            let start = Instant::now();
            let deadline = deadlines.enter();
            deadline.set(start + Duration::from_secs(3));
            assert_eq!(race(&deadline, std::future::pending::<()>()).await, None);
            assert_eq!(start.elapsed().as_secs(), 3);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_sooner_deadline_is_seen_although_the_driver_sleeps_for_a_later_one() {
        with_driver(async |deadlines| {
            let start = Instant::now();
            let late = deadlines.enter();
            late.set(start + Duration::from_secs(60));
            tokio::task::yield_now().await;
            let soon = deadlines.enter();
            soon.set(start + Duration::from_secs(1));
            assert_eq!(race(&soon, std::future::pending::<()>()).await, None);
            assert_eq!(start.elapsed().as_secs(), 1);
            assert_eq!(race(&late, std::future::pending::<()>()).await, None);
            assert_eq!(start.elapsed().as_secs(), 60);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moved_away_does_not_fire() {
        with_driver(async |deadlines| {
            let start = Instant::now();
            let deadline = deadlines.enter();
            deadline.set(start + Duration::from_secs(1));
            let work = async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                deadline.set(start + Duration::from_secs(10));
                tokio::time::sleep(Duration::from_secs(5)).await;
            };
            assert_eq!(race(&deadline, work).await, Some(()));
        })
        .await;
    }

    #[test]
    fn a_dropped_place_is_free_again() {
        let deadlines = Rc::new(Deadlines::default());
        drop(deadlines.enter());
        assert!(deadlines.slots.borrow().is_empty());
    }
}
