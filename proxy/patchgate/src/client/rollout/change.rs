//! Changes of a rollout that is there.

use std::time::{Duration, Instant};

use ::http::Method;
use patchgate_admin::api::dto::{Act, Done, ForceStable, Promote, Rollout};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::Failure;
use super::super::http::Client;
use super::super::output::Output;
use super::super::render::done;
use super::super::render::words::{gateways, percent};
use super::super::retry::pause;
use super::order::{Order, explain_change};
use super::{fetch, target};
use crate::cli::parse::Field;
use crate::cli::rollout::{ChangeArgs, ForceStableArgs, PromoteArgs, Who};

/// A change that needs nothing but a reason.
#[derive(Debug)]
pub(super) struct Verb {
    /// The end of its path.
    path: &'static str,
    /// What it has done.
    past: &'static str,
}

pub(super) const PAUSE: Verb = Verb { path: "pause", past: "paused" };
pub(super) const RESUME: Verb = Verb { path: "resume", past: "resumed" };
pub(super) const APPROVE: Verb = Verb { path: "approve", past: "approved" };
pub(super) const COMPLETE: Verb = Verb { path: "complete", past: "completed" };

/// How long an abort waits for the gateways.
const CONVERGENCE: Duration = Duration::from_secs(1);

/// Between two looks at them.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn act(client: &Client, output: &Output, args: &ChangeArgs, verb: &Verb) -> Result<(), Failure> {
    let order = Order::asking(&args.write)?;
    let version = version(client, args)?;
    let body = Act { reason: order.reason.clone() };
    let done = send(client, &order, Method::POST, &args.name, verb.path, &body, version)?;
    tell(output, &done, &order, verb.past)
}

pub(super) fn promote(client: &Client, output: &Output, args: &PromoteArgs) -> Result<(), Failure> {
    let order = Order::asking(&args.change.write)?;
    let version = version(client, &args.change)?;
    let body = Promote { reason: order.reason.clone(), full: args.full };
    let done = send(client, &order, Method::POST, &args.change.name, "promote", &body, version)?;
    tell(output, &done, &order, "promoted")
}

/// Looks at nothing before and asks nothing: stopping never waits.
pub(super) fn abort(client: &Client, output: &Output, args: &ChangeArgs) -> Result<(), Failure> {
    let order = Order::of(&args.write)?;
    let body = Act { reason: order.reason.clone() };
    let mut done = send(client, &order, Method::POST, &args.name, "abort", &body, args.if_version)?;
    if order.dry_run {
        return tell(output, &done, &order, "aborted");
    }
    converge(client, &mut done);
    output.tell(&done, |_| aborted(&done))
}

/// Waits until all gateways have it, but not for long: it is acknowledged already.
fn converge(client: &Client, done: &mut Done) {
    let deadline = Instant::now() + CONVERGENCE;
    while done.rollout.convergence.applied < done.rollout.convergence.of && Instant::now() < deadline {
        pause(LOOK);
        match fetch(client, &done.rollout.name) {
            Ok(rollout) => done.rollout = rollout,
            // What was acknowledged stays so, whoever can be asked.
            Err(_) => return,
        }
    }
}

fn aborted(done: &Done) -> String {
    let rollout = &done.rollout;
    let share = percent(rollout.exposure_percent).trim_end_matches('%').to_owned();
    let rest = match rollout.convergence.of - rollout.convergence.applied.min(rollout.convergence.of) {
        0 => String::new(),
        rest => format!(" so far; {rest} still to follow, see patchgate rollout get {}", rollout.name),
    };
    let on = gateways(&rollout.convergence);
    let by = &rollout.changed.by;
    format!("{} aborted at {} by {by}; canary share {share} on {on}{rest}\n", rollout.name, done.sequence)
}

pub(super) fn force_stable(client: &Client, output: &Output, args: &ForceStableArgs) -> Result<(), Failure> {
    let order = Order::asking(&args.change.write)?;
    let rollout = fetch(client, &args.change.name)?;
    let body = ForceStable { force_stable: rules(&rollout, &args.who), reason: order.reason.clone() };
    let version = Some(args.change.if_version.unwrap_or(rollout.version));
    let done = send(client, &order, Method::PUT, &args.change.name, "force-stable", &body, version)?;
    tell(output, &done, &order, "changed")
}

/// What is there, unless it is to go, and what is new.
fn rules(rollout: &Rollout, who: &Who) -> Vec<Value> {
    let there = rollout.definition.get("force_stable").and_then(Value::as_array).filter(|_| !who.clear);
    let mut rules = there.cloned().unwrap_or_default();
    let field = |kind: &str, Field { name, value }: &Field| match value {
        Some(value) => json!({ kind: { "name": name, "equals": value } }),
        None => json!({ kind: { "name": name } }),
    };
    let new = who.header.iter().map(|header| field("header", header));
    let new = new.chain(who.cookie.iter().map(|cookie| field("cookie", cookie)));
    let new = new.chain(who.query.iter().map(|query| field("query", query)));
    let new = new.chain(who.address.iter().map(|range| json!({ "address": range })));
    for rule in new {
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    rules
}

/// The version that a change is decided on: as said, else as it is now.
fn version(client: &Client, args: &ChangeArgs) -> Result<Option<u64>, Failure> {
    match args.if_version {
        Some(version) => Ok(Some(version)),
        None => fetch(client, &args.name).map(|rollout| Some(rollout.version)),
    }
}

fn send(
    client: &Client,
    order: &Order,
    method: Method,
    name: &str,
    path: &str,
    body: &impl Serialize,
    version: Option<u64>,
) -> Result<Done, Failure> {
    let done = order.send(client, method, &format!("{}/{path}", target(name)), body, version);
    done.map_err(|failure| explain_change(client, name, version, failure))
}

fn tell(output: &Output, done: &Done, order: &Order, verb: &str) -> Result<(), Failure> {
    output.tell(done, |style| if order.dry_run { done::dry(done, style) } else { done::done(done, verb, style) })
}

#[cfg(test)]
mod tests {
    use patchgate_admin::api::dto::Convergence;

    use super::super::super::render::tests::example;
    use super::*;

    fn who(clear: bool) -> Who {
        Who {
            header: vec![Field { name: "x-tenant".into(), value: Some("acme".into()) }],
            cookie: vec![Field { name: "beta".into(), value: None }],
            query: Vec::new(),
            address: vec!["10.1.0.0/16".into()],
            clear,
        }
    }

    #[test]
    fn what_is_forced_to_stable_is_added_to_what_is_there() {
        let mut rollout = example();
        rollout.definition = json!({"force_stable": [{"cookie": {"name": "beta"}}, {"address": "192.168.0.0/16"}]});
        assert_eq!(
            rules(&rollout, &who(false)),
            [
                json!({"cookie": {"name": "beta"}}),
                json!({"address": "192.168.0.0/16"}),
                json!({"header": {"name": "x-tenant", "equals": "acme"}}),
                json!({"address": "10.1.0.0/16"}),
            ]
        );
        assert_eq!(rules(&rollout, &who(true)).len(), 3);
        let none = Who { header: Vec::new(), cookie: Vec::new(), query: Vec::new(), address: Vec::new(), clear: true };
        assert_eq!(rules(&rollout, &none), Vec::<Value>::new());
    }

    #[test]
    fn an_abort_tells_its_sequence_and_how_many_gateways_have_it() {
        let mut rollout = example();
        rollout.exposure_percent = 0.0;
        rollout.changed.by = "ann".into();
        rollout.convergence = Convergence { applied: 1, of: 1 };
        let mut done = Done { sequence: 1042, rollout, effect: Vec::new(), warnings: Vec::new() };
        assert_eq!(aborted(&done), "checkout-npe-fix aborted at 1042 by ann; canary share 0 on 1 of 1 gateways\n");
        done.rollout.convergence = Convergence { applied: 37, of: 40 };
        assert!(aborted(&done).contains("on 37 of 40 gateways so far; 3 still to follow"), "{}", aborted(&done));
    }
}
