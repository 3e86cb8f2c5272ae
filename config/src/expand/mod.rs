//! `${NAME}` and `${NAME:-default}` in the text, before it is YAML.
//!
//! A value stands where it is written, so it may be part of a scalar or all of it, but it cannot bring lines, control
//! characters or anything that YAML reads as structure there. `$${` is a literal `${`; a reference inside a comment is
//! left alone. [`Expanded`] remembers what came from where, so that every later finding shows the text as written.

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
    let mut scanner = Scanner::default();
    let mut scanned = 0;
    let mut copied = 0;
    while let Some(found) = source.get(scanned..).and_then(|rest| rest.find("${")) {
        let dollar = scanned + found;
        let escaped = source[..dollar].ends_with('$') && dollar > copied;
        let lexis = scanner.lexis_at(source, dollar);
        if lexis == Lexis::Comment {
            scanned = dollar + 2;
            continue;
        }
        let start = if escaped { dollar - 1 } else { dollar };
        let (value, end) = match escaped {
            true => ("${".to_owned(), dollar + 2),
            false => value(source, dollar, lexis, env, problems),
        };
        scanner.pass(end);
        expanded.text.push_str(&source[copied..start]);
        expanded.push(&value, start..end);
        (scanned, copied) = (end, end);
    }
    expanded.text.push_str(&source[copied..]);
    expanded
}

/// The value of the reference at `start`, and where the reference ends.
fn value(source: &str, start: usize, lexis: Lexis, env: Env<'_>, problems: &mut Problems) -> (String, usize) {
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
    if let Some((what, place)) = structure(&value, lexis) {
        let message = format!("the value of {name} has {what}, which is more than text {place}");
        problems.in_source(&rules::ENV_STRUCTURE, start..end, message, fitting_quotes(&value, reference));
        return (STAND_IN.to_owned(), end);
    }
    (value, end)
}

/// What in a value would be more than text where it stands, and that place. The value itself may be a secret.
fn structure(value: &str, lexis: Lexis) -> Option<(String, &'static str)> {
    let has = |characters: &[char]| value.chars().find(|found| characters.contains(found));
    let (found, place) = match lexis {
        Lexis::Double => (has(&['"', '\\']), "inside double quotes"),
        Lexis::Single => (has(&['\'']), "inside single quotes"),
        Lexis::Text | Lexis::Comment => (has(PLAIN_INDICATORS), "outside quotes"),
    };
    match found {
        Some(found) => Some((format!("a `{found}`"), place)),
        None if lexis == Lexis::Text => Some((plain_structure(value)?.to_owned(), place)),
        None => None,
    }
}

/// The remedy: quotes between which the value is text.
fn fitting_quotes(value: &str, reference: &str) -> String {
    if !value.contains(['"', '\\']) {
        format!("write it inside double quotes, as in \"${{{reference}}}\"")
    } else if !value.contains('\'') {
        format!("write it inside single quotes, as in '${{{reference}}}'")
    } else {
        "set it to a text without `'`, and write it inside single quotes".to_owned()
    }
}

/// Characters that open, close or part something in plain text, or may; the backslash if it is quoted after all.
const PLAIN_INDICATORS: &[char] =
    &['"', '\'', '\\', '#', '{', '}', '[', ']', ',', '&', '*', '!', '|', '>', '%', '@', '`'];

/// What else of a value YAML may read as structure, alone or with the text beside it.
fn plain_structure(value: &str) -> Option<&'static str> {
    match value {
        _ if value.contains(": ") => Some("a colon before a blank"),
        _ if value.ends_with(':') => Some("a colon at its end"),
        "-" | "?" => Some("an indicator alone"),
        _ if value.starts_with("- ") || value.starts_with("? ") => Some("an indicator at its start"),
        // `a:${B}` is text only if nothing parts the two.
        _ if value.starts_with(' ') || value.ends_with(' ') => Some("a blank at one end"),
        _ => None,
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Expanded {
    /// A text in which nothing is replaced.
    pub(crate) fn verbatim(text: &str) -> Self {
        Self { text: text.to_owned(), pieces: Vec::new() }
    }

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

/// Tells comments, quotes and plain text apart, as far as references need it. Block scalars (`|`, `>`), which this
/// configuration has no use for, are read as ordinary lines.
#[derive(Debug, Default)]
struct Scanner {
    at: usize,
    state: Lexis,
    /// Flow collections that are open: `[`, `{` and `,` part scalars in them, and elsewhere are text.
    depth: usize,
    /// The last byte that is not blank on this line.
    last: Option<u8>,
    blank_before: bool,
    /// Whether the byte before ended a single-quoted scalar, unless this one is a quote again.
    closed: bool,
    /// Whether the last byte that is not blank ended a quoted scalar, or is the colon after one: a value may follow
    /// without a blank.
    quoted: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Lexis {
    #[default]
    Text,
    Single,
    Double,
    Comment,
}

impl Scanner {
    /// Reads on to `offset` and says what it is inside of. Offsets must not fall.
    fn lexis_at(&mut self, source: &str, offset: usize) -> Lexis {
        let bytes = source.as_bytes();
        while let Some(&byte) = bytes.get(self.at).filter(|_| self.at < offset) {
            self.at += 1;
            self.read(byte);
        }
        self.state
    }

    /// Goes on after a reference, which is text whatever its default is made of.
    fn pass(&mut self, end: usize) {
        self.at = self.at.max(end);
        self.last = Some(b'$');
        (self.blank_before, self.closed, self.quoted) = (false, false, false);
    }

    fn read(&mut self, byte: u8) {
        let starts = match self.last {
            Some(b':') => self.blank_before || self.quoted,
            Some(b'-' | b'?') => self.blank_before,
            Some(b'[' | b'{' | b',') => self.depth > 0,
            last => last.is_none(),
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
        match byte {
            b'[' | b'{' if before == Lexis::Text && (starts || self.depth > 0) => self.depth += 1,
            b']' | b'}' if before == Lexis::Text => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.closed = before == Lexis::Single && self.state == Lexis::Text;
        self.blank_before = matches!(byte, b' ' | b'\t');
        match byte {
            b'\n' => self.last = None,
            b' ' | b'\t' | b'\r' => {}
            other => {
                let ended = matches!(before, Lexis::Single | Lexis::Double) && self.state == Lexis::Text;
                self.quoted = ended || (other == b':' && self.quoted);
                self.last = Some(other);
            }
        }
    }
}

#[cfg(test)]
mod tests;
