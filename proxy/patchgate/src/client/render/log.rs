//! How things stood at a moment.

use patchgate_admin::log::Exposure;
use patchgate_admin::rollout::{Millis, Phase};
use patchgate_admin::time::rfc3339;

use super::super::output::Style;
use super::table::{Cell, Table};
use super::words::{colour, one_line};

/// Every rollout there was, and who had brought it there, when and why.
pub(crate) fn exposures(exposures: &[Exposure], at: Millis, sequence: u64, style: Style) -> String {
    let head = format!("at {}, after event {sequence}:\n", rfc3339(at));
    let mut table = Table::new(["ROLLOUT", "STATE", "STAGE", "EXPOSURE", "SINCE", "EVENT", "BY", "WHY"]);
    for exposure in exposures {
        table.row([
            exposure.rollout.as_str().into(),
            Cell::coloured(exposure.phase.name().to_owned(), colour(exposure.phase.name())),
            stage(exposure.phase).into(),
            exposure.exposure.to_string().into(),
            rfc3339(exposure.since.at_ms).into(),
            format!("{} {}", exposure.since.sequence, exposure.since.event).into(),
            one_line(&exposure.since.by.name).into(),
            one_line(&exposure.since.reason).into(),
        ]);
    }
    if table.is_empty() {
        return head + "there was no rollout\n";
    }
    head + &table.render(style)
}

fn stage(phase: Phase) -> String {
    phase.stage().map_or_else(|| "-".to_owned(), |stage| (stage + 1).to_string())
}
