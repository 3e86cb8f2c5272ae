//! `admin`.

use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};

use super::values::{count, non_zero, room, socket, text};
use crate::model::{Admin, AdminLimits, Auth, Store};
use crate::problem::{Path, Problems};
use crate::raw;
use crate::rules;

/// The tokens' hashes, in the store's directory unless they have a file of their own.
const TOKENS: &str = "tokens.json";

pub(super) fn admin(raw: &raw::Admin, at: &Path<'_>, problems: &mut Problems) -> Option<Admin> {
    let default = Admin::default();
    let address = match &raw.address {
        Some(address) => socket(address, &at.key("address"), problems),
        None => Some(default.address),
    };
    let store = match &raw.store {
        Some(store) => self::store(store, &at.key("store"), problems),
        None => Some(default.store),
    };
    let tokens = raw.tokens.as_ref().map(|path| text(path, &at.key("tokens"), "the file's name", problems));
    let authenticated = authenticated(raw, address, at, problems);
    let verify_every = non_zero(raw.verify_every, default.verify_every, &at.key("verify_every"), problems);
    let limits = limits(raw.limits.as_ref(), default.limits, &at.key("limits"), problems);
    let store = store?;
    let tokens = match tokens {
        Some(path) => PathBuf::from(&*path?),
        None => directory(&store).join(TOKENS),
    };
    Some(Admin {
        address: address?,
        store,
        auth: if authenticated? { Auth::Tokens(tokens) } else { Auth::None },
        require_reason: raw.require_reason.unwrap_or(default.require_reason),
        verify_every: verify_every?,
        limits: limits?,
    })
}

fn directory(store: &Store) -> &FilePath {
    match store {
        Store::File(directory) => directory,
    }
}

fn store(raw: &raw::Store, at: &Path<'_>, problems: &mut Problems) -> Option<Store> {
    match raw {
        raw::Store::File(path) => {
            text(path, &at.key("file"), "the directory's name", problems).map(|path| Store::File(PathBuf::from(&*path)))
        }
        // Another store in its place would lose what it is trusted with.
        raw::Store::Jetstream(_) => {
            let message = "the store `jetstream` is not available in this version";
            problems.at(
                &rules::NOT_AVAILABLE,
                at,
                message,
                "write { file: DIRECTORY } to keep the log on this machine",
            );
            None
        }
    }
}

/// Whether callers are known; `None`: an error, such as nobody being asked on an address that others reach.
fn authenticated(
    raw: &raw::Admin,
    address: Option<SocketAddr>,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<bool> {
    let reached = address.filter(|address| !address.ip().to_canonical().is_loopback());
    match (raw.auth, &raw.tokens, reached) {
        (Some(raw::Auth::None), Some(_), _) => {
            let help = "leave `tokens` out to know nobody, or `auth` to know callers by their tokens";
            problems.at(&rules::EXCLUSIVE_FIELDS, &at.key("auth"), "`auth: none` stands beside `tokens`", help);
            None
        }
        (Some(raw::Auth::Tokens), _, _) | (None, Some(_), _) => Some(true),
        (Some(raw::Auth::None), None, Some(address)) => {
            let message = format!("whoever reaches {address} could change rollouts");
            let help = "write `auth: tokens`, or listen on a loopback address such as 127.0.0.1:9901";
            problems.at(&rules::ADMIN_FOR_EVERYONE, &at.key("auth"), message, help);
            None
        }
        (None, None, Some(address)) => {
            let message = format!("whoever reaches {address} could change rollouts");
            let help = "add `auth: tokens`, or listen on a loopback address such as 127.0.0.1:9901";
            let absent = [at.key("auth"), at.key("tokens")];
            problems.none_of(&rules::ADMIN_FOR_EVERYONE, &absent, &at.key("address"), message, help);
            None
        }
        (Some(raw::Auth::None) | None, None, None) => Some(false),
    }
}

fn limits(
    raw: Option<&raw::AdminLimits>,
    default: AdminLimits,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<AdminLimits> {
    let nothing = raw::AdminLimits::default();
    let raw = raw.unwrap_or(&nothing);
    let bytes = raw.body_bytes.map_or(default.body_bytes as u64, |size| size.0);
    let bytes = room(bytes, &at.key("body_bytes"), "a request's body", problems);
    let requests = raw.requests_per_second.map(u64::from);
    let requests = count(requests, default.requests_per_second.into(), &at.key("requests_per_second"), problems);
    let watchers = count(raw.watchers.map(u64::from), default.watchers.into(), &at.key("watchers"), problems);
    Some(AdminLimits {
        body_bytes: usize::try_from(bytes?).ok()?,
        requests_per_second: u32::try_from(requests?).ok()?,
        watchers: u32::try_from(watchers?).ok()?,
    })
}
