//! What the spans of one snapshot have in common, written once and copied into each of them.
//!
//! Beside the snapshot on each worker; made for a backend or rollout when the first exported request needs it.

use std::cell::OnceCell;
use std::net::SocketAddr;

use patchgate_config::snapshot::{Backend, BackendId, RolloutId, Snapshot};

use super::otlp::{Attributes, key};

/// Attributes by backend and rollout.
#[derive(Debug)]
pub(crate) struct Blocks {
    backends: Vec<OnceCell<BackendBlocks>>,
    rollouts: Vec<OnceCell<RolloutBlocks>>,
}

/// What spans tell of a backend.
#[derive(Debug)]
pub(super) struct BackendBlocks {
    /// Of the SERVER span of a request that it served.
    pub(super) served: Box<[u8]>,
    /// Sorted by address.
    endpoints: Box<[EndpointBlocks]>,
}

/// What spans tell of an endpoint of a backend.
#[derive(Debug, Clone)]
pub(super) struct EndpointBlocks {
    address: SocketAddr,
    /// `http://ADDRESS:PORT`.
    pub(super) url: Box<str>,
    /// Of the CLIENT span of an attempt there.
    pub(super) attempted: Box<[u8]>,
}

/// What spans tell of a rollout.
#[derive(Debug)]
pub(super) struct RolloutBlocks {
    /// Its mark as it stands in a `tracestate`.
    mark: Box<str>,
    /// Of the SERVER span of a request that has the mark.
    pub(super) marked: Box<[u8]>,
}

// === impl Blocks ===

impl Blocks {
    pub(crate) fn new(config: &Snapshot) -> Self {
        Self {
            backends: config.backends.iter().map(|_| OnceCell::new()).collect(),
            rollouts: config.rollouts.iter().map(|_| OnceCell::new()).collect(),
        }
    }

    /// Those of a backend of the same snapshot.
    pub(super) fn backend(&self, config: &Snapshot, id: BackendId) -> &BackendBlocks {
        self.backends[id.0 as usize].get_or_init(|| BackendBlocks::new(config, config.backend(id)))
    }

    /// Those of a rollout of the same snapshot.
    pub(super) fn rollout(&self, config: &Snapshot, id: RolloutId) -> &RolloutBlocks {
        self.rollouts[id.0 as usize].get_or_init(|| {
            let rollout = config.rollout(id);
            RolloutBlocks {
                mark: format!("patch-group={},patch-version={}", rollout.group, rollout.version).into(),
                marked: written(|attributes| {
                    attributes.text(key!("patch.group"), &rollout.group);
                    attributes.text(key!("patch.version"), &rollout.version);
                }),
            }
        })
    }
}

// === impl BackendBlocks ===

impl BackendBlocks {
    fn new(config: &Snapshot, backend: &Backend) -> Self {
        let mut endpoints: Box<[EndpointBlocks]> =
            backend.endpoints.iter().map(|&address| EndpointBlocks::new(backend, address)).collect();
        endpoints.sort_by_key(|endpoint| endpoint.address);
        let served = written(|attributes| {
            attributes.text(key!("patchgate.backend"), &backend.name);
            attributes.text(key!("patchgate.service"), &config.service(backend.service).name);
        });
        Self { served, endpoints }
    }

    /// Those of an endpoint, if it is one of this backend.
    pub(super) fn endpoint(&self, address: SocketAddr) -> Option<&EndpointBlocks> {
        let found = self.endpoints.binary_search_by_key(&address, |endpoint| endpoint.address);
        found.ok().map(|at| &self.endpoints[at])
    }
}

// === impl EndpointBlocks ===

impl EndpointBlocks {
    pub(super) fn new(backend: &Backend, address: SocketAddr) -> Self {
        let attempted = written(|attributes| {
            attributes.text(key!("server.address"), &address.ip().to_string());
            attributes.int(key!("server.port"), address.port().into());
            attributes.text(key!("network.protocol.version"), "1.1");
            attributes.text(key!("patchgate.backend"), &backend.name);
            attributes.text(key!("patch.version"), &backend.version);
            if let Some(group) = &backend.group {
                attributes.text(key!("patch.group"), group);
            }
        });
        Self { address, url: format!("http://{address}").into(), attempted }
    }
}

// === impl RolloutBlocks ===

impl RolloutBlocks {
    /// Whether a legal list, whose keys are unique, has this mark. False where the two members are apart.
    pub(super) fn is_in(&self, state: &[u8]) -> bool {
        let mark = self.mark.as_bytes();
        let begins = |list: &[u8]| list.strip_prefix(mark).is_some_and(|after| matches!(after, [] | [b',', ..]));
        // Where we or the caller's SDK put it, before every other place.
        if begins(state) || state.strip_suffix(mark).is_some_and(|before| before.ends_with(b",")) {
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
        let rollout = RolloutBlocks { mark: "patch-group=g,patch-version=v".into(), marked: Box::default() };
        for state in [
            "patch-group=g,patch-version=v",
            "patch-group=g,patch-version=v,a=1",
            "a=1,patch-group=g,patch-version=v",
            "a=1,patch-group=g,patch-version=v,b=2",
        ] {
            assert!(rollout.is_in(state.as_bytes()), "{state}");
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
            assert!(!rollout.is_in(state.as_bytes()), "{state}");
        }
    }
}
