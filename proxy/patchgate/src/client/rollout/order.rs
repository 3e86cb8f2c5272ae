//! How a change is sent: with its reason, its key and the version it was decided on.

use std::io::{self, IsTerminal};

use ::http::Method;
use patchgate_admin::api::dto::{Done, Problem, Rollout};
use serde::Serialize;

use super::super::http::{Call, Client};
use super::super::render::time::ago_text;
use super::super::render::words::one_line;
use super::super::{Failure, hex, now, random};
use super::fetch;
use crate::cli::rollout::WriteArgs;

/// What every change has.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) reason: String,
    pub(super) dry_run: bool,
    /// The same for all that is sent of it.
    key: String,
}

impl Order {
    /// Asks for the reason, where there is somebody to ask.
    pub(super) fn asking(args: &WriteArgs) -> Result<Self, Failure> {
        let mut order = Self::of(args)?;
        let can_ask = || io::stdin().is_terminal() && io::stderr().is_terminal();
        if args.reason.is_none() && !args.dry_run && can_ask() {
            eprint!("reason: ");
            io::stdin().read_line(&mut order.reason).map_err(|error| Failure::Usage(format!("no reason: {error}")))?;
            order.reason.truncate(order.reason.trim_end().len());
        }
        Ok(order)
    }

    /// Asks nothing.
    pub(super) fn of(args: &WriteArgs) -> Result<Self, Failure> {
        let key = match &args.idempotency_key {
            Some(key) => key.clone(),
            None => hex(&random::<16>()?),
        };
        Ok(Self { reason: args.reason.clone().unwrap_or_default(), dry_run: args.dry_run, key })
    }

    /// The order for one of several things, by a key of its own.
    pub(super) fn part(&self, number: usize) -> Self {
        Self { reason: self.reason.clone(), dry_run: self.dry_run, key: format!("{}.{number}", self.key) }
    }

    /// Sends it.
    pub(super) fn send(
        &self,
        client: &Client,
        method: Method,
        target: &str,
        body: &impl Serialize,
        if_version: Option<u64>,
    ) -> Result<Done, Failure> {
        let body = serde_json::to_string(body).expect("wire types can be written to a string");
        let query = if self.dry_run { "?dry_run=true" } else { "" };
        let call = Call::send(method, format!("{target}{query}"), body).if_version(if_version);
        // A dry run is nothing that could be done twice.
        client.json(&if self.dry_run { call } else { call.key(&self.key) })
    }
}

/// What the server's refusal of a stale version means: who was faster, and when.
pub(super) fn explain_change(client: &Client, name: &str, sent: Option<u64>, failure: Failure) -> Failure {
    let Failure::Refused(problem) = failure else { return failure };
    let (412, Some(sent)) = (problem.status, sent) else { return Failure::Refused(problem) };
    changed(name, sent, &problem, fetch(client, name).ok().as_ref())
}

/// The problem says who; the rollout as it is now says when, unless it has changed once more.
fn changed(name: &str, sent: u64, problem: &Problem, rollout: Option<&Rollout>) -> Failure {
    let text = |key: &str| problem.more.get(key).and_then(|value| value.as_str());
    let version = problem.more.get("version").and_then(serde_json::Value::as_u64);
    let rollout = rollout.filter(|rollout| version.is_none_or(|version| rollout.version == version));
    let by = text("changed_by").or(rollout.map(|rollout| rollout.changed.by.as_str()));
    let event = text("changed_event").or(rollout.map(|rollout| rollout.changed.event.as_str()));
    let (Some(actual), Some(by)) = (version.or(rollout.map(|rollout| rollout.version)), by) else {
        return Failure::Refused(Box::new(problem.clone()));
    };
    let when = rollout.map(|rollout| format!(" {}", ago_text(&rollout.changed.at, now()))).unwrap_or_default();
    let who = format!("{} {}{when}", one_line(by), what_they_did(event.unwrap_or_default()));
    Failure::Changed { name: name.to_owned(), actual, sent, who }
}

fn what_they_did(event: &str) -> &'static str {
    match event {
        "paused" => "paused it",
        "resumed" => "resumed it",
        "approved" => "approved it",
        "stage_entered" => "moved it to its next stage",
        "promoted" => "promoted it",
        "completed" => "completed it",
        "aborted" => "aborted it",
        "rolled_back" => "rolled it back",
        "created" => "created it anew",
        "force_stable_changed" => "changed its force_stable",
        _ => "changed it",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn problem(more: serde_json::Value) -> Problem {
        Problem {
            kind: "about:blank".into(),
            title: "Precondition Failed".into(),
            status: 412,
            code: "version_mismatch".into(),
            detail: "rollout `fix` is at version 7, you sent 6".into(),
            request_id: "r1".into(),
            errors: Vec::new(),
            more: serde_json::from_value::<BTreeMap<_, _>>(more).unwrap(),
        }
    }

    #[test]
    fn who_was_faster_is_told_by_the_refusal() {
        let more = json!({"version": 7, "changed_by": "bob", "changed_event": "paused"});
        let told = changed("fix", 6, &problem(more), None).to_string();
        assert_eq!(told, "rollout fix is at version 7, you sent 6 (bob paused it): see patchgate rollout get fix");
    }

    #[test]
    fn a_refusal_that_names_nobody_is_told_in_its_own_words() {
        let told = changed("fix", 6, &problem(json!({})), None).to_string();
        assert!(told.contains("rollout `fix` is at version 7") && told.contains("request r1"), "{told}");
    }
}
