//! Pages: opaque cursors and their limits.

use serde::Deserialize;

use super::problem::{Answer, Problem};

/// Items of a page, at most
const MOST: usize = 500;

/// and by default.
const DEFAULT: usize = 100;

/// How many to tell.
pub(super) fn limit(asked: Option<usize>) -> Answer<usize> {
    match asked {
        None => Ok(DEFAULT),
        Some(limit @ 1..=MOST) => Ok(limit),
        Some(_) => Err(Problem::bad_request("invalid_limit", format!("limit is from 1 to {MOST}"))),
    }
}

/// A cursor after a name.
pub(super) fn after_name(name: &str) -> String {
    format!("n{name}")
}

/// The name in a cursor.
pub(super) fn name(cursor: &str) -> Answer<&str> {
    cursor.strip_prefix('n').ok_or_else(invalid)
}

/// A cursor after a sequence.
pub(super) fn after_sequence(sequence: u64) -> String {
    format!("s{sequence}")
}

/// The sequence in a cursor.
pub(super) fn sequence(cursor: &str) -> Answer<u64> {
    cursor.strip_prefix('s').and_then(|digits| digits.parse().ok()).ok_or_else(invalid)
}

fn invalid() -> Problem {
    Problem::bad_request("invalid_cursor", "send `cursor` as the page before gave it in `next`")
}

/// Which page.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Items, 1 to 500; 100 by default.
    #[param(minimum = 1, maximum = 500)]
    pub(super) limit: Option<usize>,
    /// `next` of the page before.
    pub(super) cursor: Option<String>,
}
