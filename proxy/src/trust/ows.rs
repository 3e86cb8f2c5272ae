//! Optional white space, as RFC 9110 §5.6.3 has it: space and tab.
//!
//! Below the codecs of this folder; it knows no other white space.

/// The text without the white space around it.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

/// The text without the white space before it.
pub(super) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// The text without the white space after it.
pub(super) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
