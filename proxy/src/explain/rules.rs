//! Takes down what a decision looks at, in words.

use patchgate_config::snapshot::{Exposure, RequestMatch, RolloutId, Snapshot, StickyKey};

use super::trail::{PercentStep, RuleKind, RuleStep};
use crate::rollout::Track;
use crate::rollout::cohort::Bucket;
use crate::rollout::decide::Input;
use crate::rollout::observe::{Look, Observer};
use crate::rollout::with_key;

/// The observer behind an explanation.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) input: &'a Input<'a>,
    pub(super) steps: Vec<RuleStep>,
}

impl Observer for Rules<'_> {
    fn look(&mut self, rollout: RolloutId, look: Look<'_>, matched: bool) {
        let rollout = self.snapshot.rollout(rollout);
        let (kind, wants, percent) = match look {
            Look::Group => (RuleKind::Group, rollout.group.to_string(), None),
            Look::Version => (RuleKind::Version, rollout.version.to_string(), None),
            Look::ForceStable(condition) => (RuleKind::ForceStable, condition_text(condition), None),
            Look::Rule(condition) => (RuleKind::Assign, condition_text(condition), None),
            Look::Percent { key, bucket, keyed } => {
                let value = keyed.then(|| self.value_of(key)).flatten();
                let step = percent(key, value, bucket, rollout.exposure);
                (RuleKind::Percent, format!("bucket < {}", step.exposure), Some(step))
            }
        };
        self.steps.push(RuleStep { rollout: rollout.name.to_string(), kind, wants, matched, percent });
    }
}

impl Rules<'_> {
    fn value_of(&self, key: &StickyKey) -> Option<String> {
        if *key == StickyKey::ClientAddress {
            return Some(self.input.client.to_canonical().to_string());
        }
        with_key(key, self.input, |value| String::from_utf8_lossy(value).into_owned())
    }
}

fn percent(key: &StickyKey, value: Option<String>, bucket: Bucket, exposure: Exposure) -> PercentStep {
    let track = match () {
        () if bucket.is_canary(exposure) => Track::Canary,
        () if bucket.is_control(exposure) => Track::Control,
        () => Track::Stable,
    };
    PercentStep {
        key: key_text(key),
        value,
        bucket: bucket.number(),
        exposure: exposure.millionths(),
        control_from: Bucket::control_from(exposure),
        outcome: track.as_str(),
    }
}

/// A condition as the configuration has it.
fn condition_text(condition: &RequestMatch) -> String {
    let with = |kind: &str, name: &str, wanted: &Option<String>| match wanted {
        Some(wanted) => format!("{kind} {name} equals {wanted:?}"),
        None => format!("{kind} {name} is present"),
    };
    match condition {
        RequestMatch::Header(name, wanted) => with("header", name.as_str(), wanted),
        RequestMatch::Cookie(name, wanted) => with("cookie", name, wanted),
        RequestMatch::Query(name, wanted) => with("query", name, wanted),
        RequestMatch::Address(range) => format!("address in {range}"),
    }
}

/// A sticky key as the configuration has it.
fn key_text(key: &StickyKey) -> String {
    match key {
        StickyKey::Header(name) => format!("header:{name}"),
        StickyKey::Cookie(name) => format!("cookie:{name}"),
        StickyKey::ClientAddress => "address".to_owned(),
        StickyKey::Random => "random".to_owned(),
    }
}
