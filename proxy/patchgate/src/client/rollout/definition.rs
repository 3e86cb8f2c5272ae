//! A rollout as an entry of the configuration's `rollouts`: read from files, and written so that two can be compared.
//!
//! Both sides of a comparison are read and written here, so that they differ where their meaning does: not by the order
//! of their fields, by a default that one of them leaves out, or by `60s` for `1m`.

use std::path::Path;

use patchgate_config::load::{self, LoadError};
use serde_json::Value;

use super::super::Failure;
use crate::reload::environment;

/// The rollouts of a file, each with its name; all problems of the file at once if it has any.
pub(super) fn read(file: &Path) -> Result<Vec<(String, Value)>, Failure> {
    match load::rollout_file(file, Some(&environment), None) {
        Ok(loaded) => {
            Ok(loaded.rollouts.iter().map(|rollout| (rollout.name.to_string(), rollout.to_value())).collect())
        }
        Err(LoadError::Invalid(report)) => Err(Failure::Invalid(report)),
        Err(error) => Err(error.into()),
    }
}

/// A definition of the server as this version writes it; as it is, if this version cannot read it.
pub(super) fn alike(definition: &Value) -> Value {
    let loaded = load::rollout("the log", &definition.to_string(), None, None);
    loaded.map_or_else(|_| definition.clone(), |loaded| loaded.rollout.to_value())
}

#[cfg(test)]
mod tests {
    use patchgate_config::model::Rollout;
    use serde_json::json;

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
    fn other_words_for_the_same_are_alike() {
        let other = FULL.replace("hold: 1h", "hold: 60m").replace("0.5,", "0.50%,").replace("36h", "2160m");
        let other = other.replace(", may_mark: true", ", pin_version: false, may_mark: true");
        assert_ne!(other, FULL);
        let (one, other) = (load(FULL), load(&other));
        assert_eq!(alike(&other.to_value()), alike(&one.to_value()));
        let short = json!({ "name": "fix", "service": "shop", "version": "v2", "group": "canary",
            "endpoints": ["10.0.0.2:80"], "deadline": "168h" });
        assert_eq!(alike(&short), alike(&alike(&short)));
        assert_eq!(alike(&short)["deadline"], "7d");
    }

    #[test]
    fn what_cannot_be_read_is_compared_as_it_is() {
        let newer = json!({ "name": "fix", "teleport": true });
        assert_eq!(alike(&newer), newer);
    }
}
