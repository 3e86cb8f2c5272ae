//! `rollouts`.

use std::collections::HashMap;
use std::time::Duration;

use super::names::unique;
use super::values::{
    cookie_name, each, endpoints, header_name, mark, name, non_zero, not_empty, query_name, range, required, text,
};
use crate::model::{DEADLINE, Gates, OnFail, OnWithdraw, Patch, Rollout, Stage};
use crate::near;
use crate::problem::{Path, Problems};
use crate::raw::scalar::Percent;
use crate::raw::{self, PatchRef};
use crate::rules;
use crate::snapshot::{AssignRule, Exposure, RequestMatch, StickyKey};

pub(super) fn rollouts(list: &[raw::Rollout], at: &Path<'_>, problems: &mut Problems) -> Option<Vec<Rollout>> {
    unique("rollouts", list.iter().map(|rollout| rollout.name.as_deref()), at, problems);
    each(list, at, problems, rollout)
}

fn rollout(raw: &raw::Rollout, at: &Path<'_>, problems: &mut Problems) -> Option<Rollout> {
    let name = required(&raw.name, at, "name", "give the rollout a name", problems)
        .and_then(|text| name(text, &at.key("name"), problems));
    let group = required(&raw.group, at, "group", "name the lane it is tested in, such as backend-canary", problems)
        .and_then(|text| mark(text, &at.key("group"), problems));
    let patches = patches(raw, at, problems);
    let force_stable = raw.force_stable.as_deref().unwrap_or_default();
    let force_stable = each(force_stable, &at.key("force_stable"), problems, request_rule);
    let assign = each(raw.assign.as_deref().unwrap_or_default(), &at.key("assign"), problems, assign_rule);
    let stages = stages(raw.stages.as_deref().unwrap_or_default(), &at.key("stages"), problems);
    let deadline = non_zero(raw.deadline, DEADLINE, &at.key("deadline"), problems);
    let approval = raw.approval.as_ref().map(|raw| approval(raw, &at.key("approval"), problems));
    let gates = match &raw.gates {
        Some(raw) => gates(raw, &at.key("gates"), problems),
        None => Some(Gates::default()),
    };
    Some(Rollout {
        name: name?,
        group: group?,
        patches: patches?,
        force_stable: force_stable?,
        assign: assign?,
        stages: stages?,
        deadline: deadline?,
        approval_above: match approval {
            Some(above) => Some(above?),
            None => None,
        },
        on_withdraw: match raw.on_withdraw {
            None | Some(raw::OnWithdraw::Finish) => OnWithdraw::Finish,
            Some(raw::OnWithdraw::CutAfter(grace)) => OnWithdraw::CutAfter(grace.0),
        },
        gates: gates?,
        on_fail: match raw.on_fail {
            None | Some(raw::OnFail::Rollback) => OnFail::Rollback,
            Some(raw::OnFail::Freeze) => OnFail::Freeze,
        },
    })
}

/// The one patch that is written in short, or the set; never both, and each service once.
fn patches(raw: &raw::Rollout, at: &Path<'_>, problems: &mut Problems) -> Option<Vec<Patch>> {
    let in_short: Vec<&str> = raw.in_short().collect();
    let list = at.key("patches");
    let form = match &raw.patches {
        None if in_short.is_empty() => {
            let help = "add `service`, `version` and `endpoints`, or `patches` for a set over several services";
            let fields = ["service", "version", "endpoints", "patches"].map(|name| at.key(name));
            problems.none_of(&rules::MISSING_FIELD, &fields, at, "the rollout patches nothing", help);
            None
        }
        Some(_) if !in_short.is_empty() => {
            let message = format!("`patches` stands beside {}", near::list(&in_short));
            let help = "a set has these in each entry of `patches`; leave `patches` out for one patch";
            problems.at(&rules::EXCLUSIVE_FIELDS, &list, message, help);
            None
        }
        Some(patches) => not_empty(patches, &list, "add a patch: { service, version, endpoints }", problems).map(drop),
        None => Some(()),
    };
    let mut all = Some(Vec::new());
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut index = 0;
    raw.each_patch(at, |raw, at| {
        if let Some(service) = raw.service.as_deref() {
            let earlier = *first.entry(service).or_insert(index);
            if earlier != index {
                let message = format!("patches[{earlier}] of this rollout patches `{service}`, too");
                let help = "a set patches each service once: keep one of the two";
                problems.at(&rules::ROLLOUT_CONFLICT, &at.key("service"), message, help);
            }
        }
        index += 1;
        match (patch(raw, at, problems), &mut all) {
            (Some(patch), Some(all)) => all.push(patch),
            _ => all = None,
        }
    });
    form.and(all)
}

fn patch(raw: PatchRef<'_>, at: &Path<'_>, problems: &mut Problems) -> Option<Patch> {
    let service = required(raw.service, at, "service", "name the service that is patched", problems);
    let version = required(raw.version, at, "version", "name the patch's version, such as v2.1.3-alpha", problems)
        .and_then(|text| mark(text, &at.key("version"), problems));
    let endpoints = required(raw.endpoints, at, "endpoints", "name at least one IP:PORT of the hot-fix", problems)
        .and_then(|list| endpoints(list, &at.key("endpoints"), problems));
    Some(Patch {
        service: service?.as_str().into(),
        version: version?,
        endpoints: endpoints?,
        pin_version: raw.pin_version.unwrap_or(false),
        may_mark: raw.may_mark.unwrap_or(true),
    })
}

fn approval(raw: &raw::Approval, at: &Path<'_>, problems: &mut Problems) -> Option<Exposure> {
    let help = "say above which percentage a second person is asked, such as 25%";
    let above = required(&raw.above, at, "above", help, problems)?;
    let above = Exposure::from_millionths(above.0);
    if above < Exposure::ALL {
        return Some(above);
    }
    let message = "no stage is above 100 %, so nobody would ever be asked";
    let help = "write a lower percentage, or leave `approval` out";
    problems.at(&rules::OUT_OF_RANGE, &at.key("above"), message, help);
    None
}

fn request_rule(raw: &raw::RequestRule, at: &Path<'_>, problems: &mut Problems) -> Option<RequestMatch> {
    match raw {
        raw::RequestRule::Header(condition) => header(condition, &at.key("header"), problems),
        raw::RequestRule::Cookie(condition) => cookie(condition, &at.key("cookie"), problems),
        raw::RequestRule::Query(condition) => query(condition, &at.key("query"), problems),
        raw::RequestRule::Address(text) => range(text, &at.key("address"), problems).map(RequestMatch::Address),
    }
}

fn assign_rule(raw: &raw::AssignRule, at: &Path<'_>, problems: &mut Problems) -> Option<AssignRule> {
    let matched = match raw {
        raw::AssignRule::Header(condition) => header(condition, &at.key("header"), problems),
        raw::AssignRule::Cookie(condition) => cookie(condition, &at.key("cookie"), problems),
        raw::AssignRule::Query(condition) => query(condition, &at.key("query"), problems),
        raw::AssignRule::Address(text) => range(text, &at.key("address"), problems).map(RequestMatch::Address),
        raw::AssignRule::Percent(rule) => {
            let key = sticky_key(rule.key.as_deref(), &at.key("percent").key("key"), problems);
            return key.map(AssignRule::Percent);
        }
    };
    matched.map(AssignRule::Match)
}

fn condition<'r>(raw: &'r raw::Condition, at: &Path<'_>, problems: &mut Problems) -> Option<&'r str> {
    let name = required(&raw.name, at, "name", "name what is looked at; `equals` is optional", problems);
    if let Some(equals) = &raw.equals {
        text(equals, &at.key("equals"), "the value", problems)?;
    }
    name.map(String::as_str)
}

fn header(raw: &raw::Condition, at: &Path<'_>, problems: &mut Problems) -> Option<RequestMatch> {
    let name = header_name(condition(raw, at, problems)?, &at.key("name"), problems)?;
    Some(RequestMatch::Header(name, raw.equals.clone()))
}

fn cookie(raw: &raw::Condition, at: &Path<'_>, problems: &mut Problems) -> Option<RequestMatch> {
    let name = cookie_name(condition(raw, at, problems)?, &at.key("name"), problems)?;
    Some(RequestMatch::Cookie(name, raw.equals.clone()))
}

fn query(raw: &raw::Condition, at: &Path<'_>, problems: &mut Problems) -> Option<RequestMatch> {
    let name = query_name(condition(raw, at, problems)?, &at.key("name"), problems)?;
    Some(RequestMatch::Query(name, raw.equals.clone()))
}

pub(super) fn sticky_key(key: Option<&str>, at: &Path<'_>, problems: &mut Problems) -> Option<StickyKey> {
    match key.unwrap_or("random").split_once(':') {
        Some(("cookie", name)) => cookie_name(name, at, problems).map(StickyKey::Cookie),
        Some(("header", name)) => header_name(name, at, problems).map(StickyKey::Header),
        None if key == Some("address") => Some(StickyKey::ClientAddress),
        None if key.is_none_or(|key| key == "random") => Some(StickyKey::Random),
        _ => {
            let message = format!("`{}` is not a key", key.unwrap_or_default());
            problems.at(&rules::INVALID_VALUE, at, message, "write cookie:NAME, header:NAME, address or random");
            None
        }
    }
}

fn stages(list: &[raw::Stage], at: &Path<'_>, problems: &mut Problems) -> Option<Vec<Stage>> {
    let mut reached: Option<Percent> = None;
    each(list, at, problems, |raw, at, problems| {
        let percent = required(&raw.percent, at, "percent", "say how many requests get the patch", problems);
        let hold = raw.hold.map(|hold| self::hold(hold.0, &at.key("hold"), problems));
        let percent = *percent?;
        if let Some(before) = reached.filter(|&before| percent <= before) {
            let message = format!("{percent} does not rise above the {before} of the stages before");
            let help = "order the stages by percent; a rollout that must fall is paused or aborted";
            problems.at(&rules::STAGES_NOT_RISING, &at.key("percent"), message, help);
            return None;
        }
        reached = Some(percent);
        let hold = match hold {
            Some(hold) => Some(hold?),
            None => None,
        };
        Some(Stage { exposure: Exposure::from_millionths(percent.0), hold })
    })
}

fn hold(hold: Duration, at: &Path<'_>, problems: &mut Problems) -> Option<Duration> {
    if hold.is_zero() {
        let help = "leave `hold` out: the stage then lasts until somebody promotes the rollout";
        problems.at(&rules::OUT_OF_RANGE, at, "a stage that lasts no time is no stage", help);
        return None;
    }
    Some(hold)
}

fn gates(raw: &raw::Gates, at: &Path<'_>, problems: &mut Problems) -> Option<Gates> {
    let share = |percent: &Percent| f64::from(percent.0) / 1e6;
    let error_rate = raw.error_rate.as_ref().map(|gate| {
        let help = "say how much higher than stable's the error rate may be, such as 0.5%";
        required(&gate.worse_by, &at.key("error_rate"), "worse_by", help, problems).map(share)
    });
    let latency = raw.latency_p99.as_ref().map(|gate| latency(gate, &at.key("latency_p99"), problems));
    let consistency = raw.consistency.as_ref().map(|gate| {
        let help = "say how many responses must be consistent, such as 99.9%";
        required(&gate.at_least, &at.key("consistency"), "at_least", help, problems).map(share)
    });
    if [error_rate, latency, consistency].contains(&Some(None)) {
        return None;
    }
    Some(Gates {
        error_rate_worse_by: error_rate.flatten(),
        latency_p99_ratio: latency.flatten(),
        consistency_at_least: consistency.flatten(),
    })
}

fn latency(gate: &raw::LatencyGate, at: &Path<'_>, problems: &mut Problems) -> Option<f64> {
    let help = "say how many times stable's latency the patch's may be, such as 1.2";
    let ratio = *required(&gate.ratio, at, "ratio", help, problems)?;
    if (1.0..=100.0).contains(&ratio) {
        return Some(ratio);
    }
    problems.at(&rules::OUT_OF_RANGE, &at.key("ratio"), format!("a ratio of {ratio}"), "write a number from 1 to 100");
    None
}
