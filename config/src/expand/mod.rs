//! `${NAME}` and `${NAME:-default}` in the text, before it is YAML.
//!
//! A value stands where it is written, so it may be part of a scalar or all of it, but it cannot bring lines or control
//! characters of its own. `$${` is a literal `${`; a reference inside a comment is left alone. [`Expanded`] remembers
//! what came from where, so that every later finding shows the text as written.

use std::ops::Range;

use crate::problem::Problems;
use crate::rules;

/// Looks a variable up.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The text with its references replaced.
#[derive(Debug)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    pieces: Vec<Piece>,
}

/// A stretch of the expanded text and the reference in the source that it came from.
#[derive(Debug)]
struct Piece {
    expanded: Range<usize>,
    source: Range<usize>,
}

/// Stands for a value that could not be had: legal YAML anywhere. Findings about it are left out, since its own error
/// is already told.
const STAND_IN: &str = "0";

/// Replaces every reference of `source`.
pub(crate) fn expand(source: &str, env: Env<'_>, problems: &mut Problems) -> Expanded {
    let mut expanded = Expanded { text: String::with_capacity(source.len()), pieces: Vec::new() };
    let mut comments = CommentScanner::default();
    let mut scanned = 0;
    let mut copied = 0;
    while let Some(found) = source.get(scanned..).and_then(|rest| rest.find("${")) {
        let dollar = scanned + found;
        let escaped = source[..dollar].ends_with('$') && dollar > copied;
        if comments.is_comment(source, dollar) {
            scanned = dollar + 2;
            continue;
        }
        let start = if escaped { dollar - 1 } else { dollar };
        let (value, end) = match escaped {
            true => ("${".to_owned(), dollar + 2),
            false => value(source, dollar, env, problems),
        };
        expanded.text.push_str(&source[copied..start]);
        expanded.push(&value, start..end);
        (scanned, copied) = (end, end);
    }
    expanded.text.push_str(&source[copied..]);
    expanded
}

/// The value of the reference at `start`, and where the reference ends.
fn value(source: &str, start: usize, env: Env<'_>, problems: &mut Problems) -> (String, usize) {
    let rest = &source[start + 2..];
    let length = rest.find(['}', '\n']).filter(|&at| rest[at..].starts_with('}'));
    let Some(length) = length else {
        let end = start + 2;
        problems.in_source(&rules::ENV_MALFORMED, start..end, "`${` without its `}`", "close it, or write `$${`");
        return (STAND_IN.to_owned(), end);
    };
    let end = start + 2 + length + 1;
    let reference = &rest[..length];
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    if !is_name(name) {
        let message = format!("`${{{reference}}}` is not a reference to a variable");
        let help = "a name is letters, digits and _, as in ${NAME} or ${NAME:-default}; a literal `${` is `$${`";
        problems.in_source(&rules::ENV_MALFORMED, start..end, message, help);
        return (STAND_IN.to_owned(), end);
    }
    // As in a shell, `:-` also stands in for an empty value.
    let value = match (env(name), default) {
        (Some(value), Some(default)) if value.is_empty() => default.to_owned(),
        (Some(value), _) => value,
        (None, Some(default)) => default.to_owned(),
        (None, None) => {
            let message = format!("the variable {name} is not set");
            let help = format!("set it, or give a default: ${{{name}:-…}}");
            problems.in_source(&rules::ENV_UNSET, start..end, message, help);
            return (STAND_IN.to_owned(), end);
        }
    };
    if value.chars().any(char::is_control) {
        let message = format!("the value of {name} has a line break or another control character");
        problems.in_source(&rules::ENV_VALUE, start..end, message, "set it to a single line of text");
        return (STAND_IN.to_owned(), end);
    }
    (value, end)
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Expanded {
    fn push(&mut self, value: &str, source: Range<usize>) {
        let start = self.text.len();
        self.text.push_str(value);
        self.pieces.push(Piece { expanded: start..self.text.len(), source });
    }

    /// Where a stretch of the expanded text was written; all of a reference where it begins or ends inside one.
    pub(crate) fn to_source(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.offset(range.start, false);
        start..self.offset(range.end.max(range.start), range.end > range.start).max(start)
    }

    /// What the reference at `source` became.
    pub(crate) fn of_reference(&self, source: &Range<usize>) -> Option<Range<usize>> {
        let at = self.pieces.binary_search_by_key(&source.start, |piece| piece.source.start).ok()?;
        self.pieces.get(at).map(|piece| piece.expanded.clone())
    }

    /// `end`: the offset ends a stretch, so one at a reference's very start is still before it.
    fn offset(&self, at: usize, end: bool) -> usize {
        let after = self
            .pieces
            .partition_point(|piece| if end { piece.expanded.start < at } else { piece.expanded.start <= at });
        match after.checked_sub(1).and_then(|last| self.pieces.get(last)) {
            None => at,
            Some(piece) if at < piece.expanded.end || (end && at == piece.expanded.end) => {
                if end {
                    piece.source.end
                } else {
                    piece.source.start
                }
            }
            Some(piece) => piece.source.end + (at - piece.expanded.end),
        }
    }
}

/// Tells comments from text, as far as YAML's quotes need it. Block scalars (`|`, `>`), which this configuration has no
/// use for, are read as ordinary lines.
#[derive(Debug, Default)]
struct CommentScanner {
    at: usize,
    state: Lexis,
    /// The last byte that is not blank on this line.
    last: Option<u8>,
    blank_before: bool,
    /// Whether the byte before ended a single-quoted scalar, unless this one is a quote again.
    closed: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Lexis {
    #[default]
    Text,
    Single,
    Double,
    Comment,
}

impl CommentScanner {
    /// Reads on to `offset` and says whether it is inside a comment. Offsets must not fall.
    fn is_comment(&mut self, source: &str, offset: usize) -> bool {
        let bytes = source.as_bytes();
        while let Some(&byte) = bytes.get(self.at).filter(|_| self.at < offset) {
            self.at += 1;
            self.read(byte);
        }
        self.state == Lexis::Comment
    }

    fn read(&mut self, byte: u8) {
        let starts = match self.last {
            Some(b':' | b'-' | b'?') => self.blank_before,
            last => matches!(last, None | Some(b'[' | b'{' | b',')),
        };
        let before = self.state;
        self.state = match (before, byte) {
            (Lexis::Comment, b'\n') => Lexis::Text,
            (Lexis::Single, b'\'') | (Lexis::Double, b'"') => Lexis::Text,
            (Lexis::Double, b'\\') => {
                // The next byte is escaped; a multi-byte character's further bytes are never a quote.
                self.at += 1;
                Lexis::Double
            }
            (Lexis::Text, b'#') if self.last.is_none() || self.blank_before => Lexis::Comment,
            (Lexis::Text, b'\'') if starts || self.closed => Lexis::Single,
            (Lexis::Text, b'"') if starts => Lexis::Double,
            (state, _) => state,
        };
        self.closed = before == Lexis::Single && self.state == Lexis::Text;
        self.blank_before = matches!(byte, b' ' | b'\t');
        match byte {
            b'\n' => self.last = None,
            b' ' | b'\t' | b'\r' => {}
            other => self.last = Some(other),
        }
    }
}

#[cfg(test)]
mod tests;
