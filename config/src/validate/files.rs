//! Files that a configuration names.

use std::path::PathBuf;

use super::values::required;
use crate::load::Files;
use crate::mark_key::MarkKey;
use crate::problem::{Path, Problems};
use crate::rules;

/// The path and the content of the file that the field `name` names.
pub(super) fn named(
    raw: &Option<String>,
    name: &'static str,
    files: Files<'_>,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<(PathBuf, Vec<u8>)> {
    let path = required(raw, at, name, "name a file; a relative path is of the working directory", problems)?;
    content(path, files, &at.key(name), problems)
}

fn content(path: &str, files: Files<'_>, at: &Path<'_>, problems: &mut Problems) -> Option<(PathBuf, Vec<u8>)> {
    match files(std::path::Path::new(path)) {
        Ok(bytes) => Some((path.into(), bytes)),
        Err(error) => {
            let message = format!("`{path}` cannot be read: {error}");
            let help = "check the path, and that the user that patchgate runs as may read it";
            problems.at(&rules::UNREADABLE_FILE, at, message, help);
            None
        }
    }
}

/// The key in a file.
pub(super) fn mark_key(path: &str, files: Files<'_>, at: &Path<'_>, problems: &mut Problems) -> Option<MarkKey> {
    let (file, bytes) = content(path, files, at, problems)?;
    let key = MarkKey::read(file, &bytes);
    if let Err(error) = &key {
        let help = "make one with `openssl rand -hex 32`";
        problems.at(&rules::INVALID_KEY, at, format!("`{path}` cannot be used: {error}"), help);
    }
    key.ok()
}
