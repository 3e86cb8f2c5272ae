//! A request as backends get it: rewritten once, written as often as attempts need it.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};
use patchgate_config::routes::RouteId;
use patchgate_config::snapshot::{BackendProtocol, ProxyVersion, Retry, RetryOn, ServiceId, Snapshot, StickyKey};
use xxhash_rust::xxh3::xxh3_64;

use super::head::Head;
use super::headers::{REQUEST_ID, Rewrite, Values, rewrite_request};
use super::proxy_header;
use super::rules;
use super::upgrade::Upgrade;
use crate::body::UploadBody;
use crate::call::{Call, Decided};
use crate::connection::{Connection, RequestBody};
use crate::exchange::{Exchange, Facts};
use crate::h1::Framing;
use crate::names::Names;
use crate::rollout::with_key_of;
use crate::trust::TraceParent;
use crate::upstream::{Outgoing, framing_of};
use crate::worker::Worker;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// See the module.
#[derive(Debug)]
pub(crate) struct Outbound {
    head: Head,
    pub(super) outgoing: Outgoing,
    pub(super) service: ServiceId,
    /// A connection that dies on its first request is the policy's to judge: that a kept one is stale is not.
    pub(super) policy_has_resets: bool,
    /// So is a stream that the backend refuses.
    pub(super) policy_has_refusals: bool,
    /// Each connection begins with a header of the PROXY protocol, and serves one request.
    pub(super) tells_client: Option<ProxyVersion>,
    repeated: bool,
}

impl Outbound {
    pub(super) fn new(call: Call<Decided>) -> Self {
        let Call { exchange, mut head, found, body, stage } = call;
        let connection = &exchange.connection;
        let (upgrade, body) = match body {
            RequestBody::Upgrade(upload) => {
                let allowed = &exchange.snapshot.config.service(stage.service).upgrades;
                (Upgrade::asked(&head, allowed, upload), RequestBody::None)
            }
            body => (None, body),
        };
        let body = UploadBody::new(body, &exchange);
        let framing = framing_of(&body);
        let mut facts = exchange.facts.borrow_mut();
        let none = HeaderValue::from_static("");
        let (rewritten, wants_id) = connection.listener.with(|listener| {
            let values = Values {
                is_tls: connection.is_tls,
                host: facts.authority.as_ref().unwrap_or(&none),
                peer: &connection.peer_value,
                tracestate: None,
                request_id: None,
            };
            let policy = &listener.headers;
            let rewrite = Rewrite { policy, found, trusted: stage.admitted.trusted, version: head.version, values };
            (rewrite_request(&mut head.headers, &rewrite), policy.request_id)
        });
        if let Some(rules) = &exchange.snapshot.config.service(stage.service).headers {
            rules::apply(&rules.request, &mut head.headers);
        }
        if wants_id {
            facts.request_id = match rewritten.added.has(Names::X_REQUEST_ID) {
                true => new_id(&connection.worker, &facts),
                false => head.headers.get(REQUEST_ID).cloned(),
            };
        }
        let target = facts.route.and_then(|route| rewritten_target(&exchange.snapshot.config, route, &facts.uri));
        drop(facts);
        let service = exchange.snapshot.config.service(stage.service);
        let (to_tls, tells_client) = (service.tls.is_some(), service.proxy_protocol);
        let head = Head { target, headers: std::mem::take(&mut head.headers), rewritten, framing, to_tls, upgrade };
        let outgoing = Outgoing::new(body, framing);
        Self {
            head,
            outgoing,
            service: stage.service,
            policy_has_resets: false,
            policy_has_refusals: false,
            tells_client,
            repeated: false,
        }
    }

    /// Resets and refusals are retried by a policy, within its budget, and not besides.
    pub(super) fn leave_to_policy(&mut self, policy: &Retry) {
        self.policy_has_resets = policy.on.contains(&RetryOn::Reset);
        self.policy_has_refusals = true;
    }

    /// The protocol to switch to, if the backend does.
    pub(super) fn take_upgrade(&mut self) -> Option<Box<Upgrade>> {
        self.head.upgrade.take()
    }

    /// The hash of what makes the request stick to an endpoint.
    pub(crate) fn sticky_hash(&self, key: &StickyKey, exchange: &Exchange) -> Option<u64> {
        with_key_of(key, &self.head.headers, exchange.connection.peer.ip(), xxh3_64)
    }

    /// Whether its client says that it may be sent twice: by the field `idempotency-key`
    /// (draft-ietf-httpapi-idempotency-key-header).
    pub(super) fn is_keyed(&self) -> bool {
        self.head.headers.contains_key(&IDEMPOTENCY_KEY)
    }

    /// Whether it has a body, of which nothing is kept.
    pub(super) fn has_body(&self) -> bool {
        self.head.framing != Framing::None
    }

    /// The same request, to be sent beside it; `None` if it has a body or asks for a tunnel, of which there is only one.
    pub(super) fn copy(&self) -> Option<Self> {
        let Head { target, headers, rewritten, framing: Framing::None, to_tls, upgrade: None } = &self.head else {
            return None;
        };
        Some(Self {
            head: Head {
                target: target.clone(),
                headers: headers.clone(),
                rewritten: rewritten.clone(),
                framing: Framing::None,
                to_tls: *to_tls,
                upgrade: None,
            },
            outgoing: Outgoing::new(UploadBody::Empty, Framing::None),
            service: self.service,
            policy_has_resets: self.policy_has_resets,
            policy_has_refusals: self.policy_has_refusals,
            tells_client: self.tells_client,
            repeated: self.repeated,
        })
    }

    /// The request for a mirror, under another host if one is given.
    ///
    /// # Errors
    /// Why there is none, as a label: its body is too long, or it asks for a tunnel.
    pub(super) fn shadow(
        &mut self,
        exchange: &Exchange,
        host: Option<&HeaderValue>,
        most: usize,
        protocol: BackendProtocol,
    ) -> Result<Outgoing, &'static str> {
        if self.head.upgrade.is_some() {
            return Err("upgrade");
        }
        let mut outgoing = self.outgoing.copied(most).ok_or("body")?;
        let parent = exchange.trace_parent(exchange.worker().new_span_id());
        match protocol {
            BackendProtocol::Http1 => {
                let write = |out: &mut _| self.head.write_shadow(exchange, &parent, host, out);
                outgoing.begin(exchange.worker().write(write).1);
            }
            BackendProtocol::Http2 => outgoing.begin_stream(self.head.to_shadow(exchange, &parent, host)),
        }
        Ok(outgoing)
    }

    /// Begins an attempt with its own parent id, over this protocol.
    pub(super) fn begin(&mut self, exchange: &Exchange, parent: &TraceParent, protocol: BackendProtocol) {
        if protocol == BackendProtocol::Http2 {
            return self.outgoing.begin_stream(self.head.to_request(exchange, parent, None));
        }
        let ((), head) = exchange.worker().write(|out| self.head.write(exchange, parent, out));
        self.outgoing.begin(head);
    }

    /// What a new connection begins with.
    pub(super) fn introduction(&self, exchange: &Exchange) -> Option<Bytes> {
        let Connection { peer, local, worker, .. } = &*exchange.connection;
        let version = self.tells_client?;
        Some(worker.write(|out| proxy_header::write(version, *peer, *local, out)).1)
    }

    /// What is still to be written behind an early response.
    pub(super) fn unfinished(&mut self) -> Option<Box<Outgoing>> {
        (!self.outgoing.is_done()).then(|| {
            let none = Outgoing::new(UploadBody::Empty, Framing::None);
            Box::new(std::mem::replace(&mut self.outgoing, none))
        })
    }

    /// Whether it may be sent to another backend: the first cannot have got any of it, or it may be sent once more.
    pub(super) fn may_begin_anew(&mut self, method: &Method) -> bool {
        !self.outgoing.has_begun() || self.repeat(method)
    }

    /// Whether it may be sent once more although a backend may have acted on it: it is idempotent (RFC 9110 §9.2.2),
    /// has no body to be lost, and was not sent twice before.
    pub(super) fn repeat(&mut self, method: &Method) -> bool {
        self.head.framing == Framing::None && method.is_idempotent() && !std::mem::replace(&mut self.repeated, true)
    }
}

/// The target as the route has it for backends, if it changes the path.
fn rewritten_target(config: &Snapshot, route: RouteId, uri: &Uri) -> Option<Bytes> {
    let path = config.routes.rewrite(route)?.apply(uri.path());
    Some(match uri.query() {
        None => path.into_owned().into(),
        Some(query) => format!("{path}?{query}").into(),
    })
}

/// A request's id is that of its trace, where nobody gave it another.
fn new_id(worker: &Worker, facts: &Facts) -> Option<HeaderValue> {
    let ((), id) = worker.write(|out| out.extend_from_slice(&facts.trace.id.encode()));
    HeaderValue::from_maybe_shared(id).ok()
}
