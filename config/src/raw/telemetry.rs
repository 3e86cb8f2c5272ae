//! `telemetry` and `trace` as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{ByteSize, Duration, Share};

/// Exporters and sampling.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Telemetry {
    /// `service.name` of patchgate's own spans.
    #[schemars(extend("default" = "patchgate"))]
    pub(crate) service_name: Option<String>,
    /// How many traces are sampled.
    pub(crate) sampling: Option<Sampling>,
    /// The collector of the normal channel. Absent: nothing is exported.
    pub(crate) otlp: Option<Otlp>,
    /// The canary channel.
    pub(crate) canary: Option<CanaryTelemetry>,
    /// Marks in responses that are honoured per second and worker.
    #[schemars(extend("default" = 100))]
    pub(crate) response_marks_per_second: Option<u32>,
    /// Whether requests are logged as JSON lines, sampled like traces.
    #[schemars(extend("default" = false))]
    pub(crate) access_log: Option<bool>,
}

/// How many traces are sampled.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sampling {
    /// Share of root traces.
    #[schemars(extend("default" = 0.01))]
    pub(crate) default: Option<Share>,
    /// Share of canary and control requests.
    #[schemars(extend("default" = 1.0))]
    pub(crate) canary: Option<Share>,
}

/// The canary channel.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CanaryTelemetry {
    /// Its collector. Absent: that of the normal channel, with a queue of its own.
    pub(crate) otlp: Option<Otlp>,
}

/// An OTLP receiver.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otlp {
    /// `http://HOST:PORT`; `/v1/traces` is appended for HTTP.
    #[schemars(required)]
    pub(crate) endpoint: Option<String>,
    /// How spans travel.
    #[schemars(extend("default" = "http"))]
    pub(crate) protocol: Option<Protocol>,
    /// Bound on one export.
    #[schemars(extend("default" = "10s"))]
    pub(crate) timeout: Option<Duration>,
    /// What may wait for the collector; the rest is dropped and counted.
    pub(crate) queue: Option<Queue>,
}

/// How spans travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// HTTP/1.1 with a protobuf body.
    Http,
    /// gRPC over HTTP/2.
    Grpc,
}

/// What may wait for a collector.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queue {
    /// Spans.
    #[schemars(extend("default" = 65536))]
    pub(crate) spans: Option<u32>,
    /// Bytes.
    #[schemars(extend("default" = "32MiB"))]
    pub(crate) bytes: Option<ByteSize>,
}

/// How trace contexts are written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trace {
    /// The random bit of `traceparent`.
    #[schemars(extend("default" = "keep"))]
    pub(crate) random_flag: Option<RandomFlag>,
    /// How marks that go on are signed, so that listeners with `trust.mark_key_files` believe them from anybody. Absent:
    /// not at all.
    pub(crate) sign_marks: Option<SignMarks>,
}

/// How marks are signed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignMarks {
    /// A file with the key: 64 hexadecimal digits. Read again when it changes.
    #[schemars(required)]
    pub(crate) key_file: Option<String>,
    /// For how long a signature is worth something.
    #[schemars(extend("default" = "1h"))]
    pub(crate) ttl: Option<Duration>,
}

/// What happens to the random bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RandomFlag {
    /// Copied.
    Keep,
    /// Cleared, for old SDKs that reject flags above 02.
    Clear,
}
