//! `patchgate drain`: asks a gateway to end in order, and may wait until it has.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::http::Method;
use patchgate_admin::api::dto::Act;

use super::Failure;
use super::http::{Call, Client};
use super::output::print;
use super::retry::pause;
use super::server::Server;
use crate::cli::drain::DrainArgs;

/// It has not ended in time.
const TIMED_OUT: u8 = 3;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// See `patchgate drain --help`.
pub(crate) fn drain(args: &DrainArgs) -> Result<ExitCode, Failure> {
    let client = Client::new(Server::of(&args.server)?);
    let body = serde_json::to_string(&Act { reason: args.reason.clone() }).expect("texts can be written to a string");
    client.text(&Call::send(Method::POST, "/v1/drain", body))?;
    let url = &client.server.url;
    let Some(patience) = args.wait else {
        print(&format!("the gateway at {url} drains\n"))?;
        return Ok(ExitCode::SUCCESS);
    };
    let deadline = Instant::now() + patience;
    while !client.is_gone() {
        if Instant::now() >= deadline {
            eprintln!("patchgate: the gateway at {url} drains, but has not ended in time; see drain.timeout");
            return Ok(ExitCode::from(TIMED_OUT));
        }
        pause(LOOK);
    }
    print(&format!("the gateway at {url} has ended\n"))?;
    Ok(ExitCode::SUCCESS)
}
