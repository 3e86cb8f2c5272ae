//! The way back: a rollout of the model → the raw types → the form that people write, from which it can be created again.
//!
//! Canonical: equal rollouts are written alike, with every default that has a value written out, so that a text keeps
//! its meaning where a later version has another default. What a text has beyond its meaning is not kept.

use serde_json::Value;

use crate::model::{Gates, OnFail, OnWithdraw, Patch, Rollout, Stage};
use crate::raw;
use crate::raw::scalar::{Duration, Percent};
use crate::snapshot::{AssignRule, Exposure, RequestMatch, StickyKey};

impl Rollout {
    /// The rollout as an entry of `rollouts` is written, in YAML or JSON: percents as `"25%"`, durations as `"5m"`; of
    /// a duration what is shorter than a millisecond is left out, as no text has it.
    ///
    /// ```
    /// # fn main() -> Result<(), patchgate_config::diagnostic::Report> {
    /// use patchgate_config::load;
    ///
    /// let text = "{ name: fix, service: shop, version: v2, group: canary, endpoints: [\"10.0.0.2:80\"], deadline: 24h }";
    /// let rollout = load::rollout("fix.yaml", text, None, None)?.rollout;
    /// let written = rollout.to_value();
    /// assert_eq!(written["deadline"], "1d");
    /// assert_eq!(load::rollout("fix.json", &written.to_string(), None, None)?.rollout, rollout);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = serde_json::to_value(rollout(self)).expect("structs of texts, numbers and lists are a value");
        drop_absent(&mut value);
        value
    }

    /// The same as a YAML file, in which `${` is written so that it stands for itself.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let text =
            serde_saphyr::to_string(&self.to_value()).expect("texts, numbers and lists can be written to a string");
        text.replace("${", "$${")
    }
}

/// What is not written is null in the value of the raw types; null itself says nothing there.
fn drop_absent(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_absent);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_absent),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn rollout(rollout: &Rollout) -> raw::Rollout {
    let (short, patches) = match &*rollout.patches {
        [only] => (patch(only), None),
        patches => (raw::Patch::default(), Some(patches.iter().map(patch).collect())),
    };
    raw::Rollout {
        name: Some(rollout.name.to_string()),
        service: short.service,
        version: short.version,
        group: Some(rollout.group.to_string()),
        endpoints: short.endpoints,
        pin_version: short.pin_version,
        may_mark: short.may_mark,
        patches,
        force_stable: some_of(&rollout.force_stable, request_rule),
        assign: some_of(&rollout.assign, assign_rule),
        stages: some_of(&rollout.stages, stage),
        deadline: Some(Duration(rollout.deadline)),
        approval: rollout.approval_above.map(|above| raw::Approval { above: Some(percent(above)) }),
        on_withdraw: Some(match rollout.on_withdraw {
            OnWithdraw::Finish => raw::OnWithdraw::Finish,
            OnWithdraw::CutAfter(grace) => raw::OnWithdraw::CutAfter(Duration(grace)),
        }),
        gates: gates(&rollout.gates),
        on_fail: Some(match rollout.on_fail {
            OnFail::Rollback => raw::OnFail::Rollback,
            OnFail::Freeze => raw::OnFail::Freeze,
        }),
    }
}

fn some_of<T, U>(list: &[T], written: impl Fn(&T) -> U) -> Option<Vec<U>> {
    (!list.is_empty()).then(|| list.iter().map(written).collect())
}

fn patch(patch: &Patch) -> raw::Patch {
    raw::Patch {
        service: Some(patch.service.to_string()),
        version: Some(patch.version.to_string()),
        endpoints: Some(patch.endpoints.iter().map(ToString::to_string).collect()),
        pin_version: Some(patch.pin_version),
        may_mark: Some(patch.may_mark),
    }
}

fn request_rule(rule: &RequestMatch) -> raw::RequestRule {
    match rule {
        RequestMatch::Header(name, equals) => raw::RequestRule::Header(condition(name.as_str(), equals)),
        RequestMatch::Cookie(name, equals) => raw::RequestRule::Cookie(condition(name, equals)),
        RequestMatch::Query(name, equals) => raw::RequestRule::Query(condition(name, equals)),
        RequestMatch::Address(range) => raw::RequestRule::Address(range.to_string()),
    }
}

fn assign_rule(rule: &AssignRule) -> raw::AssignRule {
    match rule {
        AssignRule::Match(RequestMatch::Header(name, equals)) => {
            raw::AssignRule::Header(condition(name.as_str(), equals))
        }
        AssignRule::Match(RequestMatch::Cookie(name, equals)) => raw::AssignRule::Cookie(condition(name, equals)),
        AssignRule::Match(RequestMatch::Query(name, equals)) => raw::AssignRule::Query(condition(name, equals)),
        AssignRule::Match(RequestMatch::Address(range)) => raw::AssignRule::Address(range.to_string()),
        AssignRule::Percent(key) => raw::AssignRule::Percent(raw::PercentRule { key: Some(sticky_key(key)) }),
    }
}

fn condition(name: &str, equals: &Option<String>) -> raw::Condition {
    raw::Condition { name: Some(name.to_owned()), equals: equals.clone() }
}

fn sticky_key(key: &StickyKey) -> String {
    match key {
        StickyKey::Header(name) => format!("header:{name}"),
        StickyKey::Cookie(name) => format!("cookie:{name}"),
        StickyKey::ClientAddress => "address".to_owned(),
        StickyKey::Random => "random".to_owned(),
    }
}

fn stage(stage: &Stage) -> raw::Stage {
    raw::Stage { percent: Some(percent(stage.exposure)), hold: stage.hold.map(Duration) }
}

fn gates(gates: &Gates) -> Option<raw::Gates> {
    // From millionths it came; the nearest is the one.
    let share = |share: f64| Some(Percent((share * 1e6).round() as u32));
    (*gates != Gates::default()).then(|| raw::Gates {
        error_rate: gates.error_rate_worse_by.map(|worse_by| raw::ErrorRateGate { worse_by: share(worse_by) }),
        latency_p99: gates.latency_p99_ratio.map(|ratio| raw::LatencyGate { ratio: Some(ratio) }),
        consistency: gates.consistency_at_least.map(|at_least| raw::ConsistencyGate { at_least: share(at_least) }),
    })
}

fn percent(exposure: Exposure) -> Percent {
    Percent(exposure.millionths())
}
