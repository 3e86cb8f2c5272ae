//! What was found in a configuration, each with its place and its remedy.

use std::fmt;

use crate::report;
use crate::rules::{Rule, Severity};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The rule that is broken; it says how bad that is.
    pub rule: &'static Rule,
    /// The value's path in the file, such as `rollouts[0].stages[1].percent`; empty: the file as a whole.
    pub path: String,
    /// Line of the file as written, from 1.
    pub line: usize,
    /// First column in characters, from 1.
    pub column: usize,
    /// Column behind the last character, on the same line.
    pub end_column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// All findings of one file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The file's name as it was asked for.
    pub file: String,
    /// Its text as written, before expansion.
    pub source: String,
    /// What was found.
    pub diagnostics: Vec<Diagnostic>,
}

impl Diagnostic {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.rule.severity
    }
}

impl Report {
    /// How many findings of one severity there are.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity() == severity).count()
    }

    /// Whether the file cannot be served by.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&report::human(self, report::Colour::Never))
    }
}
