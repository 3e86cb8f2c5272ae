//! For programs: one object with the counts and the findings.

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Report};
use crate::rules::Severity;

/// Renders a report as JSON. Lines and columns count from 1, columns in characters; `end_column` is exclusive.
#[must_use]
pub fn json(report: &Report) -> Value {
    json!({
        "file": report.file,
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "notes": report.count(Severity::Note),
        "diagnostics": report.diagnostics.iter().map(diagnostic).collect::<Vec<_>>(),
    })
}

fn diagnostic(found: &Diagnostic) -> Value {
    json!({
        "severity": found.severity().as_str(),
        "rule": found.rule.id,
        "path": found.path,
        "line": found.line,
        "column": found.column,
        "end_column": found.end_column,
        "message": found.message,
        "help": found.help,
    })
}
