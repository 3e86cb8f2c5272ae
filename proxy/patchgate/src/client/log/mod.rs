//! `patchgate log …`: by the server ([`online`]), or by a data directory ([`offline`]), which needs no server and is
//! only read.

mod offline;
mod online;
mod past;

use std::process::ExitCode;

use patchgate_admin::rollout::Millis;

use super::http::Client;
use super::output::Output;
use super::server::{Server, data_directory};
use super::{Failure, now};
use crate::cli::log::{DataArg, LogArgs, LogCommand};
use crate::cli::parse::Moment;

/// See `patchgate log --help`.
pub(crate) fn log(args: &LogArgs) -> Result<ExitCode, Failure> {
    let output = Output::new(args.server.output);
    let client = || Server::of(&args.server).map(Client::new);
    let data = |said: &DataArg| data_directory(said.data.as_deref(), args.server.config.as_deref());
    match &args.command {
        LogCommand::Show(args) => match &args.data {
            Some(data) => offline::show(data, &output, args)?,
            None => online::show(&client()?, &output, args)?,
        },
        LogCommand::Verify { data: Some(data) } => offline::verify(data, &client()?, &output)?,
        LogCommand::Verify { data: None } => online::verify(&client()?, &output)?,
        LogCommand::Prove { data: said, file } => offline::prove(&data(said)?, file.as_deref(), &output)?,
        LogCommand::Export { data: said, until, out } => offline::export(&data(said)?, *until, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A moment as the log counts time.
fn at(moment: Moment) -> Millis {
    match moment {
        Moment::At(at) => at,
        Moment::Ago(span) => now().saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
    }
}
