//! Who asks: by a bearer token, or, where none is asked for, by what he calls himself.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName};

use super::problem::Problem;
use crate::controller::{Controller, Wanted};
use crate::rollout::{Actor, Event, Millis, Role};
use crate::tokens::{Token, Tokens};

/// What clients call themselves where nobody checks it.
const ACTOR: HeaderName = HeaderName::from_static("x-patchgate-actor");

/// How often the token file is looked at: a token that is revoked is refused after this.
const LOOK: Duration = Duration::from_millis(500);

/// How callers are known.
#[derive(Debug)]
pub struct Auth(Kind);

#[derive(Debug)]
enum Kind {
    /// By nothing: the address is loopback's.
    Open,
    /// By tokens in a file.
    Tokens { path: PathBuf, tokens: RwLock<Arc<Tokens>> },
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) actor: Actor,
    token: Option<Arc<Token>>,
}

impl Auth {
    /// Everybody who reaches the address may do everything.
    #[must_use]
    pub const fn open() -> Self {
        Self(Kind::Open)
    }

    /// Only who has a token of the file at `path`.
    ///
    /// # Errors
    /// If it is missing or cannot be read.
    pub fn tokens(path: PathBuf) -> Result<Self, crate::tokens::TokensError> {
        let tokens = RwLock::new(Arc::new(Tokens::load(&path)?));
        Ok(Self(Kind::Tokens { path, tokens }))
    }

    /// Follows the file, and writes into the log which tokens came and went. A damaged file changes nothing.
    pub async fn follow(self: Arc<Self>, controller: Controller) {
        let Kind::Tokens { path, tokens } = &self.0 else { return };
        let mut told = String::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let next = match Tokens::load(path) {
                Ok(next) => next,
                Err(error) => {
                    let error = error.to_string();
                    if error != told {
                        tracing::error!(error, "the tokens in force stay");
                    }
                    told = error;
                    continue;
                }
            };
            told.clear();
            let before = Arc::clone(&tokens.read().unwrap_or_else(PoisonError::into_inner));
            if next == *before {
                continue;
            }
            let names = |of: &Tokens, not_in: &Tokens| {
                let gone = of.iter().filter(|token| !not_in.iter().any(|other| other == *token));
                gone.map(|token| token.name.clone()).collect::<Vec<_>>()
            };
            let (added, revoked) = (names(&next, &before), names(&before, &next));
            *tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
            tracing::info!(?added, ?revoked, "tokens changed");
            let actor = Actor { name: "token file".into(), role: Role::System };
            let noted = controller.carry_out(Wanted::Note { actor, event: Event::TokensChanged { added, revoked } });
            if let Err(failure) = noted.await {
                tracing::warn!(%failure, "a change of tokens is not in the event log");
            }
        }
    }

    /// Whether a caller who was let in would be again: his token is still there, as it was, and not expired.
    pub(super) fn still_knows(&self, caller: &Caller, now: Millis) -> bool {
        match (&self.0, &caller.token) {
            (Kind::Open, _) | (_, None) => true,
            (Kind::Tokens { tokens, .. }, Some(token)) => {
                let tokens = Arc::clone(&tokens.read().unwrap_or_else(PoisonError::into_inner));
                !token.is_expired(now) && tokens.iter().any(|known| *known == **token)
            }
        }
    }

    /// Who sends a request with these headers.
    pub(super) fn caller(&self, headers: &HeaderMap, now: Millis) -> Result<Caller, Problem> {
        match &self.0 {
            Kind::Open => open(headers),
            Kind::Tokens { tokens, .. } => {
                let ask = "send a token, `authorization: Bearer …`; `patchgate token create` makes one";
                let Some(value) = headers.get(AUTHORIZATION) else { return Err(Problem::unauthenticated(ask)) };
                let secret = value.to_str().ok().and_then(|value| {
                    let (scheme, secret) = value.split_once(' ')?;
                    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
                });
                let tokens = Arc::clone(&tokens.read().unwrap_or_else(PoisonError::into_inner));
                let token = secret.and_then(|secret| tokens.find(secret)).filter(|token| !token.is_expired(now));
                let token = token
                    .ok_or_else(|| Problem::unauthenticated("this token is not known, was revoked or has expired"))?;
                let actor = Actor { name: token.name.clone(), role: token.role };
                Ok(Caller { actor, token: Some(Arc::new(token.clone())) })
            }
        }
    }
}

/// Whoever reaches loopback, but no page of a browser: those name a host of theirs, or say where they come from.
fn open(headers: &HeaderMap) -> Result<Caller, Problem> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let is_local = name.is_empty()
        || name.eq_ignore_ascii_case("localhost")
        || name.trim_matches(['[', ']']).parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    if !is_local {
        let detail = format!("host `{host}` is not loopback's, and nobody is asked who he is here");
        return Err(Problem::forbidden("foreign_host", detail));
    }
    if headers.contains_key(ORIGIN) {
        return Err(Problem::forbidden(
            "foreign_origin",
            "pages of a browser need a token; turn on admin.auth: tokens",
        ));
    }
    let name = headers.get(ACTOR).and_then(|name| name.to_str().ok()).map(str::trim);
    let name = name.filter(|name| !name.is_empty() && name.len() <= 64).unwrap_or("anonymous");
    Ok(Caller { actor: Actor { name: name.to_owned(), role: Role::Admin }, token: None })
}

impl Caller {
    /// Whether `service` is among those it may see and change.
    pub(super) fn is_for(&self, service: &str) -> bool {
        self.token.as_ref().is_none_or(|token| token.is_for(service))
    }

    /// Whether all services of a rollout are.
    pub(super) fn is_for_all<'a>(&self, mut services: impl Iterator<Item = &'a str>) -> bool {
        services.all(|service| self.is_for(service))
    }

    /// Patterns of services that it is for.
    pub(super) fn services(&self) -> Vec<String> {
        self.token.as_ref().map_or_else(|| vec!["*".to_owned()], |token| token.services.clone())
    }
}
