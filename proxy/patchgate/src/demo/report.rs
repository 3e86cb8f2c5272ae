//! What the demo shows, and whether it is what it should be.

use std::fmt::Write;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use patchgate_proxy::telemetry::channel::Channel;
use patchgate_proxy::telemetry::metrics::{Count, FAMILIES, Metrics};

use super::parts::Backend;
use super::traffic::{Kind, Tally, Traffic, listener};
use super::{GROUP, HOT_FIX, PERCENT, STABLE};
use crate::app::Gateway;

/// The traffic's tallies with what the gateway counted meanwhile.
#[derive(Debug)]
pub(super) struct Report {
    tallies: Vec<(Kind, Tally)>,
    /// Requests by track: stable, canary, control.
    tracks: [u64; 3],
    counted: Counted,
    /// The traffic and the story's one request.
    sent: u64,
}

/// The gateway's own counts.
#[derive(Debug, Clone, Copy)]
struct Counted {
    commits: u64,
    losers: u64,
    /// Accepted by the normal and the canary channel.
    spans: [u64; 2],
}

impl Report {
    pub(super) fn new(traffic: &Traffic, gateway: &Gateway) -> Self {
        let metrics = &gateway.telemetry.metrics;
        Self {
            tallies: traffic.tallies.iter().map(|(kind, tally)| (*kind, tally.clone())).collect(),
            counted: Counted {
                commits: sum(metrics, Count::Commits),
                losers: sum(metrics, Count::Dropped),
                spans: [Channel::Normal, Channel::Canary].map(|channel| metrics.accepted_spans(channel)),
            },
            tracks: ["stable", "canary", "control"].map(|track| metrics.requests_on(track)),
            sent: traffic.sent() + 1,
        }
    }

    /// What the clients saw, and what the gateway counted.
    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "  {:<22} {:>8} {:>18} {:>18} {:>8}\n",
            "requests",
            "sent",
            format!("stable {STABLE}"),
            format!("hot-fix {}", HOT_FIX.split('-').next().unwrap_or(HOT_FIX)),
            "not 200"
        );
        for (kind, tally) in &self.tallies {
            let share = |count: u64| format!("{count} ({:.1} %)", 100.0 * count as f64 / tally.sent.max(1) as f64);
            let _ = writeln!(
                text,
                "  {:<22} {:>8} {:>18} {:>18} {:>8}",
                kind.title(),
                tally.sent,
                share(tally.stable),
                share(tally.hot_fix),
                tally.failed
            );
        }
        let [stable, canary, control] = self.tracks;
        let Counted { commits, losers, spans: [normal, raised] } = self.counted;
        let _ = writeln!(text, "\n  tracks   stable {stable:<7} canary {canary:<7} control {control}");
        let _ = writeln!(text, "  commits  {commits:<14} losers {losers}");
        let _ = writeln!(text, "  spans    normal channel {normal:<8} canary channel {raised}");
        text
    }

    /// Holds it against what should be, line by line; false if anything is off. `shipped`: all spans left in time.
    /// `told`: the story has its spans.
    pub(super) fn verify(
        &self,
        metrics: &Metrics,
        normal: &[Span],
        canary: &[Span],
        shipped: bool,
        told: bool,
    ) -> bool {
        let tally = |kind| {
            let found = self.tallies.iter().find(|(known, _)| *known == kind);
            found.map(|(_, tally)| tally.clone()).unwrap_or_default()
        };
        let (unmarked, marked, edge, fallback) =
            (tally(Kind::Unmarked), tally(Kind::Marked), tally(Kind::Assigned), tally(Kind::Fallback));
        let (commits, finished) = (sum(metrics, Count::Commits), sum(metrics, Count::Finished));
        let (started, ended) = (sum(metrics, Count::AttemptsStarted), sum(metrics, Count::Attempts));
        let losers = sum(metrics, Count::Dropped);
        let control = self.tracks[2];
        let raised = marked.sent + 1 + edge.hot_fix + control + fallback.sent;
        let plain = self.sent - raised;
        let checks = [
            ("every request was answered 200", self.tallies.iter().all(|(_, tally)| tally.failed == 0), String::new()),
            ("unmarked requests went to stable", unmarked.stable == unmarked.sent, String::new()),
            ("marked requests went to the hot-fix", marked.hot_fix == marked.sent, String::new()),
            (
                "the edge gave its share of users the hot-fix",
                near(edge.hot_fix, edge.sent, f64::from(PERCENT) / 100.0),
                format!("{} of {}", edge.hot_fix, edge.sent),
            ),
            (
                "control is as large a slice as canary",
                near(control, edge.sent, f64::from(PERCENT) / 100.0),
                format!("{control} of {}", edge.sent),
            ),
            (
                "with the hot-fix dead, marked requests fell back to stable",
                fallback.stable == fallback.sent,
                format!("{} of {}", fallback.stable, fallback.sent),
            ),
            ("one commit a request", commits == finished && commits == self.sent, format!("{commits} = {finished}")),
            (
                "every attempt has one end, every loser a cause",
                started == ended && started == commits + losers,
                format!("{started} attempts, {losers} losers"),
            ),
            (
                "the canary channel has every canary and control request",
                servers(canary) == raised,
                format!("{} of {raised}, {} spans", servers(canary), canary.len()),
            ),
            (
                "the normal channel has about 10 % of the others",
                near(servers(normal), plain, 0.1),
                format!("{} of {plain}, {} spans", servers(normal), normal.len()),
            ),
            ("the marked request's spans tell its whole story", told, String::new()),
            (
                "no span was lost",
                shipped
                    && [Channel::Normal, Channel::Canary].into_iter().all(|channel| metrics.lost_spans(channel) == 0),
                String::new(),
            ),
        ];
        let mut fine = true;
        for (what, holds, figures) in checks {
            fine &= holds;
            let figures = if figures.is_empty() { figures } else { format!(" ({figures})") };
            println!("{} {what}{figures}", if holds { "✓" } else { "✗" });
        }
        fine
    }
}

/// Within five standard deviations of what chance gives.
fn near(count: u64, of: u64, share: f64) -> bool {
    let (count, of) = (count as f64, of as f64);
    (count - of * share).abs() <= 5.0 * (of * share * (1.0 - share)).sqrt()
}

fn sum(metrics: &Metrics, count: Count) -> u64 {
    (0..FAMILIES[count as usize].values.len()).map(|nth| metrics.total(count, nth)).sum()
}

fn servers(spans: &[Span]) -> u64 {
    spans.iter().filter(|span| span.kind == SpanKind::Server as i32).count() as u64
}

/// What stands where.
pub(super) fn picture(gateway: &Gateway, stable: &Backend, hot_fix: &Backend) -> String {
    let at = |name| listener(gateway, name).map_or_else(|error| error.to_string(), |address| address.to_string());
    format!(
        "\n  edge {:<16} ──┐               ┌──▶ stable  {STABLE:<13} {}\n  \
           mesh {:<16} ──┴── patchgate ──┴──▶ hot-fix {HOT_FIX:<13} {}\n",
        at("edge"),
        stable.address,
        at("mesh"),
        hot_fix.address,
    )
}

/// Commands to try while it serves.
pub(super) fn commands(gateway: &Gateway, config: &str) -> String {
    let at = |name| listener(gateway, name).map_or_else(|error| error.to_string(), |address| address.to_string());
    let (edge, mesh) = (at("edge"), at("mesh"));
    let health = gateway.health.map(|address| address.to_string()).unwrap_or_default();
    let indented: String = config.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "\nServing until Ctrl-C, with this configuration:\n\n{indented}\nTry:\n\n  \
         # unmarked: stable\n  curl -i http://{mesh}/checkout/cart\n\n  \
         # marked: the hot-fix. Without a traceparent there is no trace state, so both are sent\n  \
         curl -i -H 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00' \\\n       \
         -H 'tracestate: patch-group={GROUP},patch-version={HOT_FIX}' http://{mesh}/checkout/cart\n\n  \
         # at the edge {PERCENT} % of the users get the hot-fix, always the same ones\n  \
         curl -i --cookie uid=alice http://{edge}/checkout/cart\n\n  \
         curl http://{health}/readyz\n  curl http://{health}/metrics\n"
    )
}
