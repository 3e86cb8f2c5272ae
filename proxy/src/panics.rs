//! What is kept of a panic in a request's task: a bounded pool of snapshots, filled without a lock.
//!
//! The hook takes the stack unresolved, since a first resolution reads the debug information for some 100 ms; the
//! control plane resolves it when it [takes](PanicPool::next) the snapshot, off the workers. What was taken stays
//! readable for a while, as [reports](PanicPool::recent).

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crossbeam_queue::ArrayQueue;
use serde::Serialize;
use tokio::sync::Notify;

/// Snapshots kept until they are taken; the oldest goes first.
const KEPT: usize = 64;

/// Reports kept of those that were taken.
const REPORTS: usize = 16;

thread_local! {
    static LAST: Cell<Option<Raised>> = const { Cell::new(None) };
    static IN_REQUEST: Cell<bool> = const { Cell::new(false) };
}

/// A panic as the hook saw it.
#[derive(Debug)]
struct Raised {
    message: String,
    place: String,
    stack: Backtrace,
}

/// One panic and the request it hit.
#[derive(Debug)]
pub struct PanicSnapshot {
    /// When.
    pub at: SystemTime,
    /// What the panic said.
    pub message: String,
    /// `file:line:column`.
    pub place: String,
    /// Method, target and version.
    pub request_line: String,
    /// The rollout decision, if it was taken.
    pub decision: Option<PanickedDecision>,
    /// Attempts begun.
    pub attempts: Vec<PanickedAttempt>,
    /// The request's trace id, 32 hex digits.
    pub trace_id: String,
    /// The id of our SERVER span, 16 hex digits.
    pub span_id: String,
    /// The request's id, if it has one.
    pub request_id: Option<String>,
    /// The stack; showing it resolves its addresses.
    pub stack: Backtrace,
}

/// A decision for a request whose task then panicked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PanickedDecision {
    /// `stable`, `canary` or `control`.
    pub track: &'static str,
    /// The reason's code.
    pub reason: &'static str,
    /// The rollout that decided.
    pub rollout: Option<String>,
    /// Where the request was to go.
    pub backend: String,
}

/// An attempt of a request whose task then panicked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PanickedAttempt {
    /// The backend that was asked.
    pub backend: String,
    /// Its endpoint.
    pub endpoint: String,
    /// What it answered.
    pub status: Option<u16>,
    /// Why it brought no answer.
    pub error: Option<&'static str>,
}

/// A [`PanicSnapshot`] as plain data, its stack resolved: it is the JSON that users see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PanicReport {
    /// When, in milliseconds of Unix time.
    pub unix_millis: u64,
    /// What the panic said.
    pub message: String,
    /// `file:line:column`.
    pub place: String,
    /// Method, target and version.
    pub request_line: String,
    /// The rollout decision, if it was taken.
    pub decision: Option<PanickedDecision>,
    /// Attempts begun.
    pub attempts: Vec<PanickedAttempt>,
    /// The request's trace id, 32 hex digits.
    pub trace_id: String,
    /// The id of our SERVER span, 16 hex digits.
    pub span_id: String,
    /// The request's id, if it has one.
    pub request_id: Option<String>,
    /// The stack.
    pub backtrace: String,
}

/// The last panics of all workers.
#[derive(Debug)]
pub struct PanicPool {
    kept: ArrayQueue<PanicSnapshot>,
    displaced: AtomicU64,
    arrived: Notify,
    reports: Mutex<VecDeque<PanicReport>>,
}

/// What is known of the request that panicked.
#[derive(Debug)]
pub(crate) struct PanickedRequest {
    pub(crate) request_line: String,
    pub(crate) decision: Option<PanickedDecision>,
    pub(crate) attempts: Vec<PanickedAttempt>,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) request_id: Option<String>,
}

/// Has panics inside [`catch`] kept instead of printed; all others go to the usual hook.
pub fn install_hook() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !IN_REQUEST.get() {
            return usual(info);
        }
        LAST.set(Some(Raised {
            message: info.payload_as_str().unwrap_or("a panic without a text").to_owned(),
            place: info.location().map(ToString::to_string).unwrap_or_default(),
            stack: Backtrace::force_capture(),
        }));
    }));
}

/// Does a piece of a request's work; `None` if it panicked.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    IN_REQUEST.set(true);
    // What the work left half-done is the request's own, and dropped with it.
    let done = std::panic::catch_unwind(AssertUnwindSafe(work));
    IN_REQUEST.set(false);
    done.ok()
}

impl PanicSnapshot {
    /// Tells all of it, which resolves the stack: not for a worker's thread.
    pub fn log(&self) {
        tracing::error!(
            panic = self.message,
            place = self.place,
            request = self.request_line,
            decision = self.decision.as_ref().map(|decision| decision.reason),
            attempts = self.attempts.len(),
            trace_id = self.trace_id,
            "a request's task panicked, it was answered 500:\n{}",
            self.stack
        );
    }

    fn report(&self) -> PanicReport {
        let since = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        PanicReport {
            unix_millis: since.as_millis() as u64,
            message: self.message.clone(),
            place: self.place.clone(),
            request_line: self.request_line.clone(),
            decision: self.decision.clone(),
            attempts: self.attempts.clone(),
            trace_id: self.trace_id.clone(),
            span_id: self.span_id.clone(),
            request_id: self.request_id.clone(),
            backtrace: self.stack.to_string(),
        }
    }
}

impl Default for PanicPool {
    fn default() -> Self {
        Self {
            kept: ArrayQueue::new(KEPT),
            displaced: AtomicU64::new(0),
            arrived: Notify::new(),
            reports: Mutex::default(),
        }
    }
}

impl PanicPool {
    /// Keeps this thread's last panic as that of `request`.
    pub(crate) fn keep(&self, request: PanickedRequest) {
        let Some(raised) = LAST.take() else { return };
        let snapshot = PanicSnapshot {
            at: SystemTime::now(),
            message: raised.message,
            place: raised.place,
            request_line: request.request_line,
            decision: request.decision,
            attempts: request.attempts,
            trace_id: request.trace_id,
            span_id: request.span_id,
            request_id: request.request_id,
            stack: raised.stack,
        };
        if self.kept.force_push(snapshot).is_some() {
            // Relaxed: a statistic.
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
        self.arrived.notify_one();
    }

    /// Takes the oldest panic that is kept, once there is one, and reports it. Resolves its stack, which takes its time:
    /// not for a worker's thread.
    pub async fn next(&self) -> PanicSnapshot {
        loop {
            if let Some(snapshot) = self.kept.pop() {
                self.remember(snapshot.report());
                return snapshot;
            }
            self.arrived.notified().await;
        }
    }

    fn remember(&self, report: PanicReport) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if reports.len() == REPORTS {
            reports.pop_front();
        }
        reports.push_back(report);
    }

    /// The last panics that were [taken](Self::next), newest first.
    #[must_use]
    pub fn recent(&self) -> Vec<PanicReport> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    /// Snapshots that newer ones displaced.
    #[must_use]
    pub fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    fn panicked(line: usize) -> PanickedRequest {
        PanickedRequest {
            request_line: format!("GET /{line} HTTP/1.1"),
            decision: None,
            attempts: Vec::new(),
            trace_id: String::new(),
            span_id: String::new(),
            request_id: None,
        }
    }

    #[test]
    fn the_last_sixteen_that_were_taken_stay_readable_newest_first() {
        install_hook();
        let pool = PanicPool::default();
        let runtime = Builder::new_current_thread().build().unwrap();
        for line in 0..=REPORTS {
            assert!(catch(|| panic!("planted")).is_none());
            pool.keep(panicked(line));
            assert_eq!(pool.recent().len(), line.min(REPORTS), "not before it is taken");
            runtime.block_on(pool.next());
        }
        let lines: Vec<_> = pool.recent().into_iter().map(|report| report.request_line).collect();
        let expected: Vec<_> = (1..=REPORTS).rev().map(|line| format!("GET /{line} HTTP/1.1")).collect();
        assert_eq!(lines, expected);
        assert!(pool.recent()[0].backtrace.contains("panics::tests"), "the stack is text");
    }
}
