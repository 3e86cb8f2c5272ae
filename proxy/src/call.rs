//! A request on its way down the stack: what every stage needs, and what the stages before it found out.
//!
//! The stage is a type, so that nothing can be forwarded that was not admitted, routed and decided.

use std::rc::Rc;

use http::request::Parts;
use patchgate_config::snapshot::{BackendId, ServiceId};

use crate::connection::RequestBody;
use crate::exchange::Exchange;
use crate::names::Names;

/// A request that has come as far as `Stage`.
#[derive(Debug)]
pub(crate) struct Call<Stage> {
    pub(crate) exchange: Rc<Exchange>,
    pub(crate) head: Box<Parts>,
    /// The known fields it came with.
    pub(crate) found: Names,
    pub(crate) body: RequestBody,
    pub(crate) stage: Stage,
}

/// Acceptable as HTTP.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Whether the peer is in a trusted range.
    pub(crate) trusted: bool,
}

/// Its service is known.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) admitted: Admitted,
    pub(crate) service: ServiceId,
}

/// Its backend is known, its trace context written.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) admitted: Admitted,
    pub(crate) service: ServiceId,
    pub(crate) backend: BackendId,
    /// Where it may go instead, if `backend` cannot be reached.
    pub(crate) fallback: Option<BackendId>,
}

impl<Stage> Call<Stage> {
    /// The same request, a stage further.
    pub(crate) fn advance<Next>(self, next: impl FnOnce(Stage) -> Next) -> Call<Next> {
        Call { exchange: self.exchange, head: self.head, found: self.found, body: self.body, stage: next(self.stage) }
    }
}
