//! Any header lines are read, edited and written as a `tracestate` as the model of the property tests does.
//!
//! The first line of an input is the change, in [`change`]'s words; each further one is a header line.

#![no_main]

#[path = "../../tests/trust_model/mod.rs"]
mod model;

use libfuzzer_sys::fuzz_target;
use model::{Change, Wanted, WantedOt, check_edit, is_hex, is_mark_value, trimmed};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|&byte| byte == b'\n');
    let change = change(lines.next().unwrap_or_default());
    let lines: Vec<&[u8]> = lines.collect();
    check_edit(&lines, &change);
});

/// `GROUP VERSION DIGITS` sets all three; a word that is no such thing keeps what came, a `-` takes it away.
fn change(line: &[u8]) -> Change {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let mark = match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
        ("-", _) => Wanted::Strip,
        (group, version) if is_mark_value(group) && is_mark_value(version) => Wanted::Set(group.into(), version.into()),
        _ => Wanted::Keep,
    };
    let ot = match words.next().unwrap_or_default() {
        "-" => WantedOt::Erase,
        digits if (1..=14).contains(&digits.len()) && is_hex(digits) => WantedOt::Threshold(trimmed(digits)),
        _ => WantedOt::Keep,
    };
    Change { mark, ot }
}
