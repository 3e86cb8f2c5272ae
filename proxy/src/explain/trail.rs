//! What an explanation tells, as plain data: it is the JSON that users see, field by field.
//!
//! What a request does not come to is `null`: one that is refused has no route, one without a route no decision.

use serde::Serialize;

/// Everything that decided about one request, in the order in which it did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trail {
    /// Revision of the snapshot that was asked.
    pub revision: u64,
    /// The 64 random bits that stood for chance, 16 hex digits: asked again with these, the answer is the same.
    pub random: String,
    /// The socket that the request came to.
    pub listener: ListenerStep,
    /// Why patchgate itself answers instead of a backend.
    pub refused: Option<Refusal>,
    /// What host and path led to.
    pub route: Option<RouteStep>,
    /// What the route itself answers.
    pub answer: Option<AnswerStep>,
    /// The trace context that came.
    pub trace: Option<TraceStep>,
    /// The mark that came.
    pub mark: Option<MarkStep>,
    /// Every rule that was looked at, of every rollout, in order.
    pub rules: Vec<RuleStep>,
    /// Where the request goes, and why.
    pub decision: Option<DecisionStep>,
    /// Whether it is exported, and why.
    pub sampling: Option<SamplingStep>,
    /// The trace context that the backend gets.
    pub upstream: Option<UpstreamStep>,
}

/// A listener and what it thinks of the peer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListenerStep {
    /// Its name.
    pub name: String,
    /// Whether the peer's marks and trace contexts are believed.
    pub trusted: bool,
    /// The range of `trust.addresses` that the peer is in.
    pub trusted_by: Option<String>,
    /// Whether rollout rules may mark requests here.
    pub assigns: bool,
}

/// An answer of patchgate's own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refusal {
    /// The status that the client gets.
    pub status: u16,
    /// The stable code.
    pub code: &'static str,
    /// The same for people.
    pub why: String,
}

/// A route that matched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteStep {
    /// The host pattern: a name, `*.suffix`, or `*` for any.
    pub host: String,
    /// The longest path prefix of that host that fits.
    pub path_prefix: String,
    /// Where it leads; `null`: it is answered here.
    pub service: Option<String>,
    /// The path that backends get, where that is not the request's.
    pub rewritten: Option<String>,
}

/// An answer that a route has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerStep {
    /// `redirect` or `direct_response`.
    pub kind: &'static str,
    /// Its status.
    pub status: u16,
    /// Where a redirect leads.
    pub location: Option<String>,
}

/// What the trace context headers are worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceStep {
    /// `traceparent` by itself.
    pub traceparent: HeaderStep,
    /// `tracestate` by itself.
    pub tracestate: HeaderStep,
    /// Whether the trace goes on; else one begins here.
    pub followed: bool,
    /// Whether the span that begins ours links to the trace of an untrusted peer.
    pub linked: bool,
}

/// A header.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeaderStep {
    /// Whether it is there, and legal.
    pub found: Found,
    /// Why it is not legal: the label in metrics.
    pub code: Option<&'static str>,
    /// The same for people.
    pub why: Option<String>,
}

/// Whether a header is there, and legal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// It is not there.
    Absent,
    /// It is, and can be read.
    Valid,
    /// It is, and is treated as if it were not.
    Invalid,
}

/// What became of a mark.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MarkStep {
    /// `none`, `trusted`, `untrusted`, `orphaned` or `malformed`: the label in metrics.
    pub result: &'static str,
    /// The same for people.
    pub why: &'static str,
    /// The group, of a mark that is believed.
    pub group: Option<String>,
    /// The version, of a mark that is believed.
    pub version: Option<String>,
}

/// One rule that the decision looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleStep {
    /// The rollout that it is of.
    pub rollout: String,
    /// What kind of rule.
    pub kind: RuleKind,
    /// What it asks for.
    pub wants: String,
    /// Whether the request has that.
    pub matched: bool,
    /// How a percentage came out.
    pub percent: Option<PercentStep>,
}

/// What kind of rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// The mark's group is the rollout's.
    Group,
    /// The mark's version is the one that the rollout is pinned to.
    Version,
    /// An entry of `force_stable`.
    ForceStable,
    /// An entry of `assign` that is no percentage.
    Assign,
    /// A percentage.
    Percent,
}

/// How a percentage came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PercentStep {
    /// What the choice sticks to, as configured.
    pub key: String,
    /// The key's value in this request; `null`: it has none, the bucket was drawn.
    pub value: Option<String>,
    /// The request's place, 0 to 999,999.
    pub bucket: u32,
    /// Buckets below this get the patch: millionths of all requests.
    pub exposure: u32,
    /// Buckets from this on are the control slice.
    pub control_from: u32,
    /// `canary`, `control` or `stable`.
    pub outcome: &'static str,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecisionStep {
    /// `stable`, `canary` or `control`.
    pub track: &'static str,
    /// The reason's code.
    pub reason: &'static str,
    /// The rollout that decided, also where it decided for stable.
    pub rollout: Option<String>,
    /// Whether the request is marked here.
    pub assigned: bool,
    /// Where it goes.
    pub backend: String,
    /// The version that runs there.
    pub version: String,
    /// The addresses there, which take turns.
    pub endpoints: Vec<String>,
    /// The backend that is asked if none of them can be reached.
    pub fallback: Option<String>,
}

/// A sampling decision, up to the response: a mark in that raises it still.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SamplingStep {
    /// Whether backends are told that the trace is sampled, and our spans are exported.
    pub sampled: bool,
    /// Who had the say: `raised`, `parent` or `root`.
    pub by: &'static str,
    /// The threshold that applied, as `th` has it; `null`: none, nothing is sampled by it or its value is unknown.
    pub threshold: Option<String>,
    /// The share that it keeps, 0 to 1.
    pub ratio: Option<f64>,
    /// What it is compared with, as `rv` has it: kept if not less.
    pub randomness: String,
    /// Why spans are exported: the value of `patch.sampling.reason`.
    pub reason: Option<&'static str>,
    /// Through which channel.
    pub channel: Option<&'static str>,
}

/// The trace context of the attempt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UpstreamStep {
    /// As sent. Its parent id is a fresh one for every attempt.
    pub traceparent: String,
    /// Whether its trace id is fresh, too: another request gets another.
    pub fresh_trace_id: bool,
    /// As sent; `null`: left out.
    pub tracestate: Option<String>,
}
