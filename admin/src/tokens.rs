//! Who may use the admin API: bearer tokens, of which only hashes are kept.
//!
//! A file of JSON, readable by its owner alone, written as a whole or not at all. It stands beside the API, which asks
//! it, and the command line, which changes it. It draws no random bits itself, and it shows no secret: the one that
//! [`create`] returns is the only copy there ever is.
//!
//! A file that is missing, damaged or open to others is an error: it is never read as "no tokens".

mod file;
mod glob;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::rollout::{Millis, Role};

pub use file::{create, revoke};

/// What every secret begins with: scanners of code and logs find a leaked one by it.
pub const PREFIX: &str = "pgt_";

/// Random bytes in a secret.
pub const SECRET_BYTES: usize = 32;

/// Longest name, in characters.
const MAX_NAME: usize = 64;

/// Version of the file's form.
const VERSION: u32 = 1;

/// All tokens of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    tokens: Vec<Token>,
}

/// One token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is: the actor in every event that it causes.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Patterns of the services that it may do this to: `*` is any text, `?` any character.
    pub services: Vec<String>,
    /// BLAKE3 of the secret.
    hash: blake3::Hash,
    /// When it was made.
    pub created_ms: Millis,
    /// From when on it is worth nothing; `None`: never.
    pub expires_ms: Option<Millis>,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Patterns of the services that it may do this to; at least one.
    pub services: Vec<String>,
    /// From when on it is worth nothing; `None`: never.
    pub expires_ms: Option<Millis>,
}

/// What a client sends to be known. It is shown by [`reveal`](Self::reveal) alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// There is no such file.
    #[error(
        "there is no token file {}; `patchgate token create --tokens {} --name NAME --role admin` makes one",
        path.display(), path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The operating system said no.
    #[error("cannot {what} the token file {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Others than its owner may write it.
    #[error("others may write the token file {} (mode {mode:04o}); run `chmod 600 {}`", path.display(), path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what was written.
    #[error(
        "the token file {} is damaged: {what}; restore it from a copy, or remove it and create all tokens anew",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong; never a part of it.
        what: String,
    },
    /// A later version wrote it.
    #[error("the token file {} has form {found}, this patchgate knows form {VERSION}; use a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The form found.
        found: u32,
    },
    /// The name is taken.
    #[error("there is a token `{name}` already; choose another name, or `patchgate token revoke {name}` first")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// There is no such token.
    #[error("there is no token `{name}`; there {}", known(.names))]
    Unknown {
        /// The name asked for.
        name: String,
        /// Those there are.
        names: Vec<String>,
    },
    /// What was asked for makes no token.
    #[error("{0}")]
    Invalid(String),
}

/// The file as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    tokens: Vec<WrittenToken>,
}

/// A token as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenToken {
    name: String,
    role: Role,
    services: Vec<String>,
    hash: String,
    created_ms: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_ms: Option<Millis>,
}

// === impl Tokens ===

impl Tokens {
    /// The token that this is the secret of, whether or not it has expired: ask [`Token::is_expired`], so that its owner
    /// can be told. Takes the same time wherever it is in the file, and whatever of it is right.
    #[must_use]
    pub fn find(&self, secret: &str) -> Option<&Token> {
        let hash = blake3::hash(secret.as_bytes());
        // Hashes are compared in constant time; and all of them are, found or not.
        self.tokens.iter().fold(None, |found, token| if token.hash == hash { Some(token) } else { found })
    }

    /// All of them, in the order in which they were made.
    pub fn iter(&self) -> std::slice::Iter<'_, Token> {
        self.tokens.iter()
    }

    /// Whether there are none: then nobody may do anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    fn add(&mut self, new: NewToken, secret: &Secret, now: Millis) -> Result<(), TokensError> {
        check(&new.name, new.role, &new.services).map_err(TokensError::Invalid)?;
        if new.expires_ms.is_some_and(|at| at <= now) {
            return Err(TokensError::Invalid("the token would have expired before it exists".to_owned()));
        }
        if self.tokens.iter().any(|token| token.name == new.name) {
            return Err(TokensError::Duplicate { name: new.name });
        }
        let NewToken { name, role, services, expires_ms } = new;
        self.tokens.push(Token { name, role, services, hash: secret.hash(), created_ms: now, expires_ms });
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<Token, TokensError> {
        let place = self.tokens.iter().position(|token| token.name == name);
        place.map(|place| self.tokens.remove(place)).ok_or_else(|| TokensError::Unknown {
            name: name.to_owned(),
            names: self.tokens.iter().map(|token| token.name.clone()).collect(),
        })
    }

    fn parse(text: &[u8]) -> Result<Self, Misread> {
        #[derive(Deserialize)]
        struct Form {
            version: u32,
        }
        let malformed = |error: serde_json::Error| {
            // The message of the parser may quote what it read.
            Misread::Damaged(format!(
                "it is not what patchgate writes, line {} column {}",
                error.line(),
                error.column()
            ))
        };
        let Form { version } = serde_json::from_slice(text).map_err(malformed)?;
        if version != VERSION {
            return Err(Misread::Form(version));
        }
        let written: Written = serde_json::from_slice(text).map_err(malformed)?;
        let mut tokens: Vec<Token> = Vec::with_capacity(written.tokens.len());
        for (place, token) in written.tokens.into_iter().enumerate() {
            let damaged = |what: String| Misread::Damaged(format!("token {}: {what}", place + 1));
            check(&token.name, token.role, &token.services).map_err(damaged)?;
            let hash = blake3::Hash::from_hex(&token.hash).map_err(|_| damaged("its hash is none".to_owned()))?;
            if tokens.iter().any(|other| other.name == token.name || other.hash == hash) {
                return Err(damaged(format!("`{}` is there twice", token.name)));
            }
            let WrittenToken { name, role, services, created_ms, expires_ms, .. } = token;
            tokens.push(Token { name, role, services, hash, created_ms, expires_ms });
        }
        Ok(Self { tokens })
    }

    fn to_json(&self) -> String {
        let written = |token: &Token| WrittenToken {
            name: token.name.clone(),
            role: token.role,
            services: token.services.clone(),
            hash: token.hash.to_string(),
            created_ms: token.created_ms,
            expires_ms: token.expires_ms,
        };
        let written = Written { version: VERSION, tokens: self.tokens.iter().map(written).collect() };
        serde_json::to_string_pretty(&written).expect("texts and numbers can be written to a string") + "\n"
    }
}

impl<'a> IntoIterator for &'a Tokens {
    type Item = &'a Token;
    type IntoIter = std::slice::Iter<'a, Token>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Why a text is no token file.
enum Misread {
    Damaged(String),
    Form(u32),
}

fn check(name: &str, role: Role, services: &[String]) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(legal) {
        return Err(format!("a token's name has 1 to {MAX_NAME} of the characters A-Z a-z 0-9 . _ - @ +"));
    }
    if role == Role::System {
        return Err("the role `system` is patchgate's own; use viewer, operator, approver or admin".to_owned());
    }
    let fits = |pattern: &String| !pattern.is_empty() && pattern.chars().all(|c| c.is_ascii_graphic());
    if services.is_empty() || !services.iter().all(fits) {
        return Err("a token needs patterns of service names, such as `*` or `shop-*`".to_owned());
    }
    Ok(())
}

fn known(names: &[String]) -> String {
    match names {
        [] => "are none".to_owned(),
        [only] => format!("is `{only}`"),
        names => format!("are {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}

// === impl Token ===

impl Token {
    /// Whether it goes for this service.
    #[must_use]
    pub fn is_for(&self, service: &str) -> bool {
        self.services.iter().any(|pattern| glob::matches(pattern, service))
    }

    /// Whether it is worth nothing any more.
    #[must_use]
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires_ms.is_some_and(|at| at <= now)
    }
}

// === impl Secret ===

impl Secret {
    /// From bytes that nobody can guess.
    #[must_use]
    pub fn from_random(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(format!("{PREFIX}{}", blake3::Hash::from_bytes(bytes).to_hex()))
    }

    /// The text that clients send.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> blake3::Hash {
        blake3::hash(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests;
