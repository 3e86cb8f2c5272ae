//! One rollout as a tree: stages, services with their tracks, what it waits for, who serves it.

use patchgate_admin::api::dto::{Patch, Rollout, Stage, Track};
use patchgate_admin::rollout::Millis;
use patchgate_admin::time::parse;

use super::super::output::Style;
use super::table::{Cell, Table};
use super::time::{span, until_text};
use super::words::{change, colour, gateways, one_line, percent, stage, when_and_who};

/// Cells of a progress bar.
const BAR: u64 = 20;

/// A line with those below it.
struct Node {
    text: String,
    below: Vec<String>,
}

/// The whole tree.
pub(crate) fn rollout(rollout: &Rollout, now: Millis, style: Style) -> String {
    let mut nodes = vec![Node { text: "stages".to_owned(), below: stages(rollout, now, style) }];
    nodes.extend(rollout.patches.iter().map(|patch| service(patch, style)));
    let fact = |text: String| Node { text, below: Vec::new() };
    if let Some(wait) = &rollout.waits_for {
        let until = wait.until.as_ref().map(|until| format!(", {}", until_text(until, now))).unwrap_or_default();
        nodes.push(fact(format!("waits for {}{until}: {}", wait.kind, one_line(&wait.message))));
    }
    if let Some(above) = rollout.approval_above_percent {
        let by = match &rollout.approved_by {
            Some(by) => format!("approved by {by}"),
            None => "not approved yet".to_owned(),
        };
        nodes.push(fact(format!("above {} a second person is needed: {by}", percent(above))));
    }
    if let Some(deadline) = rollout.deadline.as_ref().filter(|_| rollout.live) {
        nodes.push(fact(format!("deadline {deadline}, {}", until_text(deadline, now))));
    }
    if let Some(drift) = &rollout.drift {
        nodes.push(fact(style.paint(anstyle::AnsiColor::Yellow, &format!("drift: {}", one_line(drift)))));
    }
    if let Some(seconds) = rollout.time_to_zero_canary_seconds {
        nodes.push(fact(format!("the last response of the hot-fix came {seconds:.3} s after its withdrawal")));
    }
    nodes.push(fact(format!("created {}", when_and_who(&rollout.created, now))));
    if rollout.changed != rollout.created {
        nodes.push(fact(format!("{} {}", rollout.changed.event, when_and_who(&rollout.changed, now))));
    }
    nodes.push(fact(format!("{} at {}", gateways(&rollout.convergence), rollout.version)));
    format!("{}\n{}", head(rollout, style), branches(&nodes, style))
}

fn head(rollout: &Rollout, style: Style) -> String {
    let state = match colour(&rollout.state) {
        Some(colour) => style.paint(colour, &rollout.state),
        None => rollout.state.clone(),
    };
    let mut parts = vec![state];
    parts.extend(stage(rollout));
    parts.push(percent(rollout.exposure_percent));
    parts.push(format!("group {}", rollout.group));
    format!("{}  {}", style.bold(&rollout.name), parts.join(", "))
}

fn branches(nodes: &[Node], style: Style) -> String {
    let mut text = String::new();
    for (place, node) in nodes.iter().enumerate() {
        let last = place + 1 == nodes.len();
        let (branch, rest) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        text.push_str(&format!("{}{}\n", style.dim(branch), node.text));
        for (place, line) in node.below.iter().enumerate() {
            let branch = if place + 1 == node.below.len() { "└─ " } else { "├─ " };
            text.push_str(&format!("{}{line}\n", style.dim(&format!("{rest}{branch}"))));
        }
    }
    text
}

fn stages(rollout: &Rollout, now: Millis, style: Style) -> Vec<String> {
    if rollout.stages.is_empty() {
        return vec!["none: marks and rules alone reach the patch until it is promoted".to_owned()];
    }
    let passed = |place: usize| match rollout.stage {
        Some(stage) => place < stage as usize,
        None => matches!(&*rollout.state, "promoted" | "completed"),
    };
    let mut table = Table::new(["", "", ""]);
    for (place, stage) in rollout.stages.iter().enumerate() {
        let is_now = rollout.stage.is_some_and(|now| now as usize == place);
        let (mark, colour) = match () {
            () if is_now => ("▶", colour(&rollout.state)),
            () if passed(place) => ("✓", Some(anstyle::AnsiColor::Green)),
            () => ("·", None),
        };
        let progress = if is_now { progress(rollout, stage, now) } else { hold(stage) };
        table.row([Cell::coloured(mark.to_owned(), colour), percent(stage.percent).into(), progress.into()]);
    }
    table.lines(style).collect()
}

fn hold(stage: &Stage) -> String {
    stage.hold_ms.map_or_else(|| "until somebody promotes".to_owned(), span)
}

/// How much of the hold has passed. Between two answers of the server the end of the hold tells, while it runs.
fn progress(rollout: &Rollout, stage: &Stage, now: Millis) -> String {
    let Some(hold) = stage.hold_ms else { return "until somebody promotes".to_owned() };
    let ends = rollout.waits_for.as_ref().filter(|wait| wait.kind == "hold").and_then(|wait| wait.until.as_ref());
    let held = match ends.and_then(|ends| parse(ends).ok()) {
        Some(ends) => hold.saturating_sub(ends.saturating_sub(now)),
        None => stage.held_ms.unwrap_or(0).min(hold),
    };
    format!("{} {} of {}", bar(held, hold), span(held), span(hold))
}

fn bar(done: Millis, all: Millis) -> String {
    let filled = u128::from(done) * u128::from(BAR) / u128::from(all.max(1));
    let filled = usize::try_from(filled).unwrap_or(usize::MAX).min(BAR as usize);
    "█".repeat(filled) + &"░".repeat(BAR as usize - filled)
}

fn service(patch: &Patch, style: Style) -> Node {
    let Patch { service, version, endpoints, tracks } = patch;
    let text = format!("{service}: {version} on {}", endpoints.join(", "));
    if tracks.is_empty() {
        return Node { text, below: vec!["no traffic".to_owned()] };
    }
    let mut table = Table::new(["track", "version", "rate", "errors", "p50", "p99"]);
    for track in tracks {
        table.row(self::track(track));
    }
    Node { text, below: table.lines(style).collect() }
}

fn track(track: &Track) -> [Cell; 6] {
    let ms = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}ms"));
    let errors = Cell::coloured(
        format!("{:.2}%", track.error_percent),
        (track.error_percent > 0.0).then_some(anstyle::AnsiColor::Red),
    );
    [
        track.track.as_str().into(),
        track.version.as_str().into(),
        format!("{:.1}/s", track.requests_per_second).into(),
        errors,
        ms(track.p50_ms).into(),
        ms(track.p99_ms).into(),
    ]
}

/// The same in one line, without traffic: two lines alike are no change.
pub(crate) fn line(rollout: &Rollout) -> String {
    let mut parts = vec![rollout.state.clone()];
    parts.extend(stage(rollout));
    parts.push(percent(rollout.exposure_percent));
    parts.push(change(&rollout.changed));
    format!("{} {}: {}\n", rollout.changed.at, rollout.name, parts.join(", "))
}
