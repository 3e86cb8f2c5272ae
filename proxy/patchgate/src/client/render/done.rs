//! What an order did, or would do.

use patchgate_admin::api::dto::{Done, Effect};

use super::super::output::Style;
use super::table::Table;
use super::words::{percent, stage};

/// What was done: `NAME verb at SEQUENCE: state`.
pub(crate) fn done(done: &Done, verb: &str, style: Style) -> String {
    let rollout = &done.rollout;
    let mut text = format!("{} {verb} at {}: {}\n", rollout.name, done.sequence, standing(done));
    text.push_str(&warnings(&done.warnings, style));
    text
}

/// What would be done.
pub(crate) fn dry(done: &Done, style: Style) -> String {
    let mut text = format!("{} would be {}\n", done.rollout.name, standing(done));
    text.push_str(&effect(&done.effect, style));
    text.push_str(&warnings(&done.warnings, style));
    text.push_str("nothing was changed: this was a dry run\n");
    text
}

fn standing(done: &Done) -> String {
    let rollout = &done.rollout;
    let mut parts = vec![rollout.state.clone()];
    parts.extend(stage(rollout));
    parts.push(percent(rollout.exposure_percent));
    parts.join(", ")
}

/// What would move, a line a service.
pub(crate) fn effect(effect: &[Effect], style: Style) -> String {
    let mut table = Table::new(["SERVICE", "REQUESTS", "EXPOSURE", "ON THE PATCH NOW", "THEN", "MOVES AT MOST"]);
    for effect in effect {
        table.row([
            effect.service.as_str().into(),
            format!("{:.1}/s", effect.requests_per_second).into(),
            format!("{} → {}", percent(effect.exposure_before_percent), percent(effect.exposure_after_percent)).into(),
            percent(effect.before_percent).into(),
            percent(effect.after_percent).into(),
            percent(effect.moves_percent).into(),
        ]);
    }
    if table.is_empty() { String::new() } else { table.render(style) }
}

fn warnings(warnings: &[String], style: Style) -> String {
    let warning = |warning: &String| format!("{}: {warning}\n", style.paint(anstyle::AnsiColor::Yellow, "warning"));
    warnings.iter().map(warning).collect()
}
