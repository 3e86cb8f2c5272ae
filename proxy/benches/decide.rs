//! What the pure part of a request costs: its trace context read, decided on and written, and the hash of its cohort.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue};
use patchgate_proxy::rollout::cohort::Bucket;
use patchgate_proxy::trust::{
    Edit, Incoming, MarkEdit, OtEdit, Randomness, SamplingInput, SignatureEdit, SpanId, Threshold, TraceId,
    TraceParent, outgoing, traceparent,
};

const PARENT: &str = "00-12345678901234567890123456789012-1234567890123456-01";
const UNMARKED: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,foo@bar=1";
const MARKED: &str = "patch-group=backend-canary,patch-version=v2.1.3-alpha,ot=th:0";
/// As a service writes it that does not know of patchgate: the mark is rewritten at the front.
const DOTTED: &str = "rojo=00f067aa0ba902b7,patch.group=backend-canary,patch.version=v2.1.3-alpha";

criterion_group!(benches, trace_context, parent, cohort);
criterion_main!(benches);

fn trace_context(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("trace_context");
    for (name, state) in
        [("absent", None), ("unmarked", Some(UNMARKED)), ("marked", Some(MARKED)), ("dotted", Some(DOTTED))]
    {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static(PARENT));
        headers.extend(
            state.map(|state| (http::header::HeaderName::from_static("tracestate"), HeaderValue::from_static(state))),
        );
        let mut out = BytesMut::with_capacity(1_024);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                hop(black_box(&headers), &mut out)
            });
        });
    }
}

fn parent(criterion: &mut Criterion) {
    criterion.bench_function("traceparent/parse_and_encode", |bencher| {
        bencher.iter(|| traceparent::parse(black_box(PARENT.as_bytes())).map(|parent| parent.encode()));
    });
}

fn cohort(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cohort");
    for (name, key) in [("user", "user-12345"), ("uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6")] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| Bucket::of(black_box("checkout-npe-fix"), black_box(key.as_bytes())));
        });
    }
}

/// As the request path does it: what goes on is written only where it differs from what came.
fn hop(headers: &HeaderMap, out: &mut BytesMut) -> ([u8; traceparent::LEN], bool) {
    let incoming = Incoming::read(headers, true, false);
    let mark = incoming.mark().mark();
    let trace_id = incoming.parent.map_or(TraceId::from_random(1), |parent| parent.trace_id);
    let sampled = outgoing(&SamplingInput {
        parent: incoming.parent_sampling(),
        randomness: Randomness::of(trace_id, incoming.state.randomness()),
        raised: mark.is_some(),
        canary_threshold: Some(Threshold::ALWAYS),
        default_threshold: None,
        clear_random_flag: false,
    });
    let edit =
        Edit { mark: mark.map_or(MarkEdit::Keep, MarkEdit::Set), signature: SignatureEdit::Keep, ot: sampled.ot };
    let sent = TraceParent { trace_id, parent_id: SpanId::from_random(2), flags: sampled.flags };
    let written = !incoming.state.unchanged(&edit)
        && (!incoming.state.is_empty() || edit.mark != MarkEdit::Keep || matches!(edit.ot, OtEdit::Threshold(_)))
        && incoming.state.write(&edit, out);
    (sent.encode(), written)
}
