//! `patchgate token …`: works on the token file, without a server.

use std::path::PathBuf;
use std::process::ExitCode;

use patchgate_admin::rollout::Millis;
use patchgate_admin::time::rfc3339;
use patchgate_admin::tokens::{self, NewToken, Token, Tokens};
use serde::Serialize;

use super::output::Output;
use super::render::Table;
use super::render::time::until_text;
use super::server::token_file;
use super::{Failure, now, random};
use crate::cli::token::{TokenArgs, TokenCommand};

/// A token as it is told.
#[derive(Debug, Serialize)]
struct Told<'a> {
    name: &'a str,
    role: &'static str,
    services: &'a [String],
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    expired: bool,
}

/// A token with its secret, this once.
#[derive(Debug, Serialize)]
struct Made<'a> {
    name: &'a str,
    token: &'a str,
}

/// See `patchgate token --help`.
pub(crate) fn token(args: &TokenArgs) -> Result<ExitCode, Failure> {
    let (file, output) = (file(args)?, Output::new(args.output));
    match &args.command {
        TokenCommand::Create { name, role, services, expires } => {
            let now = now();
            let expires =
                expires.map(|span| now.saturating_add(Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX)));
            let new =
                NewToken { name: name.clone(), role: (*role).into(), services: services.clone(), expires_ms: expires };
            let secret = tokens::create(&file, new, random()?, now)?;
            eprintln!("patchgate: token `{name}` is in {}; this is its secret, shown this once:", file.display());
            output.tell(&Made { name, token: secret.reveal() }, |_| format!("{}\n", secret.reveal()))?;
        }
        TokenCommand::List => {
            let (tokens, now) = (Tokens::load(&file)?, now());
            let told: Vec<Told<'_>> = tokens.iter().map(|token| self::told(token, now)).collect();
            output.tell(&told, |style| table(&told, now).render(style))?;
        }
        TokenCommand::Revoke { name } => {
            let token = tokens::revoke(&file, name)?;
            output.tell(&told(&token, now()), |_| format!("token `{name}` is revoked\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn file(args: &TokenArgs) -> Result<PathBuf, Failure> {
    match (&args.tokens, args.config.as_deref()) {
        (Some(file), _) => Ok(file.clone()),
        (None, config) => token_file(config),
    }
}

fn told(token: &Token, now: Millis) -> Told<'_> {
    Told {
        name: &token.name,
        role: token.role.as_str(),
        services: &token.services,
        created: rfc3339(token.created_ms),
        expires: token.expires_ms.map(rfc3339),
        expired: token.is_expired(now),
    }
}

fn table(tokens: &[Told<'_>], now: Millis) -> Table {
    let mut table = Table::new(["NAME", "ROLE", "SERVICES", "CREATED", "EXPIRES"]);
    for token in tokens {
        let expires = match &token.expires {
            None => "never".to_owned(),
            Some(_) if token.expired => "expired".to_owned(),
            Some(at) => until_text(at, now),
        };
        let services = token.services.join(",");
        table.row([
            token.name.into(),
            token.role.into(),
            services.into(),
            token.created.as_str().into(),
            expires.into(),
        ]);
    }
    table
}
