//! Single values: names, addresses, ranges, URLs, hosts, paths, durations.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Uri};
use ipnet::IpNet;

use crate::problem::{Path, Problems};
use crate::raw::scalar;
use crate::routes::HostPattern;
use crate::rules;

/// Longest name of a listener, service or rollout.
const MAX_NAME: usize = 100;

/// Longest value of a mark.
const MAX_MARK: usize = 96;

/// Least and most bytes that a client may be given room for.
const LEAST_ROOM: u64 = 1 << 10;
const MOST_ROOM: u64 = 16 << 20;

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The field `name` of the piece at `at`, if it is there.
pub(super) fn required<'r, T>(
    field: &'r Option<T>,
    at: &Path<'_>,
    name: &'static str,
    help: &str,
    problems: &mut Problems,
) -> Option<&'r T> {
    if field.is_none() {
        problems.at(&rules::MISSING_FIELD, &at.key(name), format!("`{name}` is missing"), help);
    }
    field.as_ref()
}

/// A list that must have an entry.
pub(super) fn not_empty<'r, T>(list: &'r [T], at: &Path<'_>, help: &str, problems: &mut Problems) -> Option<&'r [T]> {
    if list.is_empty() {
        problems.at(&rules::EMPTY_LIST, at, "the list is empty", help);
        return None;
    }
    Some(list)
}

/// What `check` makes of a piece that may be left out. The outer `None`: an error.
pub(super) fn optional<R, T>(raw: Option<R>, check: impl FnOnce(R) -> Option<T>) -> Option<Option<T>> {
    match raw {
        Some(raw) => check(raw).map(Some),
        None => Some(None),
    }
}

/// Checks all of a list, and has a result if all entries have one.
pub(super) fn each<T, U>(
    list: &[T],
    at: &Path<'_>,
    problems: &mut Problems,
    mut check: impl FnMut(&T, &Path<'_>, &mut Problems) -> Option<U>,
) -> Option<Vec<U>> {
    let mut all = Some(Vec::with_capacity(list.len()));
    for (index, item) in list.iter().enumerate() {
        match (check(item, &at.index(index), problems), &mut all) {
            (Some(checked), Some(all)) => all.push(checked),
            _ => all = None,
        }
    }
    all
}

pub(super) fn name(text: &str, at: &Path<'_>, problems: &mut Problems) -> Option<Arc<str>> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(legal) {
        return Some(text.into());
    }
    let help = format!("write 1 to {MAX_NAME} letters, digits, `.`, `_` or `-`");
    problems.at(&rules::INVALID_NAME, at, format!("`{text}` is not a name"), help);
    None
}

/// A value that a mark can carry.
pub(super) fn mark(text: &str, at: &Path<'_>, problems: &mut Problems) -> Option<Arc<str>> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~/-".contains(&byte);
    if (1..=MAX_MARK).contains(&text.len()) && text.bytes().all(legal) {
        return Some(text.into());
    }
    let message = format!("`{text}` cannot be carried by a mark, so this patch could never be reached");
    let help = format!("write 1 to {MAX_MARK} characters of A-Z a-z 0-9 . _ + ~ / -");
    problems.at(&rules::UNMARKABLE_VALUE, at, message, help);
    None
}

/// Any text, but some.
pub(super) fn text(text: &str, at: &Path<'_>, what: &str, problems: &mut Problems) -> Option<Arc<str>> {
    if !text.is_empty() && !text.chars().any(char::is_control) {
        return Some(text.into());
    }
    let message = format!("{what} is empty or has control characters");
    problems.at(&rules::INVALID_VALUE, at, message, "write one line of text");
    None
}

pub(super) fn socket(text: &str, at: &Path<'_>, problems: &mut Problems) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let help = match text.rsplit_once(':') {
        Some(("" | "*", port)) => format!("write 0.0.0.0:{port} for every interface, or 127.0.0.1:{port}"),
        Some(("localhost", port)) => format!("write 127.0.0.1:{port}; names are not resolved"),
        _ if text.parse::<std::net::IpAddr>().is_ok() => "add the port: IP:PORT, or [IP]:PORT for IPv6".to_owned(),
        _ => "write IP:PORT, such as 127.0.0.1:8080 or [::1]:8080; names are not resolved".to_owned(),
    };
    problems.at(&rules::INVALID_ADDRESS, at, format!("`{text}` is not an address"), help);
    None
}

/// Addresses of a backend: at least one, none with port 0.
pub(super) fn endpoints(list: &[String], at: &Path<'_>, problems: &mut Problems) -> Option<Vec<SocketAddr>> {
    let list = not_empty(list, at, "name at least one IP:PORT", problems)?;
    each(list, at, problems, |text, at, problems| {
        let address = socket(text, at, problems)?;
        if address.port() == 0 {
            let message = "nothing can be reached at port 0";
            problems.at(&rules::INVALID_ADDRESS, at, message, "write the port that the backend listens on");
            return None;
        }
        Some(address)
    })
}

pub(super) fn range(text: &str, at: &Path<'_>, problems: &mut Problems) -> Option<IpNet> {
    if let Ok(range) = text.parse::<IpNet>() {
        return Some(range.trunc());
    }
    let help = match text.parse::<std::net::IpAddr>() {
        Ok(address) => format!("write {}", IpNet::from(address)),
        Err(_) => "write ADDRESS/BITS, such as 10.0.0.0/8 or fd00::/8".to_owned(),
    };
    problems.at(&rules::INVALID_RANGE, at, format!("`{text}` is not an address range"), help);
    None
}

/// `SCHEME://HOST[:PORT]` without user and query.
pub(super) fn uri(text: &str, scheme: &str, at: &Path<'_>, problems: &mut Problems) -> Option<Uri> {
    let usable = |uri: &Uri| {
        uri.scheme_str() == Some(scheme)
            && uri.query().is_none()
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    };
    if let Some(uri) = text.parse::<Uri>().ok().filter(usable) {
        return Some(uri);
    }
    let help = match text.starts_with("https://") {
        true => format!("only {scheme}:// is supported: use a receiver on this machine or in this network"),
        false => format!("write {scheme}://HOST:PORT, without user and query"),
    };
    problems.at(&rules::INVALID_URI, at, format!("`{text}` is not a usable URL"), help);
    None
}

pub(super) fn host(text: &str, at: &Path<'_>, problems: &mut Problems) -> Option<HostPattern> {
    let host = text.to_ascii_lowercase();
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(suffix) = host.strip_prefix('*') {
        if suffix.strip_prefix('.').is_some_and(is_host_name) {
            return Some(HostPattern::Suffix(suffix.to_owned()));
        }
    } else if is_host_name(&host) || bracketed.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok()) {
        return Some(HostPattern::Exact(host));
    }
    let help = match &*host {
        "*" | "" => "leave `host` out to match every host",
        host if host.ends_with('.') => "write it without the last dot",
        host if !host.is_ascii() => "write the name as it is on the wire, xn--…",
        host if host.starts_with('*') => "`*` stands for whole labels in front: *.example.com",
        host if host.contains(':') => {
            "write the host without scheme and port; requests are matched whatever their port"
        }
        _ => "write a name such as a.example.com, or *.example.com for every host below",
    };
    problems.at(&rules::INVALID_HOST, at, format!("`{text}` is not a host"), help);
    None
}

/// As of RFC 1123, and with `_`, which private names have.
fn is_host_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(legal)
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

pub(super) fn path_prefix(text: &str, at: &Path<'_>, problems: &mut Problems) -> Option<String> {
    let legal = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
    if text.starts_with('/') && text.bytes().all(legal) {
        return Some(text.to_owned());
    }
    let help = match text {
        _ if text.contains(['?', '#']) => "a query takes no part in routing: write the path alone",
        _ if !text.starts_with('/') => "begin it with `/`",
        _ => "write it as it is on the wire, percent-encoded",
    };
    problems.at(&rules::INVALID_PATH_PREFIX, at, format!("`{text}` is not a path prefix"), help);
    None
}

pub(super) fn header_name(text: &str, at: &Path<'_>, problems: &mut Problems) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    if name.is_none() {
        let help = "write letters, digits and `-`, such as x-beta";
        problems.at(&rules::INVALID_NAME, at, format!("`{text}` is not a header's name"), help);
    }
    name
}

/// A cookie's name is a token, as a header's is, but its case counts.
pub(super) fn cookie_name(text: &str, at: &Path<'_>, problems: &mut Problems) -> Option<String> {
    if HeaderName::from_bytes(text.as_bytes()).is_ok() {
        return Some(text.to_owned());
    }
    let help = "write letters, digits, `-` and `_`, such as uid";
    problems.at(&rules::INVALID_NAME, at, format!("`{text}` is not a cookie's name"), help);
    None
}

pub(super) fn query_name(text: &str, at: &Path<'_>, problems: &mut Problems) -> Option<String> {
    let legal = |byte: u8| byte.is_ascii_graphic() && !b"&=#".contains(&byte);
    if !text.is_empty() && text.bytes().all(legal) {
        return Some(text.to_owned());
    }
    let help = "write it as it is in the URL, percent-encoded";
    problems.at(&rules::INVALID_NAME, at, format!("`{text}` is not a query parameter's name"), help);
    None
}

/// A duration that has a length.
pub(super) fn non_zero(
    duration: Option<scalar::Duration>,
    default: Duration,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<Duration> {
    match duration {
        None => Some(default),
        Some(scalar::Duration(duration)) if !duration.is_zero() => Some(duration),
        Some(_) => {
            let help = "leave it out for the default, or write a longer one";
            problems.at(&rules::OUT_OF_RANGE, at, "a duration of zero leaves no time for anything", help);
            None
        }
    }
}

/// A count from 1.
pub(super) fn count(number: Option<u64>, default: u64, at: &Path<'_>, problems: &mut Problems) -> Option<u64> {
    match number {
        Some(0) => {
            let help = format!("write a number from 1; the default is {default}");
            problems.at(&rules::OUT_OF_RANGE, at, "a bound of 0 refuses everything", help);
            None
        }
        number => Some(number.unwrap_or(default)),
    }
}

/// A bound on bytes of a client: less has no room for a request, and each client may make patchgate keep as much.
pub(super) fn room(bytes: u64, at: &Path<'_>, what: &str, problems: &mut Problems) -> Option<u64> {
    if (LEAST_ROOM..=MOST_ROOM).contains(&bytes) {
        return Some(bytes);
    }
    let message = format!("a bound of {bytes} bytes for {what}");
    problems.at(&rules::OUT_OF_RANGE, at, message, "write a size from 1KiB to 16MiB");
    None
}
