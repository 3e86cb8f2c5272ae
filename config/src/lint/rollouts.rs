//! Risks of rollouts.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration as StdDuration;

use crate::model::{DEADLINE, Model};
use crate::problem::{Path, Problems};
use crate::raw::scalar::{Duration, Percent};
use crate::raw::{AssignRule, Config, Fallback, Gates, Rollout};
use crate::{rules, snapshot};

/// What the risks of a rollout depend on, of each service by its name.
pub(super) type Services<'c> = HashMap<&'c str, Service>;

pub(super) struct Service {
    stable: Vec<SocketAddr>,
    /// Most that all its rollouts together may take.
    limit: Percent,
    /// Told of at the rollout; a file that has the service is told of there.
    fails: bool,
}

/// The services of a file.
pub(super) fn of_config(config: &Config) -> Services<'_> {
    let services = config.services.iter().flatten().filter_map(|service| {
        let endpoints = service.stable.iter().filter_map(|stable| stable.endpoints.as_deref()).flatten();
        let known = Service {
            stable: endpoints.filter_map(|endpoint| endpoint.parse().ok()).collect(),
            limit: service.max_exposure.unwrap_or(Percent::ALL),
            fails: false,
        };
        Some((service.name.as_deref()?, known))
    });
    services.collect()
}

/// The services of a model.
pub(super) fn of_model(model: &Model) -> Services<'_> {
    let services = model.services.iter().map(|service| {
        let known = Service {
            stable: service.endpoints.clone(),
            limit: Percent(service.max_exposure.millionths()),
            fails: service.fallback == snapshot::Fallback::Fail,
        };
        (&*service.name, known)
    });
    services.collect()
}

pub(super) fn lint(rollouts: &[Rollout], services: &Services<'_>, problems: &mut Problems) {
    let list = Path::ROOT.key("rollouts");
    for (index, rollout) in rollouts.iter().enumerate() {
        let at = list.index(index);
        patches(rollout, services, &at, problems);
        gates(rollout, &at, problems);
        sticky_keys(rollout, &at, problems);
        deadline(rollout, &at, problems);
    }
    exposures(rollouts, services, problems);
}

fn patches(rollout: &Rollout, services: &Services<'_>, at: &Path<'_>, problems: &mut Problems) {
    rollout.each_patch(at, |patch, at| {
        let Some(name) = patch.service.as_deref() else { return };
        let Some(service) = services.get(name) else { return };
        for (number, endpoint) in patch.endpoints.iter().flatten().enumerate() {
            if endpoint.parse().is_ok_and(|address| service.stable.contains(&address)) {
                let message = format!("{endpoint} is an endpoint of stable, too: it cannot run both versions");
                let help = "name the addresses that run the hot-fix alone";
                problems.at(&rules::HOTFIX_ENDPOINT_IS_STABLE, &at.key("endpoints").index(number), message, help);
            }
        }
        if service.fails {
            let message = format!("`{name}` falls back to nothing: while the hot-fix cannot be reached, requests fail");
            let help = "set `fallback: stable` at the service, unless stable must not see these requests";
            problems.at(&rules::HOTFIX_WITHOUT_FALLBACK, &at.key("service"), message, help);
        }
    });
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

fn deadline(rollout: &Rollout, at: &Path<'_>, problems: &mut Problems) {
    let holds = rollout.stages.iter().flatten().filter_map(|stage| stage.hold);
    let holds = Duration(holds.fold(StdDuration::ZERO, |sum, hold| sum.saturating_add(hold.0)));
    let deadline = rollout.deadline.unwrap_or(Duration(DEADLINE));
    if deadline < holds {
        let message =
            format!("the stages last {holds} at least, but after {deadline} the rollout falls back to stable");
        let help = "give it more time than its stages take together, or hold them shorter";
        problems.at(&rules::DEADLINE_TOO_SHORT, &at.key("deadline"), message, help);
    }
}

/// Services of the file that are under a rollout and fail with it.
pub(super) fn fallbacks(config: &Config, problems: &mut Problems) {
    let mut patched: HashSet<&str> = HashSet::new();
    for rollout in config.rollouts.iter().flatten() {
        rollout.each_patch(&Path::ROOT, |patch, _| patched.extend(patch.service.as_deref()));
    }
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
fn exposures(rollouts: &[Rollout], services: &Services<'_>, problems: &mut Problems) {
    let list = Path::ROOT.key("rollouts");
    let mut sums: HashMap<&str, u64> = HashMap::new();
    for (index, rollout) in rollouts.iter().enumerate() {
        let has_percent = rollout.assign.iter().flatten().any(|rule| matches!(rule, AssignRule::Percent(_)));
        let greatest = rollout.stages.iter().flatten().filter_map(|stage| stage.percent).max();
        let (true, Some(greatest)) = (has_percent, greatest) else { continue };
        let at = list.index(index);
        rollout.each_patch(&at, |patch, _| {
            let Some(name) = patch.service.as_deref() else { return };
            let Some(Service { limit, .. }) = services.get(name) else { return };
            let sum = sums.entry(name).or_default();
            let before = *sum;
            *sum += u64::from(greatest.0);
            if before <= u64::from(limit.0) && *sum > u64::from(limit.0) {
                let asked = *sum as f64 / 10_000.0;
                let message = format!("the rollouts of `{name}` ask for {asked} % together; {limit} is the most");
                let help =
                    "lower their last stages, or let one end before the other; in order, the later get what is left";
                problems.at(&rules::EXPOSURE_OVER_100, &at.key("stages"), message, help);
            }
        });
    }
}
