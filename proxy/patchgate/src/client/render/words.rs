//! The few words and numbers that several texts share.

use anstyle::AnsiColor;
use patchgate_admin::api::dto::{Change, Convergence, Rollout};
use patchgate_admin::rollout::Millis;

use super::time::ago_text;

/// A share: `25%`, `2.5%`, `0.01%`.
pub(crate) fn percent(share: f64) -> String {
    // As exact as exposures are.
    let text = format!("{share:.4}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A state's colour.
pub(crate) fn colour(state: &str) -> Option<AnsiColor> {
    match state {
        "canary" => Some(AnsiColor::Cyan),
        "paused" => Some(AnsiColor::Yellow),
        "promoted" | "completed" => Some(AnsiColor::Green),
        "rolled_back" | "aborted" => Some(AnsiColor::Red),
        _ => None,
    }
}

/// `37 of 40 gateways`.
pub(crate) fn gateways(convergence: &Convergence) -> String {
    let Convergence { applied, of } = convergence;
    format!("{applied} of {of} gateways")
}

/// `stage 2 of 3`, if it is at one.
pub(crate) fn stage(rollout: &Rollout) -> Option<String> {
    rollout.stage.map(|stage| format!("stage {} of {}", stage + 1, rollout.stages.len()))
}

/// `stage_entered by ann: looks good`.
pub(crate) fn change(change: &Change) -> String {
    let Change { event, by, reason, .. } = change;
    match &**reason {
        "" => format!("{event} by {}", one_line(by)),
        reason => format!("{event} by {}: {}", one_line(by), one_line(reason)),
    }
}

/// `3m ago by ann: looks good`, of a change whose name is told already.
pub(crate) fn when_and_who(change: &Change, now: Millis) -> String {
    let Change { at, by, reason, .. } = change;
    let why = if reason.is_empty() { String::new() } else { format!(": {}", one_line(reason)) };
    format!("{} by {}{why}", ago_text(at, now), one_line(by))
}

/// A text of somebody else, on one line and without escapes.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whether somebody should look at it.
pub(crate) fn needs_somebody(rollout: &Rollout) -> bool {
    let waits = rollout.waits_for.as_ref().is_some_and(|wait| wait.kind != "hold");
    rollout.live && (rollout.state == "paused" || waits || rollout.drift.is_some())
}
