//! A mark's signature: who has the key says that this trace bears this mark, until then.
//!
//! The member `patch-sig` beside the mark: `1:EXPIRY:MAC`, where EXPIRY is Unix time in seconds, in decimal, and MAC the
//! keyed BLAKE3 hash, in 64 lowercase hex digits, of
//!
//! ```text
//! "patchgate mark 1"  trace id (16 bytes)  EXPIRY (8 bytes, big-endian)
//! length of the group (1 byte)  group  length of the version (1 byte)  version
//! ```
//!
//! `docs/mark-signature-vectors.tsv` has examples. The trace id is in it, so that a mark that was seen on one trace is
//! worth nothing on another. Pure: the time is handed in.

use bytes::BytesMut;
use patchgate_config::mark_key::MarkKey;

use super::hex;
use super::ids::TraceId;
use super::mark::Mark;

/// What every signed text begins with: a key that is used for something else signs no marks.
const CONTEXT: &[u8] = b"patchgate mark 1";

/// Digits of the hash.
const MAC_LEN: usize = 64;

/// A signature as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Until when it is worth something, in Unix time, seconds.
    pub expires: u64,
    mac: [u8; 32],
}

/// Why a signature is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// None of the keys made it for this mark on this trace, or it has another form.
    Wrong,
    /// One did, for a time that is over.
    Expired,
}

impl Signature {
    /// Signs a mark on a trace.
    #[must_use]
    pub fn sign(key: &MarkKey, trace: TraceId, mark: Mark<'_>, expires: u64) -> Self {
        Self { expires, mac: *mac(key, trace, mark, expires).as_bytes() }
    }

    /// Reads the value of `patch-sig`; `None` if it has another form.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(b"1:")?;
        let (expires, mac) = rest.split_at(rest.iter().position(|&byte| byte == b':')?);
        let legal = matches!(expires, [b'1'..=b'9', ..]) && expires.iter().all(u8::is_ascii_digit);
        let expires = std::str::from_utf8(expires).ok().filter(|_| legal)?.parse().ok()?;
        let digits = mac.get(1..).filter(|digits| digits.len() == MAC_LEN)?;
        Some(Self { expires, mac: hex::decode(digits)? })
    }

    /// Appends the value.
    pub fn write(&self, out: &mut BytesMut) {
        let mut digits = [0; MAC_LEN];
        hex::encode(&self.mac, &mut digits);
        out.extend_from_slice(b"1:");
        out.extend_from_slice(itoa::Buffer::new().format(self.expires).as_bytes());
        out.extend_from_slice(b":");
        out.extend_from_slice(&digits);
    }

    /// Whether one of `keys` made it for this mark on this trace, and its time is not over. Takes as long for a wrong
    /// hash as for a right one.
    ///
    /// # Errors
    /// Why it is worth nothing.
    pub fn verify(&self, keys: &[MarkKey], trace: TraceId, mark: Mark<'_>, now: u64) -> Result<(), Unsigned> {
        // `Hash` compares in constant time.
        let given = blake3::Hash::from_bytes(self.mac);
        let made = keys.iter().fold(false, |made, key| made | (mac(key, trace, mark, self.expires) == given));
        match made {
            false => Err(Unsigned::Wrong),
            true if self.expires < now => Err(Unsigned::Expired),
            true => Ok(()),
        }
    }
}

fn mac(key: &MarkKey, trace: TraceId, mark: Mark<'_>, expires: u64) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(key.bytes());
    hasher.update(CONTEXT).update(&trace.get().to_be_bytes()).update(&expires.to_be_bytes());
    for text in [mark.group(), mark.version()] {
        // At most 96 characters.
        hasher.update(&[text.len() as u8]).update(text.as_bytes());
    }
    hasher.finalize()
}
