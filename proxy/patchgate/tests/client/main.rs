//! The command line against an admin API that says what a test wants it to say: what is sent, what is told, with which
//! exit code it ends.

#![allow(clippy::unwrap_used, reason = "a test that finds something amiss panics")]

mod asked;
mod audit;
mod changes;
mod files;
mod offline;
mod pages;
mod reach;
mod reads;
mod scripted;
mod status;
mod tokens;
mod watch;
