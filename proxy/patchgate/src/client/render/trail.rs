//! The trail of a request as a story: each step in order, ✓ or ✗, and why.
//!
//! The types here take from the API's JSON what the story needs. What a later version adds is passed over; what it does
//! not send any more is left out.

use anstyle::AnsiColor;
use patchgate_admin::rollout::Millionths;
use patchgate_admin::time::rfc3339;
use serde::Deserialize;
use serde_json::Value;

use super::super::output::Style;
use super::words::one_line;

/// An explanation: of a request that might come, or of recent ones of a trace.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Explanation {
    Recent { recent: Vec<Recent> },
    Trail(Box<Trail>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Trail {
    revision: u64,
    random: String,
    listener: Listener,
    refused: Option<Refused>,
    route: Option<Route>,
    answer: Option<Answered>,
    trace: Option<Trace>,
    mark: Option<Mark>,
    rules: Vec<Rule>,
    decision: Option<Decision>,
    sampling: Option<Sampling>,
    upstream: Option<Upstream>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listener {
    name: String,
    trusted: bool,
    trusted_by: Option<String>,
    assigns: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refused {
    status: u16,
    code: String,
    why: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Route {
    host: String,
    path_prefix: String,
    service: Option<String>,
    rewritten: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answered {
    kind: String,
    status: u16,
    location: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Trace {
    traceparent: Header,
    tracestate: Header,
    followed: bool,
    linked: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Header {
    found: String,
    why: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mark {
    result: String,
    why: String,
    group: Option<String>,
    version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rule {
    rollout: String,
    kind: String,
    wants: String,
    matched: bool,
    percent: Option<Percent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Percent {
    key: String,
    value: Option<String>,
    bucket: u32,
    exposure: Millionths,
    outcome: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Decision {
    track: String,
    reason: String,
    rollout: Option<String>,
    assigned: bool,
    backend: String,
    version: String,
    endpoints: Vec<String>,
    fallback: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sampling {
    sampled: bool,
    by: String,
    ratio: Option<f64>,
    reason: Option<String>,
    channel: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Upstream {
    traceparent: String,
    tracestate: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Recent {
    unix_millis: u64,
    service: Option<String>,
    backend: Option<String>,
    served_by: Option<String>,
    rollout: Option<String>,
    track: Option<String>,
    reason: Option<String>,
    assigned: bool,
    status: Option<u16>,
    sampled: bool,
}

/// The story of an explanation; of one that this version does not understand, nothing.
pub(crate) fn explanation(explanation: &Value, style: Style) -> Option<String> {
    let text = match Explanation::deserialize(explanation).ok()? {
        Explanation::Recent { recent } => recent.iter().map(|recent| self::recent(recent, style)).collect(),
        Explanation::Trail(trail) if trail.listener.name.is_empty() => return None,
        Explanation::Trail(trail) => story(&trail, style),
    };
    Some(text)
}

fn story(trail: &Trail, style: Style) -> String {
    let mut lines = vec![listener(&trail.listener, style)];
    lines.extend(trail.route.as_ref().map(|route| self::route(route, style)));
    if let Some(answer) = &trail.answer {
        let to = answer.location.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
        lines.push(step(true, style, "answered here", &format!("{} {}{to}", answer.status, answer.kind)));
    }
    if let Some(refused) = &trail.refused {
        lines.push(step(
            false,
            style,
            "answered here",
            &format!("{} {}: {}", refused.status, refused.code, refused.why),
        ));
    }
    lines.extend(trail.trace.iter().flat_map(|trace| self::trace(trace, style)));
    lines.extend(trail.mark.as_ref().map(|mark| self::mark(mark, style)));
    lines.extend(trail.rules.iter().map(|rule| self::rule(rule, style)));
    if let Some(decision) = &trail.decision {
        lines.extend(self::decision(decision, style));
    }
    lines.extend(trail.sampling.as_ref().map(|sampling| self::sampling(sampling, style)));
    if let Some(upstream) = &trail.upstream {
        lines.push(fact("traceparent", &format!("to the backend: {}", upstream.traceparent)));
        let tracestate = upstream.tracestate.as_deref().unwrap_or("left out");
        lines.push(fact("tracestate", &format!("to the backend: {}", one_line(tracestate))));
    }
    lines.push(style.dim(&format!("by snapshot {}, with the random bits {}", trail.revision, trail.random)));
    lines.into_iter().map(|line| line + "\n").collect()
}

fn step(good: bool, style: Style, what: &str, why: &str) -> String {
    let mark = if good { style.paint(AnsiColor::Green, "✓") } else { style.paint(AnsiColor::Red, "✗") };
    format!("{mark} {what:<14} {}", one_line(why))
}

fn fact(what: &str, why: &str) -> String {
    format!("  {what:<14} {}", one_line(why))
}

fn listener(listener: &Listener, style: Style) -> String {
    let trust = match &listener.trusted_by {
        Some(range) => format!("the peer is trusted: its address is in {range}"),
        None if listener.trusted => "the peer is trusted".to_owned(),
        None => "the peer is not trusted: its marks and trace contexts are not believed".to_owned(),
    };
    let assigns = if listener.assigns { "rules may mark requests here" } else { "no rule marks requests here" };
    step(listener.trusted, style, "listener", &format!("{}: {trust}; {assigns}", listener.name))
}

fn route(route: &Route, style: Style) -> String {
    let host = if route.host == "*" { "any host" } else { &route.host };
    let leads = match (&route.service, &route.rewritten) {
        (None, _) => "is answered here".to_owned(),
        (Some(service), None) => format!("leads to service {service}"),
        (Some(service), Some(path)) => format!("leads to service {service}, as {path}"),
    };
    step(true, style, "route", &format!("{host}, {} {leads}", route.path_prefix))
}

fn trace(trace: &Trace, style: Style) -> Vec<String> {
    let header = |name: &str, header: &Header| {
        let why = header.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        match &*header.found {
            "absent" => fact(name, "is not there"),
            found => step(found == "valid", style, name, &format!("is {found}{why}")),
        }
    };
    let goes_on = match (trace.followed, trace.linked) {
        (true, _) => "goes on",
        (false, true) => "begins here, linked to the one that came",
        (false, false) => "begins here",
    };
    let headers = [header("traceparent", &trace.traceparent), header("tracestate", &trace.tracestate)];
    headers.into_iter().chain([fact("trace", goes_on)]).collect()
}

fn mark(mark: &Mark, style: Style) -> String {
    let named = match (&mark.group, &mark.version) {
        (Some(group), Some(version)) => format!("group {group}, version {version}: "),
        _ => String::new(),
    };
    let why = format!("{named}{}", mark.why);
    match &*mark.result {
        "none" => fact("mark", &why),
        result => step(result == "trusted", style, "mark", &format!("{result}: {why}")),
    }
}

fn rule(rule: &Rule, style: Style) -> String {
    let is = if rule.matched { "is so" } else { "is not so" };
    let why = match (&*rule.kind, &rule.percent) {
        ("group", _) => format!("the mark's group is {}: {is}", rule.wants),
        ("version", _) => format!("the mark's version is {}: {is}", rule.wants),
        ("force_stable", _) => format!("kept on stable if {}: {is}", rule.wants),
        ("percent", Some(percent)) => self::percent(percent),
        (_, _) => format!("given the patch if {}: {is}", rule.wants),
    };
    step(rule.matched, style, "rule", &format!("{}: {why}", rule.rollout))
}

fn percent(percent: &Percent) -> String {
    let key = match (&percent.value, &*percent.key) {
        (Some(value), key) => format!("{key} {value:?}"),
        (None, "random") => "chance".to_owned(),
        (None, key) => format!("chance, as the request has no {key}"),
    };
    let place = Millionths(percent.bucket);
    let compared = if percent.bucket < percent.exposure.0 { "below" } else { "not below" };
    format!("{} get the patch, by {key}: its place {place} is {compared}, so {}", percent.exposure, percent.outcome)
}

fn decision(decision: &Decision, style: Style) -> Vec<String> {
    let by = decision.rollout.as_ref().map(|rollout| format!(", by {rollout}")).unwrap_or_default();
    let marked = if decision.assigned { ", and marked here" } else { "" };
    let head = format!("{} (reason {}{by}){marked}", decision.track, decision.reason);
    let canary = decision.track == "canary";
    let fallback = match &decision.fallback {
        Some(fallback) => format!("; if none can be reached, {fallback}"),
        None => String::new(),
    };
    let goes = format!("{} {} at {}{fallback}", decision.backend, decision.version, decision.endpoints.join(", "));
    let arrow = style.paint(if canary { AnsiColor::Cyan } else { AnsiColor::Green }, "→");
    vec![format!("{arrow} {:<14} {}", "decision", style.bold(&one_line(&head))), fact("goes to", &goes)]
}

fn sampling(sampling: &Sampling, style: Style) -> String {
    let by = match &*sampling.by {
        "raised" => "raised for its track or mark",
        "parent" => "the parent decided",
        _ => "decided here",
    };
    let ratio = sampling.ratio.map(|ratio| format!(", {} are kept", super::words::percent(ratio * 100.0)));
    let exported = match (&sampling.channel, &sampling.reason) {
        (Some(channel), Some(reason)) => format!("exported through the channel {channel} (reason {reason})"),
        _ => "not exported".to_owned(),
    };
    let sampled = if sampling.sampled { "sampled" } else { "not sampled" };
    step(sampling.sampled, style, "sampling", &format!("{sampled}: {by}{}; {exported}", ratio.unwrap_or_default()))
}

fn recent(recent: &Recent, style: Style) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let status = recent.status.map_or_else(|| "no answer: the client left".to_owned(), |status| status.to_string());
    let good = recent.status.is_some_and(|status| status < 500);
    let mut lines =
        vec![step(good, style, &rfc3339(recent.unix_millis), &format!("service {}", or_none(&recent.service)))];
    let track = match (&recent.track, &recent.reason) {
        (Some(track), Some(reason)) => {
            let by = recent.rollout.as_ref().map(|rollout| format!(", by {rollout}")).unwrap_or_default();
            let marked = if recent.assigned { ", and marked here" } else { "" };
            format!("{track} (reason {reason}{by}){marked}")
        }
        _ => "ended before there was one".to_owned(),
    };
    lines.push(fact("decision", &track));
    lines.push(fact("decided for", &or_none(&recent.backend)));
    lines.push(fact("answered by", &format!("{}: {status}", or_none(&recent.served_by))));
    lines.push(fact("sampling", if recent.sampled { "sampled" } else { "not sampled" }));
    lines.into_iter().map(|line| line + "\n").collect()
}
