//! HTTP/1.1 towards a backend: one connection, polled by the request that holds it.
//!
//! Unlike with hyper's client, which runs a task a connection, neither a channel nor a wake-up between two tasks
//! lies on a request's way, and a head is written from where it lies instead of being built up first (ADR 006). The framing is that of [`crate::h1`].

mod connection;
mod head;

pub(crate) use connection::Connection;
pub(crate) use head::ResponseHead;
