//! The token file: read whole, changed under a lock, replaced in one step.
//!
//! A crash leaves the old file or the new one. Two who change it at a time do so one after the other; the lock is the
//! operating system's, on a file of its own beside it, and ends with its process.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Misread, NewToken, SECRET_BYTES, Secret, Token, Tokens, TokensError};
use crate::rollout::Millis;

/// Most bytes of a file: tens of thousands of tokens.
const MAX_BYTES: u64 = 16 << 20;

/// Permissions that let others than the owner change the file.
const WRITABLE: u32 = 0o022;

impl Tokens {
    /// Reads a file.
    ///
    /// # Errors
    /// If there is none, if it cannot be read, if others may write it, or if it is not what was written.
    pub fn load(path: &Path) -> Result<Self, TokensError> {
        let io = |what| failed(what, path);
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => TokensError::Missing { path: path.to_owned() },
            _ => io("open")(error),
        })?;
        let mode = file.metadata().map_err(io("look at"))?.permissions().mode() & 0o7777;
        if mode & WRITABLE != 0 {
            return Err(TokensError::Open { path: path.to_owned(), mode });
        }
        let mut text = Vec::new();
        // One more than allowed tells too much from just enough.
        file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(io("read"))?;
        let damaged = |what| TokensError::Damaged { path: path.to_owned(), what };
        if text.len() as u64 > MAX_BYTES {
            return Err(damaged(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
        }
        Self::parse(&text).map_err(|misread| match misread {
            Misread::Damaged(what) => damaged(what),
            Misread::Form(found) => TokensError::Newer { path: path.to_owned(), found },
        })
    }
}

/// Adds a token to the file, which is made if there is none, and returns its secret: the only copy.
///
/// `random` is what the secret is made of, `now` its time of creation.
///
/// # Errors
/// If the name is taken or illegal, or the file cannot be read or written; then it is as it was.
pub fn create(path: &Path, new: NewToken, random: [u8; SECRET_BYTES], now: Millis) -> Result<Secret, TokensError> {
    let secret = Secret::from_random(random);
    let _lock = lock(path)?;
    let mut tokens = match Tokens::load(path) {
        Err(TokensError::Missing { .. }) => Tokens::default(),
        loaded => loaded?,
    };
    tokens.add(new, &secret, now)?;
    replace(path, tokens.to_json().as_bytes())?;
    Ok(secret)
}

/// Takes a token out of the file and returns what it was.
///
/// # Errors
/// If there is none of that name, or the file cannot be read or written; then it is as it was.
pub fn revoke(path: &Path, name: &str) -> Result<Token, TokensError> {
    // Asked before the lock, which would make a folder for a path that was mistyped.
    Tokens::load(path)?;
    let _lock = lock(path)?;
    let mut tokens = Tokens::load(path)?;
    let token = tokens.remove(name)?;
    replace(path, tokens.to_json().as_bytes())?;
    Ok(token)
}

/// Waits until nobody else changes the file.
fn lock(path: &Path) -> Result<File, TokensError> {
    let folder = folder(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("make the directory of", path))?;
    let beside = beside(path, "lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(beside);
    let file = open.map_err(failed("lock", path))?;
    file.lock().map_err(failed("lock", path))?;
    Ok(file)
}

/// Writes the file anew: under another name first, on disk before it takes its place.
fn replace(path: &Path, text: &[u8]) -> Result<(), TokensError> {
    // A link is followed: what it leads to is replaced, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let new = beside(&target, "new");
    let written = write_new(&new, text).and_then(|()| fs::rename(&new, &target)).and_then(|()| sync(folder(&target)));
    written.map_err(|error| {
        // Of no use to anybody; what the error says matters more.
        let _ = fs::remove_file(&new);
        failed("write", path)(error)
    })
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    // One that a crash left behind; nobody else is at it, which the lock sees to.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// A rename is durable once its directory is.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> TokensError {
    move |source| TokensError::Io { what, path: path.to_owned(), source }
}
