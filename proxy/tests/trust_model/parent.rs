//! `traceparent` once more, naively: which values Level 2 allows to be believed (Trace Context Level 2 §3.2, §4.1).

use patchgate_proxy::trust::traceparent;

/// Compares the parse of one field value with the model.
pub(crate) fn check_parent(value: &[u8]) {
    let parsed = traceparent::parse(value).ok();
    let found = parsed.map(|parent| (parent.trace_id.get(), parent.parent_id.get(), parent.flags.bits()));
    assert_eq!(found, level_2(value));
    if let Some(parent) = parsed {
        assert_eq!(traceparent::parse(&parent.encode()), Ok(parent));
    }
}

/// Trace id, parent id and defined flags of a value that Level 2 allows to be believed.
fn level_2(value: &[u8]) -> Option<(u128, u64, u8)> {
    let value = text(value);
    let mut parts = value.trim_matches([' ', '\t']).splitn(5, '-');
    let mut next = |len| parts.next().filter(|part| part.len() == len && is_hex(part));
    let (version, trace, parent, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let (trace, parent) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(parent, 16).ok()?);
    let flags = u8::from_str_radix(flags, 16).ok()?;
    (trace != 0 && parent != 0).then_some((trace, parent, flags % 4))
}

fn is_hex(text: &str) -> bool {
    text.chars().all(|at| "0123456789abcdef".contains(at))
}

/// Each byte as the character of that number, so that lengths in characters are lengths in bytes of the wire.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}
