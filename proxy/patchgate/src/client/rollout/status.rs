//! `rollout status`: how a rollout stands, as an exit code.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use patchgate_admin::api::dto::Rollout;

use super::super::Failure;
use super::super::http::Client;
use super::super::output::Output;
use super::super::render::tree;
use super::super::retry::pause;
use super::fetch;
use crate::cli::rollout::{StatusArgs, Until};

/// Rolled back or aborted.
const ENDED_BADLY: u8 = 2;

/// Not there yet, in time.
const TIMED_OUT: u8 = 3;

/// Paused.
const PAUSED: u8 = 4;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// How long a server that was there may be away.
const AWAY: Duration = Duration::from_secs(60);

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Where it should be.
    Well,
    /// Withdrawn.
    Badly,
    /// It waits for somebody.
    Paused,
    /// On its way.
    UnderWay,
}

pub(super) fn status(
    client: &Client,
    output: &Output,
    args: &StatusArgs,
    timeout: Option<Duration>,
) -> Result<ExitCode, Failure> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let (mut told, mut away) = (String::new(), None::<Instant>);
    loop {
        match fetch(client, &args.name) {
            Ok(rollout) => {
                away = None;
                let line = tree::line(&rollout);
                if line != told {
                    output.tell_one_of_many(&rollout, |_| line.clone())?;
                    told = line;
                }
                let standing = standing(&rollout, args.until);
                if !args.wait || standing != Standing::UnderWay {
                    return Ok(code(standing));
                }
            }
            // A server that was there may come back.
            Err(failure) if args.wait && !told.is_empty() && failure.may_pass() => {
                let since = *away.get_or_insert_with(|| {
                    eprintln!("patchgate: {failure}; trying again");
                    Instant::now()
                });
                if since.elapsed() > AWAY {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
        if left().is_some_and(|left| left.is_zero()) {
            eprintln!("patchgate: rollout {} is not {} in time", args.name, name(args.until));
            return Ok(ExitCode::from(TIMED_OUT));
        }
        pause(left().map_or(LOOK, |left| left.min(LOOK)));
    }
}

fn standing(rollout: &Rollout, until: Until) -> Standing {
    match (&*rollout.state, until) {
        ("rolled_back" | "aborted", _) => Standing::Badly,
        ("completed", _) | ("promoted", Until::Promoted | Until::Paused) | ("paused", Until::Paused) => Standing::Well,
        ("paused", Until::Promoted | Until::Completed) => Standing::Paused,
        _ => Standing::UnderWay,
    }
}

fn code(standing: Standing) -> ExitCode {
    match standing {
        Standing::Well => ExitCode::SUCCESS,
        Standing::Badly => ExitCode::from(ENDED_BADLY),
        Standing::Paused => ExitCode::from(PAUSED),
        Standing::UnderWay => ExitCode::from(TIMED_OUT),
    }
}

const fn name(until: Until) -> &'static str {
    match until {
        Until::Promoted => "promoted",
        Until::Completed => "completed",
        Until::Paused => "paused",
    }
}
