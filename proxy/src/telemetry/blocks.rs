//! What the spans of one snapshot have in common, written once and copied into each of them.
//!
//! Beside the snapshot on each worker; made for a backend or a rollout when the first exported request needs it.

use std::cell::{OnceCell, RefCell};
use std::net::SocketAddr;

use patchgate_config::snapshot::{Backend, BackendId, BackendProtocol, RolloutId, Snapshot};

use super::decide::SamplingReason;
use super::otlp::{Attributes, fixed, key};
use crate::rollout::{Reason, Track};

/// What was told of so many different requests is kept for each backend: about as many as there are ways to it.
const KEPT: usize = 8;

/// Attributes by backend and rollout.
#[derive(Debug)]
pub(crate) struct Blocks {
    backends: Vec<OnceCell<BackendBlocks>>,
    /// The marks as they stand in a `tracestate`.
    marks: Vec<OnceCell<Box<str>>>,
}

/// What spans tell of a backend.
#[derive(Debug)]
pub(super) struct BackendBlocks {
    /// Of the SERVER span of a request that it served.
    served: Box<[u8]>,
    /// The same behind what was told of a request.
    told: RefCell<Vec<(Told, Box<[u8]>)>>,
    /// Sorted by address.
    endpoints: Box<[EndpointBlocks]>,
}

/// What spans tell of an endpoint of a backend.
#[derive(Debug)]
pub(super) struct EndpointBlocks {
    address: SocketAddr,
    /// `http://ADDRESS:PORT`.
    pub(super) url: Box<str>,
    /// Of the CLIENT span of an attempt there.
    pub(super) attempted: Box<[u8]>,
}

/// What a SERVER span tells of a request that many others have, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// The rollout whose patch it is about.
    pub(super) rollout: Option<RolloutId>,
    pub(super) decision: Option<(Track, Reason)>,
    pub(super) sampling: SamplingReason,
    /// The flag of its parent, if it has one.
    pub(super) parent_sampled: Option<bool>,
}

// === impl Blocks ===

impl Blocks {
    pub(crate) fn new(config: &Snapshot) -> Self {
        Self {
            backends: config.backends.iter().map(|_| OnceCell::new()).collect(),
            marks: config.rollouts.iter().map(|_| OnceCell::new()).collect(),
        }
    }

    /// Those of a backend of the same snapshot.
    pub(super) fn backend(&self, config: &Snapshot, id: BackendId) -> &BackendBlocks {
        self.backends[id.0 as usize].get_or_init(|| BackendBlocks::new(config, config.backend(id)))
    }

    /// Whether a legal `tracestate` has the mark of a rollout of the same snapshot. False also where its two members
    /// are apart.
    pub(super) fn has_mark_of(&self, config: &Snapshot, id: RolloutId, state: &[u8]) -> bool {
        let mark = self.marks[id.0 as usize].get_or_init(|| {
            let rollout = config.rollout(id);
            format!("patch-group={},patch-version={}", rollout.group, rollout.version).into()
        });
        is_in(state, mark.as_bytes())
    }
}

// === impl BackendBlocks ===

impl BackendBlocks {
    fn new(config: &Snapshot, backend: &Backend) -> Self {
        let mut endpoints: Box<[EndpointBlocks]> =
            backend.endpoints.iter().map(|&address| EndpointBlocks::new(config, backend, address)).collect();
        endpoints.sort_by_key(|endpoint| endpoint.address);
        let served = written(|attributes| {
            attributes.text(key!("patchgate.backend"), &backend.name);
            attributes.text(key!("patchgate.service"), &config.service(backend.service).name);
        });
        Self { served, told: RefCell::default(), endpoints }
    }

    /// Tells of a request that this backend served.
    pub(super) fn told(&self, told: &Told, config: &Snapshot, attributes: &mut Attributes<'_>) {
        let mut kept = self.told.borrow_mut();
        if let Some((_, block)) = kept.iter().find(|(of, _)| of == told) {
            return attributes.encoded(block);
        }
        let write = |attributes: &mut Attributes<'_>| {
            told.write(config, attributes);
            attributes.encoded(&self.served);
        };
        write(attributes);
        if kept.len() < KEPT {
            kept.push((*told, written(write)));
        }
    }

    /// Those of an endpoint, if it is one of this backend.
    pub(super) fn endpoint(&self, address: SocketAddr) -> Option<&EndpointBlocks> {
        let found = self.endpoints.binary_search_by_key(&address, |endpoint| endpoint.address);
        found.ok().map(|at| &self.endpoints[at])
    }
}

// === impl Told ===

impl Told {
    pub(super) fn write(&self, config: &Snapshot, attributes: &mut Attributes<'_>) {
        if let Some(id) = self.rollout {
            attributes.text(key!("patch.group"), &config.rollout(id).group);
            attributes.text(key!("patch.version"), &config.rollout(id).version);
        }
        if let Some((track, reason)) = self.decision {
            attributes.text(key!("patch.track"), track.as_str());
            attributes.text(key!("patch.decision"), reason.as_str());
        }
        attributes.text(key!("patch.sampling.reason"), self.sampling.as_str());
        if let Some(sampled) = self.parent_sampled {
            attributes.bool(key!("patch.sampling.parent_sampled"), sampled);
        }
    }
}

// === impl EndpointBlocks ===

impl EndpointBlocks {
    pub(super) fn new(config: &Snapshot, backend: &Backend, address: SocketAddr) -> Self {
        let protocol = config.service(backend.service).protocol;
        let attempted = written(|attributes| {
            attributes.text(key!("server.address"), &address.ip().to_string());
            attributes.int(key!("server.port"), address.port().into());
            attributes.encoded(match protocol {
                BackendProtocol::Http1 => fixed!("network.protocol.version", "1.1"),
                BackendProtocol::Http2 => fixed!("network.protocol.version", "2"),
            });
            attributes.text(key!("patchgate.backend"), &backend.name);
            attributes.text(key!("patch.version"), &backend.version);
            if let Some(group) = &backend.group {
                attributes.text(key!("patch.group"), group);
            }
        });
        let scheme = if config.service(backend.service).tls.is_some() { "https" } else { "http" };
        Self { address, url: format!("{scheme}://{address}").into(), attempted }
    }
}

/// Whether a legal list, whose keys are unique, has these members side by side.
fn is_in(state: &[u8], members: &[u8]) -> bool {
    let begins = |list: &[u8]| list.strip_prefix(members).is_some_and(|after| matches!(after, [] | [b',', ..]));
    // Where we or the caller's SDK put them, before every other place.
    if begins(state) || state.strip_suffix(members).is_some_and(|before| before.ends_with(b",")) {
        return true;
    }
    let mut rest = state;
    while let Some(comma) = rest.iter().position(|&byte| byte == b',') {
        rest = &rest[comma + 1..];
        if begins(rest) {
            return true;
        }
    }
    false
}

fn written(write: impl FnOnce(&mut Attributes<'_>)) -> Box<[u8]> {
    let mut out = Vec::new();
    write(&mut Attributes::apart(&mut out));
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_as_two_whole_members_side_by_side() {
        let mark = b"patch-group=g,patch-version=v";
        for state in [
            "patch-group=g,patch-version=v",
            "patch-group=g,patch-version=v,a=1",
            "a=1,patch-group=g,patch-version=v",
            "a=1,patch-group=g,patch-version=v,b=2",
        ] {
            assert!(is_in(state.as_bytes(), mark), "{state}");
        }
        for state in [
            "",
            "a=1",
            "patch-group=g",
            "patch-group=g,patch-version=v2",
            "xpatch-group=g,patch-version=v",
            "a=1,xpatch-group=g,patch-version=v2,b=2",
            "patch-group=g,a=1,patch-version=v",
        ] {
            assert!(!is_in(state.as_bytes(), mark), "{state}");
        }
    }
}
