//! A request's head as bytes, written anew for each attempt: only the parent id differs.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};

use super::headers::{Rewritten, Values, origin_form};
use super::upgrade::Upgrade;
use crate::exchange::Exchange;
use crate::h1::{Framing, write_line};
use crate::trust::TraceParent;
use crate::upstream::write_framing;

/// What of a head is not told by the exchange's facts.
#[derive(Debug)]
pub(super) struct Head {
    /// In place of the client's target, where the route says so.
    pub(super) target: Option<Bytes>,
    pub(super) headers: HeaderMap,
    pub(super) rewritten: Rewritten,
    pub(super) framing: Framing,
    /// The protocol that the client wants to switch to, if it may.
    pub(super) upgrade: Option<Box<Upgrade>>,
}

impl Head {
    /// Appends the head, with the empty line behind it.
    pub(super) fn write(&self, exchange: &Exchange, parent: &TraceParent, out: &mut BytesMut) {
        self.write_fields(exchange, parent, None, out);
        out.extend_from_slice(b"\r\n");
    }

    /// The same for a mirror, which is told so.
    pub(super) fn write_shadow(
        &self,
        exchange: &Exchange,
        parent: &TraceParent,
        host: Option<&HeaderValue>,
        out: &mut BytesMut,
    ) {
        self.write_fields(exchange, parent, host, out);
        out.extend_from_slice(b"x-patchgate-shadow: 1\r\n\r\n");
    }

    fn write_fields(&self, exchange: &Exchange, parent: &TraceParent, host: Option<&HeaderValue>, out: &mut BytesMut) {
        let facts = exchange.facts.borrow();
        let none = HeaderValue::from_static("");
        let values = Values {
            is_tls: exchange.connection.is_tls,
            host: host.or(facts.authority.as_ref()).unwrap_or(&none),
            peer: &exchange.connection.peer_value,
            tracestate: facts.trace.state.as_ref(),
            request_id: facts.request_id.as_ref(),
        };
        out.extend_from_slice(facts.method.as_str().as_bytes());
        out.extend_from_slice(b" ");
        match &self.target {
            None => out.extend_from_slice(origin_form(&facts.uri).as_bytes()),
            Some(target) => out.extend_from_slice(target),
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        self.rewritten.write(&self.headers, &values, facts.version, out);
        out.extend_from_slice(b"traceparent: ");
        out.extend_from_slice(&parent.encode());
        out.extend_from_slice(b"\r\n");
        if let Some(upgrade) = &self.upgrade {
            out.extend_from_slice(b"connection: upgrade\r\n");
            write_line(out, b"upgrade", upgrade.token.as_bytes());
        }
        write_framing(self.framing, &facts.method, out);
    }
}
