//! Events of the log, a line each.

use patchgate_admin::api::dto::Event;
use patchgate_admin::rollout::{self, Completion, Entry, RollbackCause};

use super::super::output::Style;
use super::table::Table;
use super::words::one_line;

/// Oldest first.
pub(crate) fn events(events: &[Event], style: Style) -> String {
    let mut table = Table::new(["SEQUENCE", "TIME", "ROLLOUT", "EVENT", "BY", "WHAT", "WHY"]);
    for event in events {
        table.row([
            event.sequence.to_string().into(),
            event.at.as_str().into(),
            one_line(event.rollout.as_deref().unwrap_or("-")).into(),
            event.kind.as_str().into(),
            one_line(&event.actor).into(),
            what(event).into(),
            one_line(&event.reason).into(),
        ]);
    }
    if table.is_empty() {
        return "no events\n".to_owned();
    }
    table.render(style)
}

/// What happened, besides its type; nothing for events of a later version.
fn what(event: &Event) -> String {
    match serde_json::from_value(event.event.clone()) {
        Ok(event) => one_line(&describe(&event)),
        Err(_) => String::new(),
    }
}

fn describe(event: &rollout::Event) -> String {
    use rollout::Event;
    match event {
        Event::Created { plan, .. } => {
            let patches: Vec<_> =
                plan.patches.iter().map(|patch| format!("{} {}", patch.service, patch.version)).collect();
            format!("{}, {} stages", patches.join(", "), plan.stages.len())
        }
        Event::StageEntered { stage, exposure, entry } => {
            let why = match entry {
                Entry::Start => "begins",
                Entry::HoldOver => "the hold is over",
                Entry::Promote => "promoted",
            };
            format!("stage {} at {exposure}: {why}", stage + 1)
        }
        Event::Paused { stage, .. } | Event::Resumed { stage } => format!("at stage {}", stage + 1),
        Event::Approved | Event::Aborted => String::new(),
        Event::ForceStableChanged { rules } => match rules.len() {
            1 => "1 rule".to_owned(),
            rules => format!("{rules} rules"),
        },
        Event::Promoted { exposure, full } => format!("{exposure}{}", if *full { ", stages skipped" } else { "" }),
        Event::Completed { cause: Completion::Told } => "told".to_owned(),
        Event::Completed { cause: Completion::StableVersion } => "stable runs the version".to_owned(),
        Event::RolledBack { cause: RollbackCause::Deadline } => "the deadline has passed".to_owned(),
        Event::RolledBack { cause: RollbackCause::Verdict { finding } } => finding.clone(),
        Event::Denied { request, status, code, more } => {
            let more = if *more > 0 { format!(", and {more} before") } else { String::new() };
            format!("{request}: {status} {code}{more}")
        }
        Event::TokensChanged { added, revoked } => {
            format!("added {}; revoked {}", names(added), names(revoked))
        }
    }
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
