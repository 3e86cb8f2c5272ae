//! HTTP/1.1's message format (RFC 9112), the same towards clients and backends: what a head says about its body, and
//! bodies read and written in its framing.
//!
//! Knows no connection's rules: who may send what, and what follows a message, is said where heads are parsed
//! (`connection::h1`, `upstream::h1`).

mod buffer;
mod decoder;
mod encoder;
mod fields;

pub(crate) use buffer::ReadBuffer;
pub(crate) use decoder::Decoder;
pub(crate) use encoder::{Encoder, Framing, RelayError};
pub(crate) use fields::{KnownNames, Lines, Said, write_line};

/// What was sent is no HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);
