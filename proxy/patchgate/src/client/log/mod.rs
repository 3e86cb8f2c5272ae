//! `patchgate log …`: by the server ([`online`]).

mod online;
mod past;

use std::process::ExitCode;

use super::http::Client;
use super::output::Output;
use super::server::Server;
use super::{Failure, now};
use crate::cli::log::{LogArgs, LogCommand};
use crate::cli::parse::Moment;

/// See `patchgate log --help`.
pub(crate) fn log(args: &LogArgs) -> Result<ExitCode, Failure> {
    let output = Output::new(args.server.output);
    let client = || Server::of(&args.server).map(Client::new);
    match &args.command {
        LogCommand::Show(args) => online::show(&client()?, &output, args)?,
        LogCommand::Verify => online::verify(&client()?, &output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A moment as the log counts time.
fn at(moment: Moment) -> patchgate_admin::rollout::Millis {
    match moment {
        Moment::At(at) => at,
        Moment::Ago(span) => now().saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
    }
}
