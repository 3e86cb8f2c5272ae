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

/// Looks up the bytes of files that a configuration names.
pub type Files<'a> = &'a dyn Fn(&Path) -> Result<Vec<u8>, FileError>;

/// Why a file that is named has no bytes.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system does not let it be read.
    #[error("{0}")]
    Unreadable(std::io::Error),
    /// It is something else.
    #[error("it is {0}")]
    NotAFile(&'static str),
    /// It has more than [`MAX_BYTES`].
    #[error("it is larger than {} MiB", MAX_BYTES / 1024 / 1024)]
    TooLarge,
    /// Whoever wrote the text may not have it read.
    #[error("a text that was posted may name those files only that the one in force names")]
    NotAllowed,
}

/// Loads a file. `env` looks up what `${NAME}` stands for.
///
/// # Errors
/// The file cannot be read, or has errors; then all of them are told, and its risks.
pub fn load(path: &Path, env: Env<'_>) -> Result<Loaded, LoadError> {
    let text = read(path)?;
    from_text(&path.display().to_string(), &text, env).map_err(LoadError::Invalid)
}

/// The text of a configuration.
fn read(path: &Path) -> Result<String, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let bytes = bytes_of(path).map_err(|error| match error {
        FileError::Unreadable(source) => unreadable(source),
        FileError::NotAFile(what) => LoadError::NotAFile { path: path.to_owned(), what },
        FileError::TooLarge => LoadError::TooLarge { path: path.to_owned() },
        error @ FileError::NotAllowed => unreadable(std::io::Error::other(error)),
    })?;
    String::from_utf8(bytes).map_err(|error| unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
}

/// The bytes of a regular file of bounded size.
///
/// # Errors
/// Why there are none.
pub fn bytes_of(path: &Path) -> Result<Vec<u8>, FileError> {
    // Asked before it is opened: opening a pipe waits for its writer.
    let kind = std::fs::metadata(path).map_err(FileError::Unreadable)?.file_type();
    if !kind.is_file() {
        return Err(FileError::NotAFile(describe(kind)));
    }
    let mut bytes = Vec::new();
    // One more than allowed tells too much from just enough, whatever size the system claims.
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    match read.map_err(FileError::Unreadable)? as u64 > MAX_BYTES {
        true => Err(FileError::TooLarge),
        false => Ok(bytes),
    }
}

fn describe(kind: FileType) -> &'static str {
    match () {
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

/// Loads a text, and the files of certificates that it names; `file` is how reports call it.
///
/// # Errors
/// The text has errors; the report tells all of them, and its risks.
pub fn from_text(file: &str, text: &str, env: Env<'_>) -> Result<Loaded, Report> {
    from_text_with(file, text, env, &bytes_of)
}

/// The same, with files looked up by `files`.
///
/// # Errors
/// The text has errors; the report tells all of them, and its risks.
pub fn from_text_with(file: &str, text: &str, env: Env<'_>, files: Files<'_>) -> Result<Loaded, Report> {
    let mut problems = Problems::default();
    let expanded = expand(text, env, &mut problems);
    let mut tree = tree::parse::parse(&expanded.text, &mut problems);
    let model = tree.as_mut().and_then(|tree| model(text, tree, files, &mut problems));
    let report = problems.into_report(file, text, &expanded, tree.as_ref());
    match model {
        Some(model) if !report.has_errors() => Ok(Loaded { model: Arc::new(model), report }),
        _ => Err(report),
    }
}

fn model(text: &str, tree: &mut Node<'_>, files: Files<'_>, problems: &mut Problems) -> Option<Model> {
    let config = raw::read::read(tree, problems)?;
    lint::lint(&config, problems);
    validate::validate(&config, digest(text), tree.lost_entries("services"), files, problems)
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
