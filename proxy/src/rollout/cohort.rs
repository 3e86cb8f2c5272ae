//! The stable hash behind every percentage.
//!
//! `bucket = (XXH3-64(salt ‖ 0x00 ‖ key) >> 32) × 1,000,000 >> 32`, 0 to 999,999, where the salt is the rollout's name
//! in UTF-8. A key is canary if its bucket is below the exposure in millionths: raising the exposure moves nobody
//! back, and two rollouts, being salted differently, choose independently. The control slice is as large as the
//! canary's, as far as there is room, and lies at the other end. `docs/cohort-vectors.tsv` has vectors.

use patchgate_config::snapshot::Exposure;
use xxhash_rust::xxh3::Xxh3Default;

const BUCKETS: u64 = Exposure::ALL.millionths() as u64;

/// A key's place among 1,000,000, for one rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket(u32);

impl Bucket {
    /// The bucket of `key` in the rollout named `salt`.
    #[must_use]
    pub fn of(salt: &str, key: &[u8]) -> Self {
        Self::from_hash(hash(salt, key))
    }

    /// The bucket that evenly distributed 64 bits fall into.
    #[must_use]
    pub const fn from_hash(hash: u64) -> Self {
        Self((((hash >> 32) * BUCKETS) >> 32) as u32)
    }

    /// 0 to 999,999.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether the bucket is within the exposure.
    #[must_use]
    pub const fn is_canary(self, exposure: Exposure) -> bool {
        self.0 < exposure.millionths()
    }

    /// Whether the bucket is in the control slice, as large as the canary's where that leaves room for it.
    #[must_use]
    pub const fn is_control(self, exposure: Exposure) -> bool {
        self.0 >= Self::control_from(exposure)
    }

    /// The number of the control slice's first bucket; 1,000,000 if it has none.
    #[must_use]
    pub const fn control_from(exposure: Exposure) -> u32 {
        let canary = exposure.millionths();
        let rest = Exposure::ALL.millionths() - canary;
        let control = if canary < rest { canary } else { rest };
        Exposure::ALL.millionths() - control
    }
}

/// XXH3-64 of salt, a zero byte and key.
#[must_use]
pub fn hash(salt: &str, key: &[u8]) -> u64 {
    let mut hasher = Xxh3Default::new();
    hasher.update(salt.as_bytes());
    hasher.update(&[0]);
    hasher.update(key);
    hasher.digest()
}
