//! File → text → [`Model`]: all stages up to the model, and the crate's only IO.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::diagnostic::Report;
use crate::expand::{Env, expand};
use crate::model::Model;
use crate::problem::Problems;
use crate::tree::Node;
use crate::{lint, raw, tree, validate};

/// A configuration that can be served by.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub model: Model,
    /// Its risks; no errors among them.
    pub report: Report,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}; {}", path.display(), remedy(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file has errors.
    #[error("{0}")]
    Invalid(Report),
}

/// Loads a file. `env` looks up what `${NAME}` stands for.
///
/// # Errors
/// The file cannot be read, or has errors; then all of them are told, and its risks.
pub fn load(path: &Path, env: Env<'_>) -> Result<Loaded, LoadError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
    from_text(&path.display().to_string(), &text, env).map_err(LoadError::Invalid)
}

/// Loads a text; `file` is how reports call it.
///
/// # Errors
/// The text has errors; the report tells all of them, and its risks.
pub fn from_text(file: &str, text: &str, env: Env<'_>) -> Result<Loaded, Report> {
    let mut problems = Problems::default();
    let expanded = expand(text, env, &mut problems);
    let mut tree = tree::parse::parse(&expanded.text, &mut problems);
    let model = tree.as_mut().and_then(|tree| model(text, tree, &mut problems));
    let report = problems.into_report(file, text, &expanded, tree.as_ref());
    match model {
        Some(model) if !report.has_errors() => Ok(Loaded { model, report }),
        _ => Err(report),
    }
}

fn model(text: &str, tree: &mut Node<'_>, problems: &mut Problems) -> Option<Model> {
    let config = raw::read::read(tree, problems)?;
    lint::lint(&config, problems);
    validate::validate(&config, digest(text), tree.lost_entries("services"), problems)
}

/// XXH3 in 128 bits, in hex: tells files apart, and is no defence against someone who wants two to look alike.
fn digest(text: &str) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()))
}

/// The JSON Schema (2020-12) of the file, made from the very types that read it.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(raw::Config).to_value()
}

fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "check the path, or name the file with -c FILE",
        std::io::ErrorKind::PermissionDenied => "let the user that patchgate runs as read it",
        std::io::ErrorKind::InvalidData => "save it as UTF-8 text",
        _ => "name a readable file with -c FILE",
    }
}
