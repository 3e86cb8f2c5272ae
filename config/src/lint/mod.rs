//! Risky patterns of a configuration that may well be without errors, and fields that have no effect yet.
//!
//! Works on the raw types, so that a file with errors is told about its risks in the same run. What does not parse here
//! has its error already and is passed over.

mod not_in_force;
mod rollouts;
mod routes;

use crate::model::Model;
use crate::problem::{Path, Problems};
use crate::raw::{Config, Rollout};
use crate::rules;

/// Notes every risky pattern.
pub(crate) fn lint(config: &Config, problems: &mut Problems) {
    routes::lint(config, problems);
    trust(config, problems);
    sampling(config, problems);
    sent_twice(config, problems);
    rollouts::lint(config.rollouts.as_deref().unwrap_or_default(), &rollouts::of_config(config), problems);
    rollouts::fallbacks(config, problems);
    not_in_force::lint(config, problems);
}

/// Notes every risky pattern of rollouts by themselves, as far as it can be seen without the `model` they are for.
pub(crate) fn rollouts(list: &[Rollout], model: Option<&Model>, problems: &mut Problems) {
    let services = model.map(rollouts::of_model).unwrap_or_default();
    rollouts::lint(list, &services, problems);
    not_in_force::rollouts(list, problems);
}

fn trust(config: &Config, problems: &mut Problems) {
    let list = Path::ROOT.key("listeners");
    for (index, listener) in config.listeners.iter().flatten().enumerate() {
        let ranges = listener.trust.iter().filter_map(|trust| trust.addresses.as_deref()).flatten();
        for (number, range) in ranges.enumerate() {
            if range.parse::<ipnet::IpNet>().is_ok_and(|range| range.prefix_len() == 0) {
                let at = list.index(index);
                let at = at.key("trust");
                let message = "everyone may pick a backend and have every request traced, by sending a mark";
                let help = "name the ranges of the peers that set marks";
                problems.at(&rules::TRUSTS_EVERYONE, &at.key("addresses").index(number), message, help);
            }
        }
    }
}

fn sampling(config: &Config, problems: &mut Problems) {
    let canary = config.telemetry.as_ref().and_then(|telemetry| telemetry.sampling.as_ref()?.canary);
    if canary.is_some_and(|share| share.0 < 1.0) {
        let at = Path::ROOT.key("telemetry");
        let message = "canary requests are few: those not sampled are missed when a patch is judged";
        let help = "leave it out for 1.0, unless the collector cannot take it";
        problems.at(&rules::CANARY_SAMPLING_BELOW_100, &at.key("sampling").key("canary"), message, help);
    }
}

fn sent_twice(config: &Config, problems: &mut Problems) {
    const UNSAFE: [&str; 4] = ["POST", "PATCH", "PUT", "DELETE"];
    let list = Path::ROOT.key("services");
    for (index, service) in config.services.iter().flatten().enumerate() {
        let retry = service.retry.as_ref().and_then(|retry| retry.methods.as_deref());
        let hedge = service.hedge.as_ref().and_then(|hedge| hedge.methods.as_deref());
        for (policy, done, methods) in [("retry", "retried", retry), ("hedge", "hedged", hedge)] {
            let methods = methods.unwrap_or_default().iter().enumerate();
            for (number, method) in methods.filter(|(_, method)| UNSAFE.contains(&method.as_str())) {
                let at = list.index(index);
                let at = at.key(policy);
                let message = format!("a {done} {method} may be carried out twice");
                let help = "name it only if every backend recognises a repeated request";
                problems.at(&rules::RETRY_ON_UNSAFE_METHOD, &at.key("methods").index(number), message, help);
            }
        }
    }
}
