//! What a worker counts as it happens: one call a thing.

use super::WorkerTelemetry;
use super::metrics::Count;
use crate::trust::{Invalid, MarkResult, Rejected};

impl WorkerTelemetry {
    pub(crate) fn bad_request(&self, reason: &str) {
        self.counters.add_as(Count::BadRequests, reason);
    }

    pub(crate) fn answered_locally(&self, kind: &str) {
        self.counters.add_as(Count::LocalAnswers, kind);
    }

    pub(crate) fn mark(&self, result: &MarkResult<'_>) {
        self.counters.add_as(Count::Marks, result.as_str());
    }

    pub(crate) fn tracestate_rejected(&self, reason: Rejected) {
        self.counters.add_as(Count::TracestateRejected, reason.as_str());
    }

    pub(crate) fn traceparent_invalid(&self, reason: Invalid) {
        self.counters.add_as(Count::TraceparentInvalid, reason.as_str());
    }

    pub(crate) fn response_mark(&self, result: &str) {
        self.counters.add_as(Count::ResponseMarks, result);
    }

    pub(crate) fn withdrawn(&self, outcome: &str) {
        self.counters.add_as(Count::Withdrawn, outcome);
    }

    pub(crate) fn fell_back(&self) {
        self.counters.add(Count::Fallbacks);
    }

    pub(crate) fn retried(&self, failure: &str) {
        self.counters.add_as(Count::Retries, failure);
    }

    pub(crate) fn retry_refused(&self, reason: &str) {
        self.counters.add_as(Count::RetriesRefused, reason);
    }

    pub(crate) fn upgraded(&self) {
        self.counters.add(Count::Upgrades);
    }

    pub(crate) fn tunnelled(&self, direction: &str, bytes: usize) {
        self.counters.add_many_as(Count::TunnelBytes, direction, bytes as u64);
    }

    pub(crate) fn hedged(&self, outcome: &str) {
        self.counters.add_as(Count::Hedges, outcome);
    }

    pub(crate) fn hedge_refused(&self, reason: &str) {
        self.counters.add_as(Count::HedgesRefused, reason);
    }

    pub(crate) fn ejected(&self, reason: &str) {
        self.counters.add_as(Count::Ejections, reason);
    }

    pub(crate) fn rate_limited(&self, limit: &str) {
        self.counters.add_as(Count::RateLimited, limit);
    }

    pub(crate) fn overflowed(&self, limit: &str) {
        self.counters.add_as(Count::Overflows, limit);
    }

    pub(crate) fn mirrored(&self, outcome: &str) {
        self.counters.add_as(Count::Mirrors, outcome);
    }

    pub(crate) fn mirror_refused(&self, reason: &str) {
        self.counters.add_as(Count::MirrorsRefused, reason);
    }

    pub(crate) fn panicked(&self) {
        self.counters.add(Count::Panics);
    }

    pub(crate) fn connection_opened(&self) {
        self.counters.add(Count::ConnectionsOpened);
    }

    pub(crate) fn connection_closed(&self) {
        self.counters.add(Count::ConnectionsClosed);
    }

    pub(crate) fn connection_refused(&self) {
        self.counters.add(Count::ConnectionsRefused);
    }

    pub(crate) fn proxy_header(&self, result: &str) {
        self.counters.add_as(Count::ProxyHeaders, result);
    }

    pub(crate) fn tls_handshake(&self, result: &str) {
        self.counters.add_as(Count::TlsHandshakes, result);
    }

    pub(crate) fn accept_failed(&self) {
        self.counters.add(Count::AcceptErrors);
    }
}
