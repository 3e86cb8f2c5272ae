//! Counters of one worker: single-writer cells, read by a scrape.
//!
//! A worker adds with a load and a store instead of an atomic addition, which nobody but itself can disturb; the
//! cells of two workers share no cache line.

use std::sync::atomic::{AtomicU64, Ordering};

/// One metric family of worker counters.
#[derive(Debug)]
pub struct Family {
    /// Name without `_total`.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Its one label, if it has one.
    pub label: Option<&'static str>,
    /// The label's values; the last takes what fits none. One empty value where there is no label.
    pub values: &'static [&'static str],
}

macro_rules! families {
    ($($id:ident: $name:literal, $help:literal, $label:expr, $values:expr;)*) => {
        /// Which family.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Count { $(#[doc = $help] $id),* }

        impl Count {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$id),*];
        }

        /// All families, by [`Count`].
        pub static FAMILIES: &[Family] = &[
            $(Family { name: $name, help: $help, label: $label, values: $values }),*
        ];
    };
}

const NONE: &[&str] = &[""];

families! {
    Commits: "patchgate_commits", "Requests answered, by who answered; client_gone: nobody was left to be answered.",
        Some("winner"), &["attempt", "timeout", "local", "panic", "drain", "client_gone", "reclaimed", "withdrawn"];
    Finished: "patchgate_requests_finished", "Requests ended, by how.",
        Some("end"), &["complete", "broken", "timed_out", "client_gone"];
    AttemptsStarted: "patchgate_attempts_started", "Attempts begun.", None, NONE;
    Attempts: "patchgate_attempts", "Attempts ended, by how.",
        Some("outcome"), &["committed", "lost", "failed", "cancelled"];
    Dropped: "patchgate_dropped_responses", "Attempts that were not the answer, by cause.",
        Some("cause"), &["retry", "hedge", "fallback", "timeout", "late", "panic", "disconnect", "drain", "error", "withdrawn"];
    Marks: "patchgate_marks", "Requests by what became of their mark.",
        Some("result"), &["none", "trusted", "signed", "untrusted", "bad_signature", "expired", "orphaned", "malformed"];
    TracestateRejected: "patchgate_tracestate_rejected", "Incoming tracestate lists discarded, by reason.",
        Some("reason"), &["too_many_members", "bad_key", "bad_value", "too_long", "other"];
    TraceparentInvalid: "patchgate_traceparent_invalid", "Incoming traceparent headers not believed, by reason.",
        Some("reason"), &["duplicated", "length", "version", "character", "zero_id", "other"];
    BadRequests: "patchgate_bad_requests", "Requests refused, by reason.",
        Some("reason"), &[
            "malformed", "head_too_large", "header_timeout", "host_missing", "host_ambiguous", "host_malformed",
            "target_malformed", "connect_refused", "expectation_failed", "coding_unsupported", "version_unsupported",
            "too_many_headers", "no_route", "request_body_broken", "other",
        ];
    LocalAnswers: "patchgate_local_answers", "Requests answered by their route itself, by how.",
        Some("kind"), &["redirect", "direct_response"];
    ResponseMarks: "patchgate_response_marks", "Marks in responses, by what became of them.",
        Some("result"), &["honoured", "over_rate", "malformed"];
    Fallbacks: "patchgate_fallbacks", "Requests sent to stable because their hot-fix backend could not be reached.",
        None, NONE;
    Retries: "patchgate_retries", "Requests sent again by their service's policy, by what had failed.",
        Some("failure"), &["connect_failure", "refused_stream", "reset", "status"];
    RetriesRefused: "patchgate_retries_refused", "Requests that the policy would send again and may not, by reason.",
        Some("reason"), &["attempts", "method", "body", "budget", "circuit"];
    Upgrades: "patchgate_upgrades", "Connections that became tunnels of another protocol.", None, NONE;
    TunnelBytes: "patchgate_tunnel_bytes", "Bytes through tunnels, by direction.",
        Some("direction"), &["upstream", "downstream"];
    Hedges: "patchgate_hedges", "Requests sent a second time for being slow, by what became of the second.",
        Some("outcome"), &["won", "lost", "failed"];
    HedgesRefused: "patchgate_hedges_refused", "Slow requests that were not sent a second time, by reason.",
        Some("reason"), &["budget", "shifting", "fallback"];
    Ejections: "patchgate_endpoint_ejections", "Endpoints left out for a while, by reason.",
        Some("reason"), &["consecutive_failures"];
    RateLimited: "patchgate_rate_limited", "Requests answered 429, by whose bucket was empty.",
        Some("limit"), &["client", "service"];
    Overflows: "patchgate_circuit_overflows", "Requests answered 503 for a bound of circuit_breaker, by which.",
        Some("limit"), &["requests", "pending", "connections"];
    Mirrors: "patchgate_mirrors", "Requests sent to a mirror, too, by what became of that.",
        Some("outcome"), &["answered", "server_error", "failed", "timed_out", "given_up"];
    MirrorsRefused: "patchgate_mirrors_refused", "Requests that were to be mirrored and were not, by reason.",
        Some("reason"), &["concurrency", "method", "upgrade", "body"];
    Withdrawn: "patchgate_withdrawn", "Canary requests in flight that a withdrawal ended, by how.",
        Some("outcome"), &["answered", "fallback", "broken"];
    Panics: "patchgate_panics", "Panics in requests' tasks.", None, NONE;
    ConnectionsOpened: "patchgate_connections_opened", "Client connections accepted.", None, NONE;
    ConnectionsClosed: "patchgate_connections_closed", "Client connections ended.", None, NONE;
    ConnectionsRefused: "patchgate_connections_refused", "Client connections closed at once, being over the limit.",
        None, NONE;
    ProxyHeaders: "patchgate_proxy_headers",
        "Connections to listeners with proxy_protocol, by what their header told; all but client and own are closed.",
        Some("result"), &["client", "own", "stranger", "timeout", "malformed"];
    TlsHandshakes: "patchgate_tls_handshakes",
        "TLS handshakes of clients, by result; all but full and resumed are closed.",
        Some("result"), &[
            "full", "resumed", "no_certificate", "bad_certificate", "refused", "incompatible", "not_tls", "timeout", "closed",
            "malformed",
        ];
    AccessLogDropped: "patchgate_access_log_dropped", "Access log lines that found no room.", None, NONE;
    AcceptErrors: "patchgate_accept_errors", "Failed accepts, as when descriptors run out.", None, NONE;
}

/// One worker's cells.
#[derive(Debug)]
pub struct Counters {
    families: Box<[Cells]>,
}

/// One family's cells. Aligned so that no two workers write to one cache line (pairs are fetched together).
#[derive(Debug)]
#[repr(align(128))]
struct Cells([AtomicU64; 15]);

impl Default for Counters {
    fn default() -> Self {
        Self { families: FAMILIES.iter().map(|_| Cells(Default::default())).collect() }
    }
}

impl Counters {
    /// Adds one to a family without label.
    pub fn add(&self, count: Count) {
        self.add_nth(count, 0);
    }

    /// Adds one to the `nth` value of a family's label.
    pub fn add_nth(&self, count: Count, nth: usize) {
        if let Some(cell) = self.families[count as usize].0.get(nth) {
            bump(cell, 1);
        }
    }

    /// Adds to the label value `value`, or to the last if the family has none such.
    pub fn add_many_as(&self, count: Count, value: &str, many: u64) {
        let values = FAMILIES[count as usize].values;
        let nth = values.iter().position(|known| *known == value).unwrap_or(values.len() - 1);
        bump(&self.families[count as usize].0[nth], many);
    }

    /// Adds one to the label value `value`, or to the last if the family has none such.
    pub fn add_as(&self, count: Count, value: &str) {
        let values = FAMILIES[count as usize].values;
        let nth = values.iter().position(|known| *known == value).unwrap_or(values.len() - 1);
        self.add_nth(count, nth);
    }

    /// The `nth` value's count.
    #[must_use]
    pub fn get(&self, count: Count, nth: usize) -> u64 {
        // Relaxed: a statistic.
        self.families[count as usize].0.get(nth).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }
}

/// Adds to a cell that only this thread writes.
pub(super) fn bump(cell: &AtomicU64, by: u64) {
    // Relaxed: a statistic with one writer.
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_fits_its_cells() {
        for family in FAMILIES {
            assert!(family.values.len() <= 15, "{}", family.name);
        }
    }

    #[test]
    fn unknown_values_go_to_the_last() {
        let counters = Counters::default();
        counters.add_as(Count::BadRequests, "no such reason");
        counters.add_as(Count::BadRequests, "no_route");
        assert_eq!(counters.get(Count::BadRequests, 14), 1);
        assert_eq!(counters.get(Count::BadRequests, 12), 1);
    }
}
