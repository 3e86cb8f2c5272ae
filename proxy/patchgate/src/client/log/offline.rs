//! The log as a data directory has it, read without its lock: also one that a server appends to at this moment.
//!
//! Each record is checked on the way: its checksum and chain by the store, its meaning by the fold.

use std::ops::ControlFlow;
use std::path::Path;

use patchgate_admin::api::dto::{Events, StateHash};
use patchgate_admin::controller::feed::Entry;
use patchgate_admin::log::{self, Fold, Proof};
use patchgate_admin::rollout::{Envelope, codec};
use patchgate_admin::store::Record;
use patchgate_admin::store::file::{self, FileError, scan};
use serde::Serialize;

use super::super::Failure;
use super::super::http::Client;
use super::super::output::{Output, json, print};
use super::super::render;
use super::at;
use crate::cli::log::ShowArgs;

/// What a data directory folds to, and how it compares with a server.
#[derive(Debug, Serialize)]
struct Verified {
    events: u64,
    folded: StateHash,
    /// Absent: no server was there to be compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<StateHash>,
    /// The end is half written: a server is at it, or a crash was.
    torn: bool,
}

/// Folds the log of `data` from its first record. `before` is asked before each one is taken, and may end it there.
/// True: the end is torn, and told.
fn fold(
    data: &Path,
    mut before: impl FnMut(&Fold, &Record) -> Result<ControlFlow<()>, Failure>,
) -> Result<(Fold, bool), Failure> {
    let (mut fold, records) = (Fold::default(), scan(data).map_err(|error| unreadable(data, &error))?);
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(damage) if damage.torn => {
                eprintln!("patchgate: the end of the log is torn: {damage}");
                return Ok((fold, true));
            }
            Err(damage) => return Err(Failure::Log(damage.to_string())),
        };
        if before(&fold, &record)?.is_break() {
            break;
        }
        fold.record(&record).map_err(|fault| {
            let whole = fault.sequence.saturating_sub(1);
            let help = format!("`patchgate log export --until {whole}` saves what is before it into a new directory");
            Failure::Log(format!("{fault}; {help}"))
        })?;
    }
    Ok((fold, false))
}

fn unreadable(data: &Path, error: &FileError) -> Failure {
    let is_there = data.join("log").is_dir();
    let help = if is_there { "" } else { "; name the data directory of admin.store with --data" };
    Failure::Log(format!("{error}{help}"))
}

fn hash(fold: &Fold) -> StateHash {
    let state = fold.state();
    StateHash { sequence: state.sequence, head: fold.chain().to_string(), state_hash: state.hash().to_string() }
}

pub(super) fn show(data: &Path, output: &Output, args: &ShowArgs) -> Result<(), Failure> {
    let wanted = |name: Option<&str>| args.rollout.is_none() || name == args.rollout.as_deref();
    let Some(moment) = args.at else {
        let mut items = Vec::new();
        let (fold, _) = fold(data, |_, record| {
            let envelope = decode(record)?;
            if record.sequence >= args.from.unwrap_or(0) && wanted(envelope.rollout.as_deref()) {
                items.push(Entry::new(record.clone(), envelope).dto());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let events = Events { items, next: None, head: fold.state().sequence };
        return output.tell(&events, |style| render::events::events(&events.items, style));
    };
    let at = at(moment);
    let (fold, _) = fold(data, |_, record| {
        let later = decode(record)?.clock.ms > at;
        Ok(if later { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let mut exposures = log::at(fold.state());
    exposures.retain(|exposure| wanted(Some(&exposure.rollout)));
    output.tell(&exposures, |style| render::log::exposures(&exposures, at, fold.state().sequence, style))
}

fn decode(record: &Record) -> Result<Envelope, Failure> {
    codec::decode(&record.payload).map_err(|error| Failure::Log(format!("event {}: {error}", record.sequence)))
}

/// Asks the server before it looks: what it has by then is on disk.
pub(super) fn verify(data: &Path, client: &Client, output: &Output) -> Result<(), Failure> {
    let server: Option<StateHash> = match client.get("/v1/state-hash") {
        Ok(hash) => Some(hash),
        Err(failure) => {
            eprintln!("patchgate: compared with no server: {failure}");
            None
        }
    };
    let wanted = server.as_ref().map(|server| server.sequence);
    let mut there = None;
    let (fold, torn) = fold(data, |fold, _| {
        if Some(fold.state().sequence) == wanted {
            there = Some(hash(fold));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let folded = hash(&fold);
    if Some(folded.sequence) == wanted {
        there = Some(folded.clone());
    }
    let verified = Verified { events: folded.sequence, folded, server, torn };
    output.tell(&verified, |_| told(&verified, there.as_ref(), &client.server.url))?;
    match &verified.server {
        Some(server) if there.as_ref() != Some(server) => Err(Failure::Log(format!(
            "the log in {} is not what the server at {} ({}) serves by; if it is that server's, keep a copy of the \
             directory, start the server anew, and see its log; if not, name the right one with --server",
            data.display(),
            client.server.url,
            client.server.origin
        ))),
        _ => Ok(()),
    }
}

fn told(verified: &Verified, there: Option<&StateHash>, url: &str) -> String {
    let StateHash { sequence, head, state_hash } = &verified.folded;
    let mut text = format!("{} events folded\n", verified.events);
    text.push_str(&format!("head of the chain at {sequence}: {head}\nhash of the state: {state_hash}\n"));
    match (&verified.server, there) {
        (None, _) => {}
        (Some(server), Some(there)) if server == there => {
            text.push_str(&format!("the server at {url} serves by the same, at {}\n", server.sequence));
        }
        (Some(server), _) => {
            let StateHash { sequence, head, state_hash } = server;
            text.push_str(&format!("the server at {url} says at {sequence}: head {head}, state {state_hash}\n"));
        }
    }
    text
}

pub(super) fn prove(data: &Path, file: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let (fold, _) = fold(data, |_, _| Ok(ControlFlow::Continue(())))?;
    let proof = Proof::of(&fold);
    let document = format!("{:#}\n", json(&proof));
    let Some(file) = file else { return output.tell(&proof, |_| document) };
    std::fs::write(file, document).map_err(|source| Failure::File {
        what: "write the proof",
        path: file.to_owned(),
        source,
    })?;
    print(&format!("the proof of events {} to {} is in {}\n", proof.first, proof.last, file.display()))
}

pub(super) fn export(data: &Path, until: Option<u64>, out: &Path) -> Result<(), Failure> {
    let exported = file::export(data, out, until).map_err(|error| unreadable(data, &error))?;
    let sequence = exported.head.sequence;
    match (&exported.damage, until) {
        (Some(damage), _) => eprintln!("patchgate: {damage}"),
        (None, Some(until)) if sequence < until => {
            eprintln!("patchgate: the log has no order that ends with event {until}");
        }
        (None, _) => {}
    }
    let events = if sequence == 0 { "no event is".to_owned() } else { format!("events 1 to {sequence} are") };
    print(&format!("{events} in {}; head of the chain: {}\n", out.display(), exported.head.hash))
}
