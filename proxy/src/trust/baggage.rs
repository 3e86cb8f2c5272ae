//! W3C baggage as the mark's second carrier: `baggage: patch.group=…,patch.version=…`.
//!
//! Asked where `tracestate` bears no mark and the listener opted in; stripped wherever a mark would
//! be, since the next gateway may have opted in. Keys other than ours are carried, never read.
//! Source: W3C Baggage, §3.2 (format) and §3.3 (limits).

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    hex,
    mark::{self, MarkField},
    ows,
};

/// The header's name.
pub static BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Members, and bytes of all lines together, that are looked at; a mark beyond is not seen.
const MAX_MEMBERS: usize = 64;
const MAX_LEN: usize = 8192;

const GROUP: &[u8] = b"patch.group";
const VERSION: &[u8] = b"patch.version";

/// The mark's values in baggage, each `None` if absent. Borrowed, unless a sender percent-encoded
/// what it need not have: that costs an allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaggageMark<'h> {
    group: Option<Cow<'h, [u8]>>,
    version: Option<Cow<'h, [u8]>>,
}

impl<'h> BaggageMark<'h> {
    /// Reads all `baggage` lines of a message; of a repeated key, the first.
    pub fn read(headers: &'h HeaderMap) -> Self {
        let mut found = Self::default();
        let mut room = MAX_LEN;
        let lines = headers.get_all(&BAGGAGE).iter();
        let within_limits = lines.map_while(|line| {
            room = room.checked_sub(line.len())?;
            Some(line.as_bytes())
        });
        for member in within_limits.flat_map(members).take(MAX_MEMBERS) {
            let slot = match key(member) {
                GROUP => &mut found.group,
                VERSION => &mut found.version,
                _ => continue,
            };
            slot.get_or_insert_with(|| decode(value(member)));
        }
        found
    }

    /// The mark that the values make.
    pub fn mark(&self) -> MarkField<'_> {
        MarkField::from_values(self.group.as_deref(), self.version.as_deref())
    }
}

/// Removes our keys from the baggage, the limits notwithstanding; true if there were any. The other
/// members stay as they are, in order, on one line.
pub fn strip_mark(headers: &mut HeaderMap) -> bool {
    let lines = || headers.get_all(&BAGGAGE).iter().map(HeaderValue::as_bytes);
    let is_ours = |member: &&[u8]| matches!(key(member), GROUP | VERSION);
    if !lines().flat_map(members).any(|member| is_ours(&member)) {
        return false;
    }
    let others: Vec<&[u8]> = lines().flat_map(members).filter(|member| !is_ours(member)).collect();
    let joined = HeaderValue::from_bytes(&others.join(&b','));
    headers.remove(&BAGGAGE);
    if let Some(value) = joined.ok().filter(|value| !value.is_empty()) {
        headers.insert(&BAGGAGE, value);
    }
    true
}

fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b',').map(ows::trim).filter(|member| !member.is_empty())
}

fn key(member: &[u8]) -> &[u8] {
    let end = member.iter().position(|&byte| byte == b'=');
    ows::trim_end(&member[..end.unwrap_or(member.len())])
}

/// The value without its properties; empty if there is none.
fn value(member: &[u8]) -> &[u8] {
    let Some(equals) = member.iter().position(|&byte| byte == b'=') else {
        return b"";
    };
    let value = &member[equals + 1..];
    let end = value.iter().position(|&byte| byte == b';');
    ows::trim(&value[..end.unwrap_or(value.len())])
}

/// Percent-decoded; what is no escape stays as it is, and is then no mark for its percent sign.
fn decode(value: &[u8]) -> Cow<'_, [u8]> {
    // Longer than a mark with every character escaped: no need to look into it.
    if value.len() > 3 * mark::MAX_VALUE || !value.contains(&b'%') {
        return Cow::Borrowed(value);
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, after @ ..] = rest {
        rest = after;
        decoded.push(*first);
        if let (b'%', [high, low, after @ ..]) = (first, after)
            && let Some(byte) = escape([*high, *low])
        {
            decoded.pop();
            decoded.push(byte);
            rest = after;
        }
    }
    Cow::Owned(decoded)
}

/// The byte that two digits write; both cases are legal here (RFC 3986 §2.1).
fn escape(digits: [u8; 2]) -> Option<u8> {
    hex::decode(&digits.map(|digit| digit.to_ascii_lowercase())).map(|[byte]| byte)
}
