//! Fields that are accepted and checked, but that this version does not act on. When one begins to act, its line here
//! goes.

use crate::problem::{Path, Problems};
use crate::raw::{Config, Rollout};
use crate::rules;

pub(super) fn lint(config: &Config, problems: &mut Problems) {
    rollouts(config.rollouts.as_deref().unwrap_or_default(), problems);
}

pub(super) fn rollouts(rollouts: &[Rollout], problems: &mut Problems) {
    let list = Path::ROOT.key("rollouts");
    for (index, rollout) in rollouts.iter().enumerate() {
        let at = list.index(index);
        note(rollout.gates.is_some(), "gates", "nothing is measured against them", &at, problems);
        let decides = rollout.gates.is_some() && rollout.on_fail.is_some();
        note(decides, "on_fail", "no gate fails", &at, problems);
    }
}

const HELP: &str = "nothing need be done; do not rely on it";

fn note(given: bool, name: &'static str, effect: &str, at: &Path<'_>, problems: &mut Problems) {
    if given {
        let message = format!("`{name}` is accepted and has no effect yet: {effect}");
        problems.at(&rules::NOT_IN_FORCE, &at.key(name), message, HELP);
    }
}
