//! `rollout create` and `diff`: rollouts of a file.

use ::http::Method;
use patchgate_admin::api::dto::{Create, Done, Rollout};
use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

use super::super::Failure;
use super::super::http::Client;
use super::super::output::{Output, Style, yaml};
use super::super::render::done;
use super::order::Order;
use super::{definition, fetch};
use crate::cli::rollout::{CreateArgs, FileArg, WriteArgs};

const ROLLOUTS: &str = "/v1/rollouts";

pub(super) fn create(client: &Client, output: &Output, args: &CreateArgs) -> Result<(), Failure> {
    let rollouts = definition::read(&args.file.file)?;
    let order = Order::asking(&args.write)?;
    let several = rollouts.len() > 1;
    for (place, (_, rollout)) in rollouts.into_iter().enumerate() {
        let part = several.then(|| order.part(place + 1));
        let order = part.as_ref().unwrap_or(&order);
        let body = Create { rollout, reason: order.reason.clone(), start: args.start };
        let done = order.send(client, Method::POST, ROLLOUTS, &body, None)?;
        let text = |style| if order.dry_run { done::dry(&done, style) } else { done::done(&done, "created", style) };
        if several { output.tell_one_of_many(&done, text)? } else { output.tell(&done, text)? }
    }
    Ok(())
}

/// How one rollout of a file differs from the log's.
#[derive(Debug, Serialize)]
struct Difference {
    rollout: String,
    /// The log's version; absent: it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// Unified, of both as YAML; empty: they are alike.
    diff: String,
    /// What creating it would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    would: Option<Done>,
    /// Why it could not be created.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

pub(super) fn diff(client: &Client, output: &Output, args: &FileArg) -> Result<(), Failure> {
    let rollouts = definition::read(&args.file)?;
    let several = rollouts.len() > 1;
    for (name, new) in rollouts {
        let logged = match fetch(client, &name) {
            Ok(rollout) => Some(rollout),
            Err(failure) if failure.status() == Some(404) => None,
            Err(failure) => return Err(failure),
        };
        let difference = difference(client, &name, logged.as_ref(), new, &args.file.display().to_string())?;
        let text = |style| told(&difference, logged.as_ref(), style);
        if several { output.tell_one_of_many(&difference, text)? } else { output.tell(&difference, text)? }
    }
    Ok(())
}

fn difference(
    client: &Client,
    name: &str,
    logged: Option<&Rollout>,
    new: Value,
    file: &str,
) -> Result<Difference, Failure> {
    let old = logged.map(|rollout| yaml(&definition::alike(&rollout.definition)));
    let origin = match logged {
        Some(rollout) => format!("the log: {name} at version {}", rollout.version),
        None => "the log: nothing".to_owned(),
    };
    let diff = unified(&old.unwrap_or_default(), &yaml(&new), &origin, file);
    let nothing = WriteArgs { reason: None, dry_run: true, idempotency_key: None };
    let body = Create { rollout: new, reason: String::new(), start: true };
    let (would, refused) = match Order::of(&nothing)?.send(client, Method::POST, ROLLOUTS, &body, None) {
        Ok(done) => (Some(done), None),
        // Of a dry run a refusal is an answer; others are for the one who asks.
        Err(Failure::Refused(problem)) if matches!(problem.status, 409 | 422) => (None, Some(problem.detail)),
        Err(failure) => return Err(failure),
    };
    Ok(Difference { rollout: name.to_owned(), version: logged.map(|rollout| rollout.version), diff, would, refused })
}

fn unified(old: &str, new: &str, origin: &str, file: &str) -> String {
    // Sets of rollouts are short: all of it, so that the place of each change can be seen.
    TextDiff::from_lines(old, new).unified_diff().context_radius(8).header(origin, file).to_string()
}

fn told(difference: &Difference, logged: Option<&Rollout>, style: Style) -> String {
    let mut text = String::new();
    match (&*difference.diff, logged) {
        ("", _) => text.push_str(&format!("{}: no difference\n", difference.rollout)),
        (diff, _) => diff.lines().for_each(|line| text.push_str(&(coloured(line, style) + "\n"))),
    }
    match (&difference.would, &difference.refused) {
        (Some(would), _) => text.push_str(&done::dry(would, style)),
        (None, Some(why)) => text.push_str(&format!("{} cannot be created: {why}\n", difference.rollout)),
        (None, None) => {}
    }
    text
}

fn coloured(line: &str, style: Style) -> String {
    match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => style.bold(line),
        [b'+', ..] => style.paint(anstyle::AnsiColor::Green, line),
        [b'-', ..] => style.paint(anstyle::AnsiColor::Red, line),
        [b'@', ..] => style.paint(anstyle::AnsiColor::Cyan, line),
        _ => line.to_owned(),
    }
}
