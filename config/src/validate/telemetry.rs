//! `telemetry` and `trace`.

use super::files;
use super::values::{count, non_zero, required, seconds, text, uri};
use crate::load::Files;
use crate::mark_key::MarkSigning;
use crate::problem::{Path, Problems};
use crate::raw;
use crate::raw::scalar::Share;
use crate::rules;
use crate::snapshot::{Otlp, OtlpProtocol, Telemetry};

pub(super) fn telemetry(
    raw: Option<&raw::Telemetry>,
    trace: Option<&raw::Trace>,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<Telemetry> {
    let default = raw::Telemetry::default();
    let raw = raw.unwrap_or(&default);
    let service_name = raw.service_name.as_deref().unwrap_or("patchgate");
    let service_name = text(service_name, &at.key("service_name"), "the name", problems);
    let normal = raw.otlp.as_ref().map(|raw| otlp(raw, &at.key("otlp"), problems));
    let own = raw.canary.as_ref().and_then(|canary| canary.otlp.as_ref());
    let canary = own.map(|raw| otlp(raw, &at.key("canary").key("otlp"), problems));
    let normal = match normal {
        Some(normal) => Some(normal?),
        None => None,
    };
    let share = |share: Option<Share>, default| share.map_or(default, |share| share.0);
    let sampling = raw.sampling.as_ref();
    Some(Telemetry {
        service_name: service_name?.as_ref().to_owned(),
        sample_default: share(sampling.and_then(|sampling| sampling.default), 0.01),
        sample_canary: share(sampling.and_then(|sampling| sampling.canary), 1.0),
        clear_random_flag: trace.and_then(|trace| trace.random_flag) == Some(raw::RandomFlag::Clear),
        canary_otlp: match canary {
            Some(canary) => Some(canary?),
            None => normal.clone(),
        },
        otlp: normal,
        response_marks_per_second: raw.response_marks_per_second.unwrap_or(100),
        access_log: raw.access_log.unwrap_or(false),
    })
}

/// How marks are signed.
pub(super) fn signing(
    raw: &raw::SignMarks,
    lookup: Files<'_>,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<MarkSigning> {
    let help = "name a file with a key; make one with `openssl rand -hex 32`";
    let key = required(&raw.key_file, at, "key_file", help, problems)
        .and_then(|path| files::mark_key(path, lookup, &at.key("key_file"), problems));
    let ttl = raw.ttl.map_or(seconds(3600), |ttl| ttl.0);
    if ttl < seconds(1) {
        let message = "a signature would be worth nothing before anybody could read it";
        problems.at(&rules::OUT_OF_RANGE, &at.key("ttl"), message, "write 1s or more; the default is 1h");
        return None;
    }
    Some(MarkSigning { key: key?, ttl })
}

fn otlp(raw: &raw::Otlp, at: &Path<'_>, problems: &mut Problems) -> Option<Otlp> {
    let endpoint = required(&raw.endpoint, at, "endpoint", "write http://HOST:PORT of a collector", problems)
        .and_then(|text| uri(text, "http", &at.key("endpoint"), problems));
    let timeout = non_zero(raw.timeout, seconds(10), &at.key("timeout"), problems);
    let queue = at.key("queue");
    let spans = raw.queue.as_ref().and_then(|queue| queue.spans).map(u64::from);
    let spans = count(spans, 65_536, &queue.key("spans"), problems);
    let bytes = raw.queue.as_ref().and_then(|queue| queue.bytes).map(|size| size.0);
    let bytes = count(bytes, 32 << 20, &queue.key("bytes"), problems);
    Some(Otlp {
        endpoint: endpoint?,
        protocol: match raw.protocol {
            None | Some(raw::Protocol::Http) => OtlpProtocol::Http,
            Some(raw::Protocol::Grpc) => OtlpProtocol::Grpc,
        },
        queue_spans: usize::try_from(spans?).ok()?,
        queue_bytes: usize::try_from(bytes?).ok()?,
        timeout: timeout?,
    })
}
