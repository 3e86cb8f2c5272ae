//! The file store in real processes: killed, two at a time, and at a limit of the system's.

#![allow(clippy::unwrap_used, reason = "a test that finds something amiss panics")]

mod child;
mod kill;
mod limit;
mod lock;
