//! One member of a `tracestate` list: its grammar and whose it is.
//!
//! Source: Trace Context Level 2, §3.3.1.3. It refuses every key and value outside that grammar,
//! but for `patch.group` and `patch.version`: those two are read so that one careless sender does
//! not cost all hops behind us the list.

use super::Rejected;
use crate::trust::ows;

/// Most characters of a key, and of a value.
const MAX_PART: usize = 256;

const KEY: u8 = 1;
const VALUE: u8 = 2;

/// Which parts of a member a byte may stand in.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        let at = byte as u8;
        if !matches!(at, b',' | b'=') {
            table[byte] |= VALUE;
        }
        if at.is_ascii_lowercase() || at.is_ascii_digit() || matches!(at, b'_' | b'-' | b'*' | b'/' | b'@') {
            table[byte] |= KEY;
        }
        byte += 1;
    }
    table
};

/// Whose member it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// `patch-group`, or the dotted form of it.
    Group,
    /// `patch-version`, or the dotted form of it.
    Version,
    /// `patch-sig`.
    Signature,
    /// `ot`, OpenTelemetry's.
    Ot,
    /// Anyone else's: carried, never read.
    Foreign,
}

/// A legal member, borrowed from its header line without the white space around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'h> {
    text: &'h [u8],
    key_len: u16,
    pub(super) owner: Owner,
    /// Written with a dot, so not to be passed on as it is.
    pub(super) dotted: bool,
}

impl<'h> Member<'h> {
    /// Takes the first member off a line that starts with neither white space nor a comma, and
    /// returns what follows it.
    #[inline]
    pub(super) fn split_off(line: &'h [u8]) -> Result<(Self, &'h [u8]), Rejected> {
        let (owner, dotted, key_len) = split_key(line)?;
        let rest = &line[key_len + 1..];
        let len = span(rest, VALUE);
        let value_len = ows::trim_end(&rest[..len]).len();
        // A tab ends the value's characters, but may stand before the comma.
        let rest = ows::trim_start(&rest[len..]);
        match (value_len, rest.first()) {
            (_, Some(&byte)) if byte != b',' => return Err(Rejected::BadValue),
            (0, _) => return Err(Rejected::BadValue),
            _ if value_len > MAX_PART => return Err(Rejected::TooLong),
            _ => {}
        }
        let member = Self { text: &line[..key_len + 1 + value_len], key_len: key_len as u16, owner, dotted };
        Ok((member, rest))
    }

    /// The member as it came; for a dotted one this is not legal to send.
    pub(super) const fn text(&self) -> &'h [u8] {
        self.text
    }

    pub(super) fn key(&self) -> &'h [u8] {
        &self.text[..usize::from(self.key_len)]
    }

    pub(super) fn value(&self) -> &'h [u8] {
        &self.text[usize::from(self.key_len) + 1..]
    }

    /// Whether both stand for the same key, dotted or not.
    pub(super) fn same_key(&self, other: &Self) -> bool {
        self.owner == other.owner && (self.owner != Owner::Foreign || self.key() == other.key())
    }
}

/// The owner, whether dotted, and the length of the key that ends in an equals sign.
#[inline]
fn split_key(line: &[u8]) -> Result<(Owner, bool, usize), Rejected> {
    let len = span(line, KEY);
    match line.get(len) {
        Some(b'=') => {}
        Some(b'.') => return dotted_key(line),
        _ => return Err(Rejected::BadKey),
    }
    let starts_well = line[0].is_ascii_lowercase() || line[0].is_ascii_digit();
    if len == 0 || !starts_well {
        return Err(Rejected::BadKey);
    }
    if len > MAX_PART {
        return Err(Rejected::TooLong);
    }
    let owner = match &line[..len] {
        b"patch-group" => Owner::Group,
        b"patch-version" => Owner::Version,
        b"patch-sig" => Owner::Signature,
        b"ot" => Owner::Ot,
        _ => Owner::Foreign,
    };
    Ok((owner, false, len))
}

#[cold]
fn dotted_key(line: &[u8]) -> Result<(Owner, bool, usize), Rejected> {
    let known: [(&[u8], Owner); 2] = [(b"patch.group=", Owner::Group), (b"patch.version=", Owner::Version)];
    let found = known.iter().find(|(key, _)| line.starts_with(key));
    let (key, owner) = found.ok_or(Rejected::BadKey)?;
    Ok((*owner, true, key.len() - 1))
}

/// How many leading bytes are of this class.
fn span(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&byte| CLASS[byte as usize] & class == 0).unwrap_or(bytes.len())
}
