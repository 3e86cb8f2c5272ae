//! What a response says of the patch: a mark in its header or trailer fields, and how a call of gRPC ended.
//!
//! After a response head is chosen, and again at its trailers. A mark raises the request's own sampling and its
//! channel, late as it is; so it is believed only of backends that may mark, and only so often a second.

use http::HeaderMap;
use patchgate_config::snapshot::BackendId;

use crate::exchange::{Exchange, ResponseMark};
use crate::grpc;
use crate::trust::{MarkField, response_mark};

/// Notes how a call of gRPC ended, if these `fields`, a response's head or its trailers, tell.
pub(crate) fn capture_call(exchange: &Exchange, fields: &HeaderMap) {
    let mut facts = exchange.facts.borrow_mut();
    if facts.grpc
        && let Some(status) = grpc::status(fields)
    {
        facts.grpc_status = Some(status);
    }
}

/// Looks for a mark in the `fields` of a response of `backend`, and counts what became of it.
pub(crate) fn capture(exchange: &Exchange, fields: &HeaderMap, backend: BackendId) {
    if !exchange.snapshot.config.backend(backend).may_mark {
        return;
    }
    let result = match response_mark(fields) {
        MarkField::Absent => return,
        MarkField::Malformed => "malformed",
        MarkField::Mark(_) if !exchange.worker().take_response_mark() => "over_rate",
        MarkField::Mark(mark) => {
            let mark = ResponseMark { group: mark.group().to_owned(), version: mark.version().to_owned() };
            exchange.facts.borrow_mut().response_mark = Some(mark);
            "honoured"
        }
    };
    exchange.worker().telemetry.response_mark(result);
}
