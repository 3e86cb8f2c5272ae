//! A rollout as an entry of the configuration's `rollouts`: read from files, and written so that two can be compared.
//!
//! Both sides of a comparison are read and written here, so that they differ where their meaning does: not by the order
//! of their fields, by a default that one of them leaves out, or by `60s` for `1m`.

use std::path::Path;
use std::time::Duration;

use patchgate_config::load::{self, LoadError};
use patchgate_config::model::{Gates, OnFail, OnWithdraw, Patch, Rollout, Stage};
use patchgate_config::snapshot::{AssignRule, Exposure, RequestMatch, StickyKey};
use serde_json::{Map, Value, json};

use super::super::Failure;
use crate::reload::environment;

/// The rollouts of a file, each with its name; all problems of the file at once if it has any.
pub(super) fn read(file: &Path) -> Result<Vec<(String, Value)>, Failure> {
    match load::rollout_file(file, Some(&environment), None) {
        Ok(loaded) => Ok(loaded.rollouts.iter().map(|rollout| (rollout.name.to_string(), written(rollout))).collect()),
        Err(LoadError::Invalid(report)) => Err(Failure::Invalid(report)),
        Err(error) => Err(error.into()),
    }
}

/// A definition of the server as this version writes it; as it is, if this version cannot read it.
pub(super) fn alike(definition: &Value) -> Value {
    let loaded = load::rollout("the log", &definition.to_string(), None, None);
    loaded.map_or_else(|_| definition.clone(), |loaded| written(&loaded.rollout))
}

fn written(rollout: &Rollout) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        if !(value.is_null() || value.as_array().is_some_and(Vec::is_empty)) {
            fields.insert(name.to_owned(), value);
        }
    };
    put("name", json!(rollout.name));
    put("group", json!(rollout.group));
    match &*rollout.patches {
        [only] => patch(only).into_iter().for_each(|(name, value)| put(&name, value)),
        patches => put("patches", patches.iter().map(|one| Value::Object(patch(one))).collect()),
    }
    put("force_stable", rollout.force_stable.iter().map(condition).collect());
    put("assign", rollout.assign.iter().map(assign).collect());
    put("stages", rollout.stages.iter().map(stage).collect());
    put("deadline", json!(span(rollout.deadline)));
    put("approval", rollout.approval_above.map_or(Value::Null, |above| json!({ "above": percent(above) })));
    put(
        "on_withdraw",
        match rollout.on_withdraw {
            OnWithdraw::Finish => json!("finish"),
            OnWithdraw::CutAfter(grace) => json!({ "cut_after": span(grace) }),
        },
    );
    put("gates", gates(&rollout.gates));
    put(
        "on_fail",
        match rollout.on_fail {
            OnFail::Rollback => json!("rollback"),
            OnFail::Freeze => json!("freeze"),
        },
    );
    Value::Object(fields)
}

fn patch(patch: &Patch) -> Map<String, Value> {
    let endpoints: Vec<String> = patch.endpoints.iter().map(ToString::to_string).collect();
    [
        ("service", json!(patch.service)),
        ("version", json!(patch.version)),
        ("endpoints", json!(endpoints)),
        ("pin_version", json!(patch.pin_version)),
        ("may_mark", json!(patch.may_mark)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn condition(condition: &RequestMatch) -> Value {
    let field = |kind: &str, name: &str, equals: &Option<String>| match equals {
        Some(equals) => json!({ kind: { "name": name, "equals": equals } }),
        None => json!({ kind: { "name": name } }),
    };
    match condition {
        RequestMatch::Header(name, equals) => field("header", name.as_str(), equals),
        RequestMatch::Cookie(name, equals) => field("cookie", name, equals),
        RequestMatch::Query(name, equals) => field("query", name, equals),
        RequestMatch::Address(range) => json!({ "address": range.to_string() }),
    }
}

fn assign(rule: &AssignRule) -> Value {
    let key = match rule {
        AssignRule::Match(matched) => return condition(matched),
        AssignRule::Percent(StickyKey::Header(name)) => format!("header:{name}"),
        AssignRule::Percent(StickyKey::Cookie(name)) => format!("cookie:{name}"),
        AssignRule::Percent(StickyKey::ClientAddress) => "address".to_owned(),
        AssignRule::Percent(StickyKey::Random) => "random".to_owned(),
    };
    json!({ "percent": { "key": key } })
}

fn stage(stage: &Stage) -> Value {
    match stage.hold {
        Some(hold) => json!({ "percent": percent(stage.exposure), "hold": span(hold) }),
        None => json!({ "percent": percent(stage.exposure) }),
    }
}

fn gates(gates: &Gates) -> Value {
    let share = |share: f64| format!("{}%", trimmed(share * 100.0));
    let mut fields = Map::new();
    if let Some(worse_by) = gates.error_rate_worse_by {
        fields.insert("error_rate".to_owned(), json!({ "worse_by": share(worse_by) }));
    }
    if let Some(ratio) = gates.latency_p99_ratio {
        fields.insert("latency_p99".to_owned(), json!({ "ratio": ratio }));
    }
    if let Some(at_least) = gates.consistency_at_least {
        fields.insert("consistency".to_owned(), json!({ "at_least": share(at_least) }));
    }
    if fields.is_empty() { Value::Null } else { Value::Object(fields) }
}

fn percent(exposure: Exposure) -> String {
    format!("{}%", trimmed(f64::from(exposure.millionths()) / 1e4))
}

/// To the millionth of a whole, without zeros at the end.
fn trimmed(percent: f64) -> String {
    let text = format!("{percent:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// In the largest unit that has no rest.
fn span(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let (size, unit) = units.into_iter().find(|(size, _)| ms.is_multiple_of(*size)).unwrap_or((1, "ms"));
    format!("{}{unit}", ms / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
name: fix
group: canary
patches:
  - { service: shop, version: v2, endpoints: ["10.0.0.2:80"], pin_version: true }
  - { service: cart, version: v3, endpoints: ["10.0.0.3:80"], may_mark: true }
force_stable: [{ header: { name: x-tenant, equals: acme } }, { address: 10.1.0.0/16 }, { cookie: { name: old } }]
assign: [{ query: { name: beta } }, { percent: { key: "cookie:uid" } }]
stages: [{ percent: 0.5, hold: 90s }, { percent: 25, hold: 1h }, { percent: 100 }]
deadline: 36h
approval: { above: 10 }
on_withdraw: { cut_after: 1500ms }
gates: { error_rate: { worse_by: 0.5% }, latency_p99: { ratio: 1.2 }, consistency: { at_least: 99.9% } }
on_fail: freeze
"#;

    fn load(text: &str) -> Rollout {
        load::rollout("test", text, None, None).unwrap().rollout
    }

    #[test]
    fn what_is_written_means_what_was_read() {
        let least = "{ name: fix, service: shop, version: v2, group: canary, endpoints: [\"10.0.0.2:80\"] }";
        for text in [FULL, least] {
            let rollout = load(text);
            let value = written(&rollout);
            assert_eq!(load(&value.to_string()), rollout, "{value:#}");
            assert_eq!(alike(&value), value);
        }
    }

    #[test]
    fn other_words_for_the_same_are_written_alike() {
        let other = FULL.replace("hold: 90s", "hold: 1m30s").replace("hold: 1h", "hold: 60m").replace("0.5,", "0.50%,");
        let other = other
            .replace("deadline: 36h", "deadline: 2160m")
            .replace(", may_mark: true", ", pin_version: false, may_mark: true");
        let other =
            if load::rollout("t", &other, None, None).is_ok() { other } else { other.replace("1m30s", "90000ms") };
        assert_ne!(other, FULL);
        assert_eq!(written(&load(&other)), written(&load(FULL)));
    }

    #[test]
    fn what_cannot_be_read_is_compared_as_it_is() {
        let newer = json!({ "name": "fix", "teleport": true });
        assert_eq!(alike(&newer), newer);
    }
}
