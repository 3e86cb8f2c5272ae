//! Risks of rollouts.

use std::collections::{HashMap, HashSet};

use crate::problem::{Path, Problems};
use crate::raw::scalar::Percent;
use crate::raw::{AssignRule, Config, Fallback, Gates, Rollout, Service};
use crate::rules;

pub(super) fn lint(config: &Config, problems: &mut Problems) {
    let services: HashMap<&str, &Service> =
        config.services.iter().flatten().filter_map(|service| Some((service.name.as_deref()?, service))).collect();
    let list = Path::ROOT.key("rollouts");
    for (index, rollout) in config.rollouts.iter().flatten().enumerate() {
        let at = list.index(index);
        let service = rollout.service.as_deref().and_then(|name| services.get(name).copied());
        stable_endpoints(rollout, service, &at, problems);
        gates(rollout, &at, problems);
        sticky_keys(rollout, &at, problems);
    }
    fallbacks(config, problems);
    exposures(config, problems);
}

fn stable_endpoints(rollout: &Rollout, service: Option<&Service>, at: &Path<'_>, problems: &mut Problems) {
    let stable = service.and_then(|service| service.stable.as_ref()?.endpoints.as_deref()).unwrap_or_default();
    for (number, endpoint) in rollout.endpoints.iter().flatten().enumerate() {
        if stable.contains(endpoint) {
            let message = format!("{endpoint} is an endpoint of stable, too: it cannot run both versions");
            let help = "name the addresses that run the hot-fix alone";
            problems.at(&rules::HOTFIX_ENDPOINT_IS_STABLE, &at.key("endpoints").index(number), message, help);
        }
    }
}

fn gates(rollout: &Rollout, at: &Path<'_>, problems: &mut Problems) {
    let none = |gates: &Gates| gates.error_rate.is_none() && gates.latency_p99.is_none() && gates.consistency.is_none();
    if rollout.gates.as_ref().is_none_or(none) {
        let message = "nothing stops this rollout when the patch is worse than stable";
        let help = "add `gates: { error_rate: { worse_by: 0.5% } }`";
        problems.at(&rules::ROLLOUT_WITHOUT_GATES, at, message, help);
    }
}

fn sticky_keys(rollout: &Rollout, at: &Path<'_>, problems: &mut Problems) {
    for (number, rule) in rollout.assign.iter().flatten().enumerate() {
        let AssignRule::Percent(rule) = rule else { continue };
        if rule.key.as_deref().is_none_or(|key| key == "random") {
            let message = "each request is chosen anew, so one user meets both versions";
            let help = "add a key that stays with a user: `key: \"cookie:NAME\"`, `header:NAME` or `address`";
            let at = at.key("assign");
            problems.at(&rules::PERCENT_WITHOUT_STICKY_KEY, &at.index(number).key("percent"), message, help);
        }
    }
}

fn fallbacks(config: &Config, problems: &mut Problems) {
    let patched: HashSet<&str> =
        config.rollouts.iter().flatten().filter_map(|rollout| rollout.service.as_deref()).collect();
    let list = Path::ROOT.key("services");
    for (index, service) in config.services.iter().flatten().enumerate() {
        let is_patched = service.name.as_deref().is_some_and(|name| patched.contains(name));
        if is_patched && service.fallback == Some(Fallback::Fail) {
            let message = "while the hot-fix cannot be reached, its requests fail though stable could serve them";
            let help = "leave `fallback` out, unless stable must not see these requests";
            problems.at(&rules::HOTFIX_WITHOUT_FALLBACK, &list.index(index).key("fallback"), message, help);
        }
    }
}

/// Told at the rollout that goes over: it and those behind it get less than they ask for.
fn exposures(config: &Config, problems: &mut Problems) {
    let limits: HashMap<&str, Percent> = config
        .services
        .iter()
        .flatten()
        .filter_map(|service| Some((service.name.as_deref()?, service.max_exposure.unwrap_or(Percent(1_000_000)))))
        .collect();
    let list = Path::ROOT.key("rollouts");
    let mut sums: HashMap<&str, u64> = HashMap::new();
    for (index, rollout) in config.rollouts.iter().flatten().enumerate() {
        let has_percent = rollout.assign.iter().flatten().any(|rule| matches!(rule, AssignRule::Percent(_)));
        let greatest = rollout.stages.iter().flatten().filter_map(|stage| stage.percent).max();
        let (true, Some(greatest), Some(service)) = (has_percent, greatest, rollout.service.as_deref()) else {
            continue;
        };
        let Some(&limit) = limits.get(service) else { continue };
        let sum = sums.entry(service).or_default();
        let before = *sum;
        *sum += u64::from(greatest.0);
        if before <= u64::from(limit.0) && *sum > u64::from(limit.0) {
            let asked = *sum as f64 / 10_000.0;
            let message = format!("the rollouts of `{service}` ask for {asked} % together; {limit} is the most");
            let help = "lower their last stages, or let one end before the other; in order, the later get what is left";
            problems.at(&rules::EXPOSURE_OVER_100, &list.index(index).key("stages"), message, help);
        }
    }
}
