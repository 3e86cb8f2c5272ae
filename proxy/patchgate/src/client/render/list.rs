//! All rollouts, a line each.

use patchgate_admin::api::dto::Rollout;
use patchgate_admin::rollout::Millis;

use super::super::output::Style;
use super::table::{Cell, Table};
use super::time::ago_text;
use super::words::{change, colour, needs_somebody, one_line, percent, stage};

/// Those in need of somebody first, then the live ones, then those at an end; each by name.
pub(crate) fn rollouts(rollouts: &[Rollout], now: Millis, style: Style) -> String {
    let mut sorted: Vec<&Rollout> = rollouts.iter().collect();
    sorted.sort_by_key(|rollout| (!needs_somebody(rollout), !rollout.live));
    let mut table = Table::new(["NAME", "STATE", "STAGE", "EXPOSURE", "SERVICES", "WAITS FOR", "LAST CHANGE", ""]);
    for rollout in sorted {
        let services: Vec<&str> = rollout.patches.iter().map(|patch| &*patch.service).collect();
        let waits = match &rollout.waits_for {
            Some(wait) if needs_somebody(rollout) => format!("! {}", wait.kind),
            Some(wait) => wait.kind.clone(),
            None if needs_somebody(rollout) => "!".to_owned(),
            None => "-".to_owned(),
        };
        table.row([
            rollout.name.as_str().into(),
            Cell::coloured(rollout.state.clone(), colour(&rollout.state)),
            stage(rollout).map_or_else(|| "-".to_owned(), |stage| stage["stage ".len()..].to_owned()).into(),
            percent(rollout.exposure_percent).into(),
            one_line(&services.join(",")).into(),
            waits.into(),
            ago_text(&rollout.changed.at, now).into(),
            change(&rollout.changed).into(),
        ]);
    }
    if table.is_empty() {
        return "no rollouts; patchgate rollout create -f FILE makes one, --all shows those at an end\n".to_owned();
    }
    table.render(style)
}
