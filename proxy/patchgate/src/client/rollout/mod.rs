//! `patchgate rollout …`: reading ([`read`], [`status`]), files ([`mod@file`], [`definition`]), changing ([`change`],
//! [`order`]).

mod change;
mod definition;
mod file;
mod order;
mod read;
mod status;

use std::process::ExitCode;

use patchgate_admin::api::dto::Rollout;

use super::Failure;
use super::http::{Client, encode};
use super::output::Output;
use super::server::{Server, TIMEOUT};
use crate::cli::rollout::{RolloutArgs, RolloutCommand};

pub(super) use read::pages;

/// See `patchgate rollout --help`.
pub(crate) fn rollout(args: &RolloutArgs) -> Result<ExitCode, Failure> {
    let mut server = Server::of(&args.server)?;
    if matches!(args.command, RolloutCommand::Status(_)) {
        // There the option says how long to wait for the rollout.
        server.timeout = TIMEOUT;
    }
    let (client, mut output) = (Client::new(server), Output::new(args.server.output));
    let done = match &args.command {
        RolloutCommand::List(args) => read::list(&client, &mut output, args),
        RolloutCommand::Get(args) => read::get(&client, &mut output, args),
        RolloutCommand::History { name } => read::history(&client, &output, name),
        RolloutCommand::Status(asked) => return status::status(&client, &output, asked, args.server.timeout),
        RolloutCommand::Create(args) => file::create(&client, &output, args),
        RolloutCommand::Diff(args) => file::diff(&client, &output, args),
        RolloutCommand::Pause(args) => change::act(&client, &output, args, &change::PAUSE),
        RolloutCommand::Resume(args) => change::act(&client, &output, args, &change::RESUME),
        RolloutCommand::Approve(args) => change::act(&client, &output, args, &change::APPROVE),
        RolloutCommand::Complete(args) => change::act(&client, &output, args, &change::COMPLETE),
        RolloutCommand::Promote(args) => change::promote(&client, &output, args),
        RolloutCommand::Abort(args) => change::abort(&client, &output, args),
        RolloutCommand::ForceStable(args) => change::force_stable(&client, &output, args),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Where a rollout is asked for.
fn target(name: &str) -> String {
    format!("/v1/rollouts/{}", encode(name))
}

fn fetch(client: &Client, name: &str) -> Result<Rollout, Failure> {
    client.get(target(name))
}
