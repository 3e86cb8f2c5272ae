//! The log as the server tells of it.

use ::http::Method;
use patchgate_admin::api::dto::Verified;
use patchgate_admin::log;

use super::super::Failure;
use super::super::http::{Call, Client, encode};
use super::super::output::Output;
use super::super::render;
use super::super::rollout::pages;
use super::{at, past};
use crate::cli::log::ShowArgs;

/// Events of one page.
const PAGE: usize = 500;

pub(super) fn show(client: &Client, output: &Output, args: &ShowArgs) -> Result<(), Failure> {
    let rollout = args.rollout.as_ref().map(|name| format!("&rollout={}", encode(name))).unwrap_or_default();
    let from = args.from.map(|from| format!("&from={from}")).unwrap_or_default();
    let events = pages(client, &format!("/v1/events?limit={PAGE}{rollout}{from}"))?;
    let Some(moment) = args.at else {
        return output.tell(&events, |style| render::events::events(&events.items, style));
    };
    let at = at(moment);
    let state = past::state_at(&events.items, at)
        .map_err(|what| Failure::Log(format!("{what}; use a patchgate as new as the server")))?;
    let exposures = log::at(&state);
    output.tell(&exposures, |style| render::log::exposures(&exposures, at, state.sequence, style))
}

/// Lets the server fold its log anew.
pub(super) fn verify(client: &Client, output: &Output) -> Result<(), Failure> {
    let verified: Verified = client.json(&Call::send(Method::POST, "/v1/verify", "{}".to_owned()))?;
    let Verified { events, folded, matches_server, took_ms, .. } = &verified;
    output.tell(&verified, |_| {
        format!(
            "{events} events folded in {took_ms} ms\nhead of the chain at {}: {}\nhash of the state: {}\n",
            folded.sequence, folded.head, folded.state_hash
        )
    })?;
    if *matches_server {
        return Ok(());
    }
    Err(Failure::Log(
        "the log folds to another state than the server serves by; keep a copy of the data directory, start the server \
         anew, and see its log"
            .to_owned(),
    ))
}
