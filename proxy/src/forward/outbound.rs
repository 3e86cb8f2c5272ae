//! A request as backends get it: rewritten once, written as often as attempts need it.

use bytes::Bytes;

use super::head::Head;
use super::headers::{Rewrite, rewrite_request};
use crate::body::UploadBody;
use crate::call::{Call, Decided};
use crate::trust::TraceParent;
use crate::upstream::{Framing, Outgoing};
use crate::worker::Worker;

/// See the module.
#[derive(Debug)]
pub(super) struct Outbound {
    head: Head,
    pub(super) outgoing: Outgoing,
    repeated: bool,
}

impl Outbound {
    pub(super) fn new(call: Call<Decided>) -> Self {
        let Call { exchange, mut head, body, stage } = call;
        let connection = &exchange.connection;
        let worker = &connection.worker;
        let body = UploadBody::new(body, &exchange);
        let framing = Framing::of(&body);
        let mut facts = exchange.facts.borrow_mut();
        let trace_id = facts.trace.id;
        let rewritten = connection.listener.with(|listener| {
            let rewrite = Rewrite {
                policy: &listener.headers,
                trusted: stage.admitted.trusted,
                peer: &connection.peer_value,
                host: &stage.admitted.authority,
                version: head.version,
                tracestate: facts.trace.state.clone(),
                new_request_id: &|| worker.write(|out| out.extend_from_slice(&trace_id.encode())).1,
            };
            rewrite_request(&mut head.headers, &rewrite)
        });
        facts.request_id = rewritten.request_id.clone();
        drop(facts);
        let head = Head { method: head.method, uri: head.uri, headers: head.headers, rewritten, framing };
        Self { head, outgoing: Outgoing::new(body, framing), repeated: false }
    }

    /// Begins an attempt with its own parent id.
    pub(super) fn begin(&mut self, worker: &Worker, parent: &TraceParent) {
        let ((), head): ((), Bytes) = worker.write(|out| self.head.write(parent, out));
        self.outgoing.begin(head);
    }

    /// What is still to be written behind an early response.
    pub(super) fn unfinished(&mut self) -> Option<Box<Outgoing>> {
        (!self.outgoing.is_done()).then(|| {
            let none = Outgoing::new(UploadBody::Empty, Framing::None);
            Box::new(std::mem::replace(&mut self.outgoing, none))
        })
    }

    /// Whether it may be sent once more although a backend may have acted on it: it is idempotent (RFC 9110 §9.2.2),
    /// has no body to be lost, and was not sent twice before.
    pub(super) fn repeat(&mut self) -> bool {
        self.head.framing == Framing::None
            && self.head.method.is_idempotent()
            && !std::mem::replace(&mut self.repeated, true)
    }

    /// Whether the response to it has no body whatever its fields say.
    pub(super) fn is_head(&self) -> bool {
        self.head.method == http::Method::HEAD
    }
}
