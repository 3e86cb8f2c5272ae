//! Lowercase hexadecimal, the only digits the trace headers know.
//!
//! Below the codecs, by table in both directions. It refuses uppercase: Trace Context §3.2 allows
//! lowercase only, and a peer that is lenient here hides another's fault.

/// What [`DIGITS`] holds for a byte that is no digit: any value with a bit above the low four.
const NO_DIGIT: u8 = 0x80;

const DIGITS: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    table
};

const PAIRS: [[u8; 2]; 256] = {
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [b"0123456789abcdef"[byte >> 4], b"0123456789abcdef"[byte & 15]];
        byte += 1;
    }
    table
};

/// The `N` bytes that `2 * N` digits write; `None` if one of them is no lowercase hex digit.
pub(super) fn decode<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    debug_assert_eq!(digits.len(), 2 * N);
    let mut bytes = [0; N];
    let mut seen = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (DIGITS[pair[0] as usize], DIGITS[pair[1] as usize]);
        // One test after the loop instead of a branch for each digit.
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen < NO_DIGIT).then_some(bytes)
}

/// Writes each byte as two digits; `out` is twice as long as `bytes`.
pub(super) fn encode(bytes: &[u8], out: &mut [u8]) {
    debug_assert_eq!(out.len(), 2 * bytes.len());
    for (pair, &byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&PAIRS[byte as usize]);
    }
}
