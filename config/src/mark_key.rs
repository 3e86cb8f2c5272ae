//! Keys by which marks are signed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A key of 32 bytes, and where it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct MarkKey {
    /// Where it was read.
    pub file: PathBuf,
    bytes: [u8; 32],
}

/// How marks that go on are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkSigning {
    /// By which key.
    pub key: MarkKey,
    /// For how long a signature is worth something; whole seconds, at least one.
    pub ttl: Duration,
}

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 64 hexadecimal digits on one line")]
pub struct NotAKey;

impl MarkKey {
    /// The key that the content of `file` is: 64 hexadecimal digits, and at most a line's end behind them.
    ///
    /// # Errors
    /// It is something else.
    pub fn read(file: PathBuf, content: &[u8]) -> Result<Self, NotAKey> {
        let digits = content.trim_ascii_end();
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(NotAKey);
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(NotAKey);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self { file, bytes })
    }

    /// The key itself.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Debug for MarkKey {
    /// Tells keys apart, and nothing of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = xxhash_rust::xxh3::xxh3_64(&self.bytes);
        f.debug_struct("MarkKey").field("file", &self.file).field("digest", &digest).finish()
    }
}
