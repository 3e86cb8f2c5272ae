//! Tables of test cases as text: a line a row, tabs between cells, names in the first line, comments after `#`.
//!
//! A cell may say `{T}` and `{P}` for a trace and a parent id, `{c*n}` for a repetition, and `\n`, `\t`, `\s`, `\xNN`
//! for what would not stand in a table.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The trace that requests of the tables come with.
pub const TRACE: &str = "12345678901234567890123456789012";

/// Their parent.
pub const PARENT: &str = "1234567890123456";

/// A row of a table, by the names in its first line.
pub struct Row<'t> {
    names: &'t str,
    cells: &'t str,
}

/// The rows of a table of `tests/data`, where a hash sign begins a comment.
pub fn rows(table: &str) -> impl Iterator<Item = Row<'_>> {
    let mut lines = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let names = lines.next().expect("a table names its columns");
    lines.map(move |cells| {
        assert_eq!(names.split('\t').count(), cells.split('\t').count(), "{cells}");
        Row { names, cells }
    })
}

impl<'t> Row<'t> {
    /// The cell as it is written.
    pub fn cell(&self, name: &str) -> &'t str {
        let at = self.names.split('\t').position(|column| column == name);
        at.and_then(|at| self.cells.split('\t').nth(at)).unwrap_or_else(|| panic!("no column {name}"))
    }

    /// The text that the cell stands for; `None` for a dash.
    pub fn text(&self, name: &str) -> Option<Vec<u8>> {
        Some(self.cell(name)).filter(|cell| *cell != "-").map(expand)
    }

    /// The cell's header lines, parsed as a server does: any case of the name, any white space around the value.
    pub fn headers(&self, name: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let lines = self.text(name).unwrap_or_default();
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let colon = line.iter().position(|&byte| byte == b':').expect("a header line has a colon");
            let value = line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..]);
            let name = HeaderName::from_bytes(&line[..colon]).expect("a header's name");
            headers.append(name, HeaderValue::from_bytes(value).expect("a field value"));
        }
        headers
    }
}

/// `{T}`, `{P}`, `{c*n}` and the escapes of a cell, as the head of each table explains them.
fn expand(cell: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let mut rest = cell;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '{' => {
                let (inside, after) = rest.split_once('}').expect("a brace is closed");
                rest = after;
                match inside.split_once('*') {
                    Some((what, times)) => text.extend(what.repeat(times.parse().expect("a number")).bytes()),
                    None if inside == "T" => text.extend(TRACE.bytes()),
                    None => {
                        assert_eq!(inside, "P");
                        text.extend(PARENT.bytes());
                    }
                }
            }
            '\\' => {
                let (byte, len) = match rest.as_bytes() {
                    [b'n', ..] => (b'\n', 1),
                    [b't', ..] => (b'\t', 1),
                    [b's', ..] => (b' ', 1),
                    [b'x', ..] => (u8::from_str_radix(&rest[1..3], 16).expect("two digits"), 3),
                    [other @ (b'{' | b'\\'), ..] => (*other, 1),
                    _ => panic!("no escape: {rest}"),
                };
                text.push(byte);
                rest = &rest[len..];
            }
            other => text.extend(other.to_string().bytes()),
        }
    }
    text
}
