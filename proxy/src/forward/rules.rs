//! A service's rules on header fields, applied behind all that patchgate itself does: remove, then set, then append.

use bytes::BytesMut;
use http::HeaderMap;
use patchgate_config::snapshot::HeaderChanges;

use crate::h1::write_line;

/// Changes the fields of a map.
pub(super) fn apply(rules: &HeaderChanges, headers: &mut HeaderMap) {
    for name in &rules.remove {
        headers.remove(name);
    }
    for (name, value) in &rules.set {
        headers.insert(name, value.clone());
    }
    for (name, value) in &rules.append {
        headers.append(name, value.clone());
    }
}

/// Whether a backend's field stays, where fields are copied instead of kept in a map.
pub(super) fn keeps(rules: &HeaderChanges, name: &[u8]) -> bool {
    let mut gone = rules.remove.iter().chain(rules.set.iter().map(|(name, _)| name));
    !gone.any(|gone| gone.as_str().as_bytes().eq_ignore_ascii_case(name))
}

/// Appends what the rules add, a line each.
pub(super) fn write(rules: &HeaderChanges, out: &mut BytesMut) {
    for (name, value) in rules.set.iter().chain(&rules.append) {
        write_line(out, name.as_str().as_bytes(), value.as_bytes());
    }
}
