//! A request as backends get it: built once, sent as often as attempts need it.

use http::{HeaderMap, HeaderValue, Method, Request, Uri};

use super::headers::{Rewrite, TRACEPARENT, origin_form, rewrite_request};
use crate::body::UploadBody;
use crate::call::{Call, Decided};
use crate::trust::TraceParent;
use crate::worker::Worker;

/// See the module.
#[derive(Debug)]
pub(super) struct Outbound {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: UploadBody,
    /// A second head, for a request that may be sent again although the first was sent.
    spare: Option<HeaderMap>,
}

impl Outbound {
    pub(super) fn new(call: Call<Decided>) -> Self {
        let Call { exchange, mut head, body, stage } = call;
        let connection = &exchange.connection;
        let body = UploadBody::new(body, &exchange);
        let ((), made_id) = connection.worker.write(|out| {
            out.extend_from_slice(&hex(exchange.facts.borrow().trace.id.get()));
        });
        let request_id = connection.listener.with(|listener| {
            rewrite_request(
                &mut head.headers,
                Rewrite {
                    policy: &listener.headers,
                    trusted: stage.admitted.trusted,
                    peer: &connection.peer_value,
                    host: &stage.admitted.authority,
                    version: head.version,
                    request_id: made_id,
                },
            )
        });
        exchange.facts.borrow_mut().request_id = request_id;
        // Only what is idempotent (RFC 9110 §9.2.2) and has no body to be lost is ever sent twice.
        let repeatable = matches!(body, UploadBody::Empty) && head.method.is_idempotent();
        let spare = repeatable.then(|| head.headers.clone());
        Self { uri: origin_form(&head.uri), method: head.method, headers: head.headers, body, spare }
    }

    /// The request of one attempt, with that attempt's own parent id.
    pub(super) fn take(&mut self, worker: &Worker, parent: &TraceParent) -> Request<UploadBody> {
        let ((), bytes) = worker.write(|out| out.extend_from_slice(&parent.encode()));
        let mut request = Request::new(std::mem::replace(&mut self.body, UploadBody::Empty));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = std::mem::take(&mut self.headers);
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes) {
            request.headers_mut().insert(TRACEPARENT, value);
        }
        request
    }

    /// Takes back a request that was never sent.
    pub(super) fn restore(&mut self, request: Request<UploadBody>) {
        let (head, body) = request.into_parts();
        self.headers = head.headers;
        self.body = body;
    }

    /// Makes a request that was sent ready to be sent once more; false if that must not be.
    pub(super) fn repeat(&mut self) -> bool {
        let Some(spare) = self.spare.take() else { return false };
        self.headers = spare;
        true
    }
}

fn hex(id: u128) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|at| DIGITS[(id >> (124 - 4 * at)) as usize & 0xf])
}
