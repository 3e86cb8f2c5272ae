//! A request's head, made anew for each attempt, since the parent id differs: as bytes for HTTP/1.1, as a map for HTTP/2.

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version};
use tokio::time::Instant;

use super::headers::{Rewritten, Values, origin_form};
use super::upgrade::Upgrade;
use crate::exchange::Exchange;
use crate::grpc;
use crate::h1::{Framing, write_line};
use crate::trust::TraceParent;
use crate::upstream::write_framing;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const SHADOW: HeaderName = HeaderName::from_static("x-patchgate-shadow");

/// What of a head is not told by the exchange's facts.
#[derive(Debug)]
pub(super) struct Head {
    /// In place of the client's target, where the route says so.
    pub(super) target: Option<Bytes>,
    pub(super) headers: HeaderMap,
    pub(super) rewritten: Rewritten,
    pub(super) framing: Framing,
    /// The backend is spoken to under TLS.
    pub(super) to_tls: bool,
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

    /// The same for a stream. A protocol to switch to has no place there, and is left out.
    pub(super) fn to_request(
        &self,
        exchange: &Exchange,
        parent: &TraceParent,
        host: Option<&HeaderValue>,
    ) -> Request<()> {
        let facts = exchange.facts.borrow();
        let none = HeaderValue::from_static("");
        let values = Values {
            host: host.or(facts.authority.as_ref()).unwrap_or(&none),
            peer: &exchange.connection.peer_value,
            tracestate: facts.trace.state.as_ref(),
            request_id: facts.request_id.as_ref(),
            is_tls: exchange.connection.is_tls,
        };
        let mut fields = self.rewritten.to_map(&self.headers, &values, facts.version);
        if let Ok(parent) = HeaderValue::from_bytes(&parent.encode()) {
            fields.insert(TRACEPARENT, parent);
        }
        if facts.grpc && grpc::timeout(&fields).is_some() {
            let left = exchange.total_at.get().saturating_duration_since(Instant::now());
            fields.insert(grpc::TIMEOUT, grpc::format(left));
        }
        if let Framing::Length(length) = self.framing {
            fields.insert(CONTENT_LENGTH, length.into());
        }
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = match &self.target {
            None => facts.uri.path_and_query().cloned(),
            Some(target) => PathAndQuery::from_maybe_shared(target.clone()).ok(),
        };
        if let Ok(authority) = Authority::try_from(values.host.as_bytes()) {
            uri.scheme = Some(if self.to_tls { Scheme::HTTPS } else { Scheme::HTTP });
            uri.authority = Some(authority);
        }
        let mut request = Request::new(());
        // Without an authority, as HTTP/1.0 has it, there is none in HTTP/2 either (RFC 9113 §8.3.1); h2 takes it for a
        // request of HTTP/1.1.
        *request.version_mut() = if uri.authority.is_some() { Version::HTTP_2 } else { Version::HTTP_11 };
        *request.method_mut() = facts.method.clone();
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *request.headers_mut() = fields;
        request
    }

    /// The same for a mirror, which is told so.
    pub(super) fn to_shadow(
        &self,
        exchange: &Exchange,
        parent: &TraceParent,
        host: Option<&HeaderValue>,
    ) -> Request<()> {
        let mut request = self.to_request(exchange, parent, host);
        request.headers_mut().insert(SHADOW, HeaderValue::from_static("1"));
        request
    }
}
