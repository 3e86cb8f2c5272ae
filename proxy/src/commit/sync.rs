//! The atomic of the standard library, or loom's in its models. A cfg of our own: `--cfg loom` would reach tokio.

#[cfg(not(patchgate_loom))]
pub(super) use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(patchgate_loom)]
pub(super) use loom::sync::atomic::{AtomicU8, Ordering};
