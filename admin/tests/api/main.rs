//! The admin API as its clients see it, called in this process, over a log in memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod auth;
mod errors;
mod follow;
mod orders;
mod world;
