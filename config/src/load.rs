//! File → text → [`Model`]: all stages up to the model, and the crate's only IO.

mod rollout;

use std::fs::{File, FileType};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::diagnostic::Report;
use crate::expand::{Env, expand};
use crate::model::Model;
use crate::problem::Problems;
use crate::tree::Node;
use crate::{lint, raw, tree, validate};

pub use rollout::{LoadedRollout, LoadedRollouts, rollout, rollout_file, rollouts};

/// Most bytes of a file. The largest configuration that anybody writes is far below.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A configuration that can be served by.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub model: Arc<Model>,
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
    /// What the path names is no file: a pipe would be waited for, a device never ends.
    #[error("cannot read the configuration {}: it is {what}; name a regular file with -c FILE", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it names instead.
        what: &'static str,
    },
    /// The file has more than [`MAX_BYTES`].
    #[error(
        "cannot read the configuration {}: it is larger than {} MiB; name a patchgate configuration with -c FILE",
        path.display(),
        MAX_BYTES / 1024 / 1024
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
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
    let text = read(path)?;
    from_text(&path.display().to_string(), &text, env).map_err(LoadError::Invalid)
}

/// The text of a regular file of bounded size.
fn read(path: &Path) -> Result<String, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    // Asked before it is opened: opening a pipe waits for its writer.
    let kind = std::fs::metadata(path).map_err(unreadable)?.file_type();
    if !kind.is_file() {
        return Err(LoadError::NotAFile { path: path.to_owned(), what: describe(kind) });
    }
    let mut bytes = Vec::new();
    // One more than allowed tells too much from just enough, whatever size the system claims.
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|error| unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
}

fn describe(kind: FileType) -> &'static str {
    match () {
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
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
        Some(model) if !report.has_errors() => Ok(Loaded { model: Arc::new(model), report }),
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
