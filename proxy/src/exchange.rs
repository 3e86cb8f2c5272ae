//! One request and its answer: what is shared by those who work on it, and what is told of it at its end.
//!
//! Made by the outermost layer, held by the attempts and the bodies, finished exactly once: when the response body
//! ended, broke, or nobody is left to send it to.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use http::{HeaderValue, Method, Response, StatusCode, Uri, Version};
use patchgate_config::routes::RouteId;
use patchgate_config::snapshot::{BackendId, ServiceId};
use tokio::time::Instant;

use crate::balance::Turn;
use crate::circuit::Admission;
use crate::commit::ledger::Attempts;
use crate::commit::{CommitGuard, CommitPermit, Committed, Contender};
use crate::connection::Connection;
use crate::deadline::Deadline;
use crate::error::ProxyError;
use crate::grpc;
use crate::rollout::Decision;
use crate::trust::{Flags, SpanId, TraceId, TraceParent};
use crate::upstream::Lease;
use crate::withdraw::Place;
use crate::worker::{Worker, WorkerSnapshot};

/// A request in progress.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) connection: Rc<Connection>,
    pub(crate) snapshot: Rc<WorkerSnapshot>,
    pub(crate) guard: CommitGuard,
    pub(crate) deadline: Deadline,
    pub(crate) started: Instant,
    /// When the whole request must have ended.
    pub(crate) total_at: Cell<Instant>,
    pub(crate) upload: Upload,
    pub(crate) download: Download,
    pub(crate) facts: RefCell<Facts>,
    /// Its turn at an endpoint of several.
    pub(crate) turn: RefCell<Option<Turn>>,
    /// Its place at a backend that has bounds.
    pub(crate) admission: RefCell<Option<Admission>>,
    /// Its place among the canary requests in flight, while it is with a hot-fix backend.
    pub(crate) canary: RefCell<Option<Place>>,
    /// The patch that it is with was withdrawn before it was answered.
    pub(crate) withdrawn: Cell<bool>,
    finished: Cell<bool>,
}

/// How a request's body stands.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    /// It has one, and not all of it went upstream.
    pub(crate) pending: Cell<bool>,
    /// The client's side failed or stalled.
    pub(crate) broken: Cell<bool>,
    /// Bytes of a tunnel went upstream since somebody looked.
    pub(crate) tunnelled: Cell<bool>,
}

/// How a backend's response body stands.
#[derive(Debug, Default)]
pub(crate) struct Download {
    /// The backend's connection while the body comes; whoever gives up on the body takes it.
    pub(crate) lease: RefCell<Option<Lease>>,
    /// Pieces handed on.
    pub(crate) pieces: Cell<u64>,
    /// The backend's turn: the client took all there was.
    pub(crate) waits_for_backend: Cell<bool>,
}

/// What has been found out, for whoever reports it.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    /// The one authority the request is for, which routes and backends both go by.
    pub(crate) authority: Option<HeaderValue>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) route: Option<RouteId>,
    pub(crate) service: Option<ServiceId>,
    pub(crate) decision: Option<Decision>,
    pub(crate) trace: Trace,
    /// The backend that served, which a fallback makes another than the decision's.
    pub(crate) served_by: Option<BackendId>,
    pub(crate) request_id: Option<HeaderValue>,
    pub(crate) response_mark: Option<ResponseMark>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) error: Option<ProxyError>,
    /// It is a call of gRPC.
    pub(crate) grpc: bool,
    /// How that ended.
    pub(crate) grpc_status: Option<u8>,
    pub(crate) attempts: Attempts,
    /// Mostly one.
    pub(crate) sent: smallvec::SmallVec<[Sent; 1]>,
}

/// One attempt as the span tells it; times are since the request's start.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) span: SpanId,
    pub(crate) backend: BackendId,
    pub(crate) endpoint: std::net::SocketAddr,
    pub(crate) started: Instant,
    pub(crate) headers_at: Option<Instant>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) error: Option<&'static str>,
}

/// The trace context that goes on from here.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    /// Our SERVER span.
    pub(crate) span: SpanId,
    pub(crate) flags: Flags,
    pub(crate) parent: Option<TraceParent>,
    /// An untrusted caller's context.
    pub(crate) link: Option<TraceParent>,
    /// `tracestate` as backends get it.
    pub(crate) state: Option<HeaderValue>,
    /// Whether the request was sampled for its track rather than by its parent or by chance.
    pub(crate) raised: bool,
}

/// A mark that a backend answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResponseMark {
    pub(crate) group: String,
    pub(crate) version: String,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The whole response was handed on.
    Complete,
    /// The backend's body broke off, or was broken off with its patch withdrawn; the client was made to see it.
    Broken,
    /// The response body took too long; the client was made to see it.
    TimedOut,
    /// The client left.
    ClientGone,
}

/// What a withdrawal found of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Withdrawn {
    /// It had no answer.
    Unanswered,
    /// Its response body was under way.
    Broken,
    /// It needs nothing.
    Ended,
}

impl Finish {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Broken => "broken",
            Self::TimedOut => "timed_out",
            Self::ClientGone => "client_gone",
        }
    }
}

// === impl Exchange ===

impl Exchange {
    pub(crate) fn begin(connection: Rc<Connection>, head: &http::request::Parts) -> Rc<Self> {
        let worker = &connection.worker;
        let started = Instant::now();
        let trace = Trace {
            id: worker.new_trace_id(),
            span: worker.new_span_id(),
            flags: Flags::default(),
            parent: None,
            link: None,
            state: None,
            raised: false,
        };
        let facts = Facts {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            authority: None,
            user_agent: None,
            route: None,
            service: None,
            decision: None,
            trace,
            served_by: None,
            request_id: None,
            response_mark: None,
            status: None,
            error: None,
            grpc: head.version == Version::HTTP_2 && grpc::is_grpc(&head.headers),
            grpc_status: None,
            attempts: Attempts::default(),
            sent: smallvec::SmallVec::new(),
        };
        let traffic = &connection.traffic;
        traffic.in_flight.set(traffic.in_flight.get() + 1);
        Rc::new(Self {
            snapshot: worker.snapshot(),
            guard: CommitGuard::new(),
            deadline: worker.deadlines.enter(),
            started,
            total_at: Cell::new(started),
            upload: Upload::default(),
            download: Download::default(),
            facts: RefCell::new(facts),
            turn: RefCell::new(None),
            admission: RefCell::new(None),
            canary: RefCell::new(None),
            withdrawn: Cell::new(false),
            finished: Cell::new(false),
            connection,
        })
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.connection.worker
    }

    /// The trace context of a child of our SERVER span's trace.
    pub(crate) fn trace_parent(&self, span: SpanId) -> TraceParent {
        let facts = self.facts.borrow();
        TraceParent { trace_id: facts.trace.id, parent_id: span, flags: facts.trace.flags }
    }

    /// Spends a permit of this request on its answer, and counts that: the other side of
    /// [`finish`](Self::finish), which counts the request's end.
    pub(crate) fn answer<B>(&self, permit: CommitPermit<'_>, response: Response<B>) -> Committed<B> {
        self.worker().telemetry.committed(permit.winner());
        permit.answer(response)
    }

    /// Ends the request: the first call counts, later ones do nothing.
    pub(crate) fn finish(&self, finish: Finish) {
        if self.finished.replace(true) {
            return;
        }
        if finish == Finish::ClientGone && self.guard.client_gone() {
            self.worker().telemetry.committed(Contender::ClientGone);
        }
        let traffic = &self.connection.traffic;
        traffic.in_flight.set(traffic.in_flight.get() - 1);
        self.worker().telemetry.finish(self, finish);
        self.turn.take();
        self.admission.take();
        self.canary.take();
    }

    /// Ends the request because its patch is withdrawn: one without an answer by whoever works on it, one whose body
    /// is under way here, so that its client sees it break off.
    pub(crate) fn withdraw(&self) -> Withdrawn {
        match self.guard.winner() {
            _ if self.finished.get() => Withdrawn::Ended,
            None => {
                self.withdrawn.set(true);
                self.deadline.pass();
                Withdrawn::Unanswered
            }
            Some(Contender::Attempt(attempt)) => {
                self.download.lease.take();
                if let Some(sent) = self.facts.borrow_mut().sent.get_mut(usize::from(attempt)) {
                    sent.error = Some(ProxyError::Withdrawn.code());
                }
                self.worker().telemetry.withdrawn("broken");
                self.finish(Finish::Broken);
                // The body looks after its connection, and finds it taken.
                self.deadline.pass();
                Withdrawn::Broken
            }
            // An answer of our own is not the patch's.
            Some(_) => Withdrawn::Ended,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Whoever held it was dropped with the connection: nobody is there to be answered.
        self.finish(Finish::ClientGone);
    }
}
