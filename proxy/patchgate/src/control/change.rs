//! What another configuration would change, in words. Pure.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use patchgate_admin::api::dto::ConfigChange;
use patchgate_config::diagnostic::Report;
use patchgate_config::load::{self, FileError};
use patchgate_config::model::{Model, Service};

/// Said of a variable that a posted text refers to.
const ENVIRONMENT: &str = "a posted configuration sees nothing of the gateway's environment; put the value in";

/// What the text would change of `now`. It is told nothing of the environment, nor of files that are not in use:
/// whoever may ask what would change is not whom their secrets are for.
pub(super) fn dry_run(now: &Model, text: &str) -> ConfigChange {
    let files = |path: &Path| match now.files().any(|known| known == path) {
        true => load::bytes_of(path),
        false => Err(FileError::NotAllowed),
    };
    match load::from_text_with("posted", text, &|_| None, &files) {
        Err(report) => ConfigChange { valid: false, problems: problems(&report), changes: Vec::new() },
        Ok(loaded) => {
            ConfigChange { valid: true, problems: problems(&loaded.report), changes: changes(now, &loaded.model) }
        }
    }
}

fn problems(report: &Report) -> Vec<String> {
    let problem = |found: &patchgate_config::diagnostic::Diagnostic| {
        let help = if found.rule.id == "env-unset" { ENVIRONMENT } else { &found.help };
        format!("{}:{}: {}: {}; {help}", found.line, found.column, found.path, found.message)
    };
    report.diagnostics.iter().map(problem).collect()
}

fn changes(now: &Model, next: &Model) -> Vec<String> {
    let listeners = |model: &Model| {
        let named = model.listeners.iter().map(|listener| (listener.name.clone(), vec![part("", &**listener)]));
        named.collect()
    };
    let services =
        |model: &Model| model.services.iter().map(|service| (service.name.to_string(), parts(service))).collect();
    let rollouts = |model: &Model| {
        let named = model.rollouts.iter().map(|rollout| (rollout.name.to_string(), vec![part("", rollout)]));
        named.collect()
    };
    let rest = |model: &Model| {
        [
            ("workers", part("", &model.workers)),
            ("routes", part("", &model.routes)),
            ("telemetry", part("", &model.telemetry)),
            ("trace.sign_marks", part("", &model.mark_signing)),
            ("health", part("", &model.health)),
            ("drain", part("", &model.drain)),
            ("admin", part("", &model.admin)),
        ]
    };
    let mut changes = compare("listener", &listeners(now), &listeners(next));
    changes.extend(compare("service", &services(now), &services(next)));
    let declared = compare("rollout", &rollouts(now), &rollouts(next)).into_iter();
    // The log decides: what it knows, the file does not change.
    changes.extend(declared.map(|change| match change.strip_prefix('+') {
        Some(_) => format!("{change} (imported, unless the log knows the name)"),
        None => format!("{change} (told as drift; the log is in force)"),
    }));
    let differing = rest(now).into_iter().zip(rest(next)).filter(|(now, next)| now != next);
    changes.extend(differing.map(|((name, _), _)| format!("~ {name}")));
    changes
}

type Part = (&'static str, String);

/// Something as it can be compared; it is never shown.
fn part(name: &'static str, value: &impl Debug) -> Part {
    (name, format!("{value:?}"))
}

fn parts(service: &Service) -> Vec<Part> {
    vec![
        part("routes", &service.routes),
        part("stable.version", &service.version),
        part("stable.endpoints", &service.endpoints),
        part("fallback", &service.fallback),
        part("timeouts", &service.timeouts),
        part("max_exposure", &service.max_exposure),
        part("load_balancing", &service.balancing.policy),
        part("outlier_ejection", &service.balancing.ejection),
        part("health_check", &service.balancing.health_check),
        part("panic_threshold", &service.balancing.panic_threshold),
        part("rate_limit", &service.rate_limit),
        part("circuit_breaker", &service.circuit_breaker),
        part("retry", &service.retry),
        part("hedge", &service.hedge),
        part("mirror", &service.mirror),
        part("headers", &service.headers),
        part("upgrades", &service.upgrades),
        part("protocol", &service.protocol),
        part("proxy_protocol", &service.proxy_protocol),
        part("may_mark", &service.may_mark),
        part("tls", &service.tls),
    ]
}

fn compare(kind: &str, now: &BTreeMap<String, Vec<Part>>, next: &BTreeMap<String, Vec<Part>>) -> Vec<String> {
    let gone = now.keys().filter(|name| !next.contains_key(*name)).map(|name| format!("- {kind} {name}"));
    let there = next.iter().filter_map(|(name, parts)| {
        let Some(before) = now.get(name) else { return Some(format!("+ {kind} {name}")) };
        let differing: Vec<&str> =
            before.iter().zip(parts).filter(|(now, next)| now != next).map(|((name, _), _)| *name).collect();
        match differing[..] {
            [] => None,
            [""] => Some(format!("~ {kind} {name}")),
            _ => Some(format!("~ {kind} {name}: {}", differing.join(", "))),
        }
    });
    gone.chain(there).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::environment;

    const NOW: &str = r#"
listeners: [{ name: web, address: 127.0.0.1:8080 }]
services:
  - { name: shop, routes: [{ path_prefix: / }], stable: { version: v1, endpoints: [127.0.0.1:9001] } }
  - { name: cart, routes: [{ path_prefix: /cart }], stable: { version: v1, endpoints: [127.0.0.1:9003] } }
"#;

    #[test]
    fn what_would_change_is_named_and_what_would_not_is_not() {
        let now = load::from_text("now", NOW, &environment).unwrap().model;
        assert_eq!(dry_run(&now, NOW).changes, Vec::<String>::new());
        let next = NOW.replace("version: v1, endpoints: [127.0.0.1:9001]", "version: v2, endpoints: [127.0.0.1:9001]");
        let next = next.replace("name: cart", "name: mail").replace("8080", "8081") + "drain: { delay: 1s }\n";
        assert_eq!(
            dry_run(&now, &next).changes,
            ["~ listener web", "- service cart", "+ service mail", "~ service shop: stable.version", "~ drain"]
        );
        let mut names: Vec<_> = parts(&now.services[0]).into_iter().map(|(name, _)| name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "each part is told once");
        let asking = dry_run(&now, &NOW.replace("name: cart", "name: \"${PATH}\""));
        assert!(!asking.valid && asking.problems[0].contains("sees nothing of"), "{asking:?}");
        let certificate =
            "tls: { certificates: [{ certificate_file: /etc/hostname, private_key_file: /etc/hostname }] }";
        let curious = NOW.replace("address: 127.0.0.1:8080", &format!("address: 127.0.0.1:8080, {certificate}"));
        let curious = dry_run(&now, &curious);
        assert!(!curious.valid && curious.problems[0].contains("was posted"), "{curious:?}");
        let broken = dry_run(&now, &NOW.replace("127.0.0.1:9001", "nowhere"));
        assert!(!broken.valid && broken.problems[0].contains("nowhere"), "{broken:?}");
    }
}
