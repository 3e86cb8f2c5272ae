//! `services[].load_balancing` and `services[].outlier_ejection`.

use super::rollout::sticky_key;
use super::values::{non_zero, required};
use crate::balance::{Balancing, Ejection, Policy};
use crate::problem::{Path, Problems};
use crate::raw;
use crate::rules;
use crate::snapshot::StickyKey;

pub(super) fn balancing(raw: &raw::Service, at: &Path<'_>, problems: &mut Problems) -> Option<Balancing> {
    let policy = match &raw.load_balancing {
        Some(raw) => policy(raw, &at.key("load_balancing"), problems),
        None => Some(Policy::PeakEwma),
    };
    let ejection = match &raw.outlier_ejection {
        Some(raw) => ejection(raw, &at.key("outlier_ejection"), problems),
        None => Some(Ejection::default()),
    };
    Some(Balancing { policy: policy?, ejection: ejection? })
}

fn policy(raw: &raw::LoadBalancing, at: &Path<'_>, problems: &mut Problems) -> Option<Policy> {
    let policy = match raw.policy {
        Some(raw::Policy::ConsistentHash) => {
            let help = "write cookie:NAME, header:NAME or address";
            let key = required(&raw.key, at, "key", help, problems)?;
            let key = sticky_key(Some(key), &at.key("key"), problems)?;
            if key == StickyKey::Random {
                problems.at(&rules::INVALID_VALUE, &at.key("key"), "nothing sticks to a random key", help);
                return None;
            }
            return Some(Policy::ConsistentHash(key));
        }
        None | Some(raw::Policy::PeakEwma) => Policy::PeakEwma,
        Some(raw::Policy::LeastRequests) => Policy::LeastRequests,
        Some(raw::Policy::RoundRobin) => Policy::RoundRobin,
    };
    if raw.key.is_some() {
        let help = "write `policy: consistent_hash`, or leave `key` out";
        problems.at(&rules::INVALID_VALUE, &at.key("key"), "only consistent_hash has a key", help);
        return None;
    }
    Some(policy)
}

fn ejection(raw: &raw::OutlierEjection, at: &Path<'_>, problems: &mut Problems) -> Option<Ejection> {
    let default = Ejection::default();
    let failures = raw.consecutive_failures.unwrap_or(default.consecutive_failures);
    if failures == 0 {
        let help = "write a number from 1; `max_ejected: 0%` leaves no endpoint out";
        problems.at(&rules::OUT_OF_RANGE, &at.key("consecutive_failures"), "0 failures are no reason", help);
    }
    let base = non_zero(raw.base, default.base, &at.key("base"), problems);
    let max_ejected = raw.max_ejected.map_or(default.max_ejected, |percent| percent.0);
    (failures > 0).then_some(Ejection { consecutive_failures: failures, base: base?, max_ejected })
}
