//! The client side of the command line: what the commands about rollouts, requests, the log and tokens do.
//!
//! From an argument to a text, each step in its own module:
//!
//! 1. [`server`]: where the admin API is, and what makes us known there;
//! 2. [`http`]: one request, again if its answer was lost ([`retry`]); [`sse`] and [`follow`]: what changes;
//! 3. the commands: [`mod@rollout`], [`mod@explain`], [`mod@log`], [`mod@token`], [`mod@drain`],
//!    [`pages`];
//! 4. [`output`] and [`screen`]: to standard output; [`render`]: wire types → texts for people.
//!
//! Nothing here decides about a rollout: the server does, or says why not. [`failure`] tells what can go wrong.

mod drain;
mod explain;
mod failure;
mod follow;
mod http;
mod log;
mod output;
mod pages;
mod render;
mod retry;
mod rollout;
mod screen;
mod server;
mod sse;
mod token;

use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::SystemTime;

use patchgate_admin::rollout::Millis;

pub(crate) use drain::drain;
pub(crate) use explain::explain;
pub(crate) use failure::Failure;
pub(crate) use log::log;
pub(crate) use pages::{completions, man};
pub(crate) use rollout::rollout;
pub(crate) use token::token;

/// Tells how a command ended.
pub(crate) fn end(ended: Result<ExitCode, Failure>) -> ExitCode {
    match ended {
        Ok(code) => code,
        // A reader that has seen enough, such as `head`, is no error.
        Err(Failure::Untold(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("patchgate: error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Milliseconds since 1970, by this machine's clock.
fn now() -> Millis {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    Millis::try_from(now).unwrap_or(Millis::MAX)
}

/// Bytes that nobody can guess.
fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(Failure::Usage(format!("the operating system gives no random bits: {error}"))),
    }
}

/// Lower-case hex digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
