//! For people: place, line, caret, remedy.
//!
//! ```text
//! patchgate.yaml:4:5: error[unknown-field]: unknown field `adress` (listeners[0].adress)
//!   4 |     adress: 127.0.0.1:8080
//!     |     ^^^^^^
//!     = did you mean `address`?
//! ```

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use crate::diagnostic::{Diagnostic, Report};
use crate::rules::Severity;

/// Whether a rendering has ANSI colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Never,
    /// For a terminal.
    Always,
}

/// Longest part of a source line that is shown.
const MAX_LINE: usize = 160;

/// Renders a report: every finding in the file's order, and a last line that counts them.
#[must_use]
pub fn human(report: &Report, colour: Colour) -> String {
    let mut text = String::new();
    let lines: Vec<&str> = report.source.lines().collect();
    for diagnostic in &report.diagnostics {
        // Writing to a string cannot fail.
        let _ = finding(&mut text, report, diagnostic, &lines, Paint(colour));
    }
    let _ = writeln!(text, "{}: {}", printable(&report.file), summary(report));
    text
}

fn finding(out: &mut String, report: &Report, found: &Diagnostic, lines: &[&str], paint: Paint) -> fmt::Result {
    let severity = found.severity();
    let (bold, tone, reset) = (paint.bold(), paint.tone(severity), paint.reset());
    write!(out, "{bold}{}:{}:{}:{reset} ", printable(&report.file), found.line, found.column)?;
    write!(out, "{tone}{}[{}]{reset}: {}", severity.as_str(), found.rule.id, printable(&found.message))?;
    if !found.path.is_empty() {
        write!(out, " ({})", printable(&found.path))?;
    }
    out.push('\n');
    let number = found.line.to_string();
    let margin = number.len();
    if let Some(line) = lines.get(found.line - 1) {
        // A very long line is shown from the finding on.
        let skip = if found.column > MAX_LINE { found.column - 1 } else { 0 };
        let shown: String = line.chars().skip(skip).take(MAX_LINE).collect();
        writeln!(out, "  {number} | {}", printable(shown.trim_end()))?;
        let before = shown.chars().take(found.column - 1 - skip);
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let width = (found.end_column - found.column).clamp(1, MAX_LINE);
        writeln!(out, "  {:margin$} | {indent}{tone}{}{reset}", "", "^".repeat(width))?;
    }
    if !found.help.is_empty() {
        writeln!(out, "  {:margin$} = {}", "", printable(&found.help))?;
    }
    Ok(())
}

fn summary(report: &Report) -> String {
    let count = |severity: Severity| match report.count(severity) {
        0 => None,
        1 => Some(format!("1 {}", severity.as_str())),
        many => Some(format!("{many} {}s", severity.as_str())),
    };
    let counts: Vec<String> =
        [Severity::Error, Severity::Warning, Severity::Note].into_iter().filter_map(count).collect();
    if counts.is_empty() { "no problems".to_owned() } else { counts.join(", ") }
}

/// The text without characters by which a file could steer the terminal.
fn printable(text: &str) -> Cow<'_, str> {
    let steers =
        |c: char| (c.is_control() && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.contains(steers) {
        return text
            .chars()
            .map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c })
            .collect::<String>()
            .into();
    }
    text.into()
}

#[derive(Clone, Copy)]
struct Paint(Colour);

impl Paint {
    fn code(self, code: &'static str) -> &'static str {
        if self.0 == Colour::Always { code } else { "" }
    }

    fn bold(self) -> &'static str {
        self.code("\x1b[1m")
    }

    fn tone(self, severity: Severity) -> &'static str {
        self.code(match severity {
            Severity::Error => "\x1b[1;31m",
            Severity::Warning => "\x1b[1;33m",
            Severity::Note => "\x1b[1;36m",
        })
    }

    fn reset(self) -> &'static str {
        self.code("\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    fn report(source: &str, column: usize, message: &str) -> Report {
        let diagnostic = Diagnostic {
            rule: &rules::TRUSTS_EVERYONE,
            path: "a".to_owned(),
            line: 1,
            column,
            end_column: column + 3,
            message: message.to_owned(),
            help: "do not".to_owned(),
        };
        Report { file: "f.yaml".to_owned(), source: source.to_owned(), diagnostics: vec![diagnostic] }
    }

    #[test]
    fn the_caret_stands_under_the_value_behind_tabs_too() {
        let text = human(&report("\tk: abc", 5, "no"), Colour::Never);
        let expected = "\
f.yaml:1:5: warning[trusts-everyone]: no (a)
  1 | \tk: abc
    | \t   ^^^
    = do not
f.yaml: 1 warning
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_file_cannot_steer_the_terminal() {
        let text = human(&report("k: \x1b[2Jabc", 8, "\x1b]0;x\x07\u{202e}"), Colour::Never);
        assert!(!text.contains(['\x1b', '\x07', '\u{202e}']), "{text:?}");
    }

    #[test]
    fn colours_are_only_there_when_asked_for() {
        assert!(
            human(&report("k: abc", 4, "no"), Colour::Always).contains("\x1b[1;33mwarning[trusts-everyone]\x1b[0m")
        );
        assert!(!human(&report("k: abc", 4, "no"), Colour::Never).contains('\x1b'));
    }

    #[test]
    fn a_very_long_line_is_shown_from_the_finding_on() {
        let source = format!("{}abc{}", " ".repeat(400), "x".repeat(400));
        let text = human(&report(&source, 401, "no"), Colour::Never);
        assert!(text.contains("\n  1 | abcx"), "{text}");
        assert!(text.lines().all(|line| line.len() < 200));
    }
}
