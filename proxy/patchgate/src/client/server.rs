//! Where the admin API is, who says so, and what makes us known there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use patchgate_config::load::load;
use patchgate_config::model::{Auth, Model, Store};

use super::Failure;
use crate::cli::server::ServerArgs;
use crate::reload::environment;

/// Where it is unless somebody says otherwise.
const DEFAULT: &str = "http://127.0.0.1:9901";

/// The variable that says where it is.
const SERVER: &str = "PATCHGATE_SERVER";

/// The variable that has the token.
const TOKEN: &str = "PATCHGATE_TOKEN";

/// How long an answer may take unless somebody says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);

/// Where the data directory is unless somebody says otherwise.
const DATA: &str = "./patchgate-data";

/// The token file in a data directory.
const TOKENS: &str = "tokens.json";

/// An admin API, before it was asked anything.
#[derive(Debug)]
pub(crate) struct Server {
    /// `http://HOST:PORT`, perhaps with a path; no slash at its end.
    pub(crate) url: String,
    /// Who says so.
    pub(crate) origin: Origin,
    /// Makes us known.
    pub(crate) identity: Identity,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
}

/// Who says where the admin API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag,
    Config(PathBuf),
    Variable,
    Default,
}

/// What makes us known.
pub(crate) enum Identity {
    /// A token. It is shown to nobody else.
    Token(String),
    /// What we call ourselves, where no token is asked for.
    Name(String),
    /// Nothing.
    Unknown,
}

impl Server {
    pub(crate) fn of(args: &ServerArgs) -> Result<Self, Failure> {
        let (text, origin) = match (&args.server, &args.config) {
            (Some(url), _) => (url.clone(), Origin::Flag),
            (None, Some(file)) => (format!("http://{}", admin_address(file)?), Origin::Config(file.clone())),
            (None, None) => match environment(SERVER).filter(|url| !url.is_empty()) {
                Some(url) => (url, Origin::Variable),
                None => (DEFAULT.to_owned(), Origin::Default),
            },
        };
        let url = url(&text).map_err(|why| Failure::Usage(format!("`{text}` ({origin}) {why}")))?;
        let server = Self { url, origin, identity: identity(args)?, timeout: args.timeout.unwrap_or(TIMEOUT) };
        if matches!(server.identity, Identity::Token(_)) && !is_loopback(&server.url) {
            eprintln!("patchgate: warning: the token goes to {} unencrypted", server.url);
        }
        Ok(server)
    }
}

/// The base that paths are appended to.
fn url(text: &str) -> Result<String, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let wrong = || "is not an address; write http://HOST:PORT".to_owned();
    let uri: Uri = whole.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err("asks for TLS, which the admin API does not speak; write http://HOST:PORT".into()),
        _ => return Err(wrong()),
    }
    if authority.as_str().contains('@') {
        return Err(format!("holds a name or a password; a token is in ${TOKEN} or --token-file"));
    }
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let port_is_legal = port.is_empty() || authority.port_u16().is_some_and(|port| port > 0);
    if authority.host().is_empty() || !port_is_legal || uri.query().is_some() {
        return Err(wrong());
    }
    Ok(whole.trim_end_matches('/').to_owned())
}

fn is_loopback(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Where the admin API of a configuration can be asked from this machine.
fn admin_address(file: &Path) -> Result<SocketAddr, Failure> {
    let model = load(file, &environment)?.model;
    let Some(admin) = &model.admin else {
        let why = format!("{} has no section `admin`, so nothing to ask; name a server with --server", file.display());
        return Err(Failure::Usage(why));
    };
    if admin.address.port() == 0 {
        let why = format!("admin.address of {} leaves the port open; name it with --server", file.display());
        return Err(Failure::Usage(why));
    }
    let ip = match admin.address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, admin.address.port()))
}

fn identity(args: &ServerArgs) -> Result<Identity, Failure> {
    let (token, whence) = match &args.token_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| Failure::File {
                what: "read the token file",
                path: path.clone(),
                source,
            })?;
            (text, path.display().to_string())
        }
        None => match environment(TOKEN) {
            Some(token) => (token, format!("${TOKEN}")),
            None => return Ok(own_name()),
        },
    };
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::Usage(format!("{whence} holds no token; put there what `patchgate token create` shows")));
    }
    Ok(Identity::Token(token.to_owned()))
}

fn own_name() -> Identity {
    let name = environment("USER").or_else(|| environment("LOGNAME")).or_else(account).unwrap_or_default();
    let legal = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    if legal { Identity::Name(name) } else { Identity::Unknown }
}

/// The account's name: a shell in a container has no `$USER`.
fn account() -> Option<String> {
    account_in(&std::fs::read_to_string("/etc/passwd").ok()?, rustix::process::geteuid().as_raw())
}

fn account_in(accounts: &str, uid: u32) -> Option<String> {
    let mut fields = accounts.lines().map(|line| line.split(':'));
    fields.find_map(|mut field| {
        let (name, _password, id) = (field.next()?, field.next()?, field.next()?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The data directory: as said, else the configuration's, else the default.
pub(crate) fn data_directory(said: Option<&Path>, config: Option<&Path>) -> Result<PathBuf, Failure> {
    match (said, config) {
        (Some(said), _) => Ok(said.to_owned()),
        (None, Some(file)) => Ok(configured_data(&load(file, &environment)?.model)),
        (None, None) => Ok(PathBuf::from(DATA)),
    }
}

/// The token file: the configuration's, else the one in the data directory.
pub(crate) fn token_file(config: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(file) = config else { return Ok(Path::new(DATA).join(TOKENS)) };
    let model = load(file, &environment)?.model;
    match model.admin.as_ref().map(|admin| &admin.auth) {
        Some(Auth::Tokens(tokens)) => Ok(tokens.clone()),
        Some(Auth::None) | None => Ok(configured_data(&model).join(TOKENS)),
    }
}

fn configured_data(model: &Model) -> PathBuf {
    match model.admin.as_ref().map(|admin| &admin.store) {
        Some(Store::File(data)) => data.clone(),
        None => PathBuf::from(DATA),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("from --server"),
            Self::Config(file) => write!(f, "admin.address of {}", file.display()),
            Self::Variable => write!(f, "from ${SERVER}"),
            Self::Default => f.write_str("the default"),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token(…)"),
            Self::Name(name) => write!(f, "Name({name:?})"),
            Self::Unknown => f.write_str("Unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_its_name() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nnobody:x:65534:65534::/:/bin/false\n";
        assert_eq!(account_in(accounts, 0).as_deref(), Some("root"));
        assert_eq!(account_in(accounts, 65534).as_deref(), Some("nobody"));
        assert_eq!(account_in(accounts, 1000), None);
    }

    #[test]
    fn an_address_is_taken_as_people_write_it() {
        for (text, expected) in [
            ("http://127.0.0.1:9901", "http://127.0.0.1:9901"),
            ("http://gate.example.com/admin/", "http://gate.example.com/admin"),
            ("10.0.0.1:9901", "http://10.0.0.1:9901"),
            ("[::1]:9901", "http://[::1]:9901"),
            ("localhost", "http://localhost"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("https://gate:9901", "TLS"),
            ("http://ann:secret@gate:9901", "--token-file"),
            ("ftp://gate", "http://HOST:PORT"),
            ("http://", "http://HOST:PORT"),
            ("gate:0", "http://HOST:PORT"),
            ("gate:99999", "http://HOST:PORT"),
            ("http://gate/?x=1", "http://HOST:PORT"),
            ("", "http://HOST:PORT"),
        ] {
            assert!(url(text).is_err_and(|why| why.contains(expected)), "{text}: {:?}", url(text));
        }
    }

    #[test]
    fn a_token_may_go_to_this_machine_without_a_warning() {
        assert!(["http://127.0.0.1:1", "http://[::1]:1", "http://localhost"].into_iter().all(is_loopback));
        assert!(
            !["http://10.0.0.1:1", "http://localhost.example.com", "http://127.0.0.1.nip.io"]
                .into_iter()
                .any(is_loopback)
        );
    }

    #[test]
    fn a_token_is_not_shown_when_it_is_debugged() {
        let shown = format!("{:?}", Identity::Token("pgt_secret".into()));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
