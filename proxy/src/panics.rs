//! What is kept of a panic in a request's task: a bounded pool of snapshots, filled without a lock.
//!
//! The hook takes the stack unresolved, since a first resolution reads the debug information for some 100 ms; the
//! control plane resolves it when it [logs](PanicSnapshot::log) the snapshot, off the workers.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crossbeam_queue::ArrayQueue;
use tokio::sync::Notify;

/// Snapshots kept; the oldest goes first.
const KEPT: usize = 64;

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
    /// The rollout decision's reason, if it was taken.
    pub decision: Option<&'static str>,
    /// Attempts begun.
    pub attempts: usize,
    /// The request's trace id, 32 hex digits.
    pub trace_id: String,
    /// The stack; showing it resolves its addresses.
    pub stack: Backtrace,
}

/// The last panics of all workers.
#[derive(Debug)]
pub struct PanicPool {
    kept: ArrayQueue<PanicSnapshot>,
    displaced: AtomicU64,
    arrived: Notify,
}

/// What is known of the request that panicked.
#[derive(Debug)]
pub(crate) struct PanickedRequest {
    pub(crate) request_line: String,
    pub(crate) decision: Option<&'static str>,
    pub(crate) attempts: usize,
    pub(crate) trace_id: String,
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
            decision = self.decision,
            attempts = self.attempts,
            trace_id = self.trace_id,
            "a request's task panicked, it was answered 500:\n{}",
            self.stack
        );
    }
}

impl Default for PanicPool {
    fn default() -> Self {
        Self { kept: ArrayQueue::new(KEPT), displaced: AtomicU64::new(0), arrived: Notify::new() }
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
            stack: raised.stack,
        };
        if self.kept.force_push(snapshot).is_some() {
            // Relaxed: a statistic.
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
        self.arrived.notify_one();
    }

    /// The oldest panic that is kept, once there is one.
    pub async fn next(&self) -> PanicSnapshot {
        loop {
            if let Some(snapshot) = self.kept.pop() {
                return snapshot;
            }
            self.arrived.notified().await;
        }
    }

    /// Snapshots that newer ones displaced.
    #[must_use]
    pub fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }
}
