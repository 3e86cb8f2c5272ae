//! What was written by hand is read back by the generated code of the protocol's owners.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as Decoded;
use prost::Message;

use super::*;

const SPAN: Span<'static> = Span {
    trace_id: 0x1234_5678_9012_3456_7890_1234_5678_9012,
    span_id: 0x1234_5678_9012_3456,
    parent: Some((7, true)),
    flags: 3,
    trace_state: b"patch-group=g,patch-version=v",
    name: ("GET ", "/pay"),
    kind: Kind::Server,
    start: 1_000,
    end: 2_000_000_000_000_000_000,
    failed: true,
    link: Some((5, 6)),
};

fn request(chunks: &[&[u8]]) -> Vec<u8> {
    let spans = chunks.concat();
    [request_head("shop", spans.len()), spans].concat()
}

fn decoded(span: &Span<'_>, attributes: impl FnOnce(&mut Attributes<'_>)) -> Decoded {
    let mut chunk = Vec::new();
    super::span(&mut chunk, span, attributes);
    let request = ExportTraceServiceRequest::decode(&*request(&[&chunk])).unwrap();
    request.resource_spans[0].scope_spans[0].spans[0].clone()
}

#[test]
fn every_field_survives() {
    let span = decoded(&SPAN, |_| {});
    assert_eq!(span.trace_id, SPAN.trace_id.to_be_bytes());
    assert_eq!(span.span_id, SPAN.span_id.to_be_bytes());
    assert_eq!(span.parent_span_id, 7u64.to_be_bytes());
    assert_eq!(span.trace_state, "patch-group=g,patch-version=v");
    assert_eq!(span.name, "GET /pay");
    assert_eq!(span.kind, 2);
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (SPAN.start, SPAN.end));
    assert_eq!(span.status.unwrap().code, 2);
    assert_eq!(span.flags, 0x303);
    assert_eq!(span.links.len(), 1);
    assert_eq!(span.links[0].trace_id, 5u128.to_be_bytes());
    assert_eq!(span.links[0].span_id, 6u64.to_be_bytes());
}

#[test]
fn what_is_absent_is_left_out() {
    let span = decoded(&Span { parent: None, link: None, failed: false, trace_state: b"", ..SPAN }, |_| {});
    assert!(span.parent_span_id.is_empty() && span.links.is_empty() && span.status.is_none());
    assert_eq!((span.trace_state.as_str(), span.flags), ("", 0x103));
}

#[test]
fn attributes_of_every_kind_and_length_survive() {
    let long = "x".repeat(70_000);
    let span = decoded(&SPAN, |attributes| {
        attributes.text(key!("long"), &long);
        attributes.text(key!("cut"), &format!("x{}", "é".repeat(2060)));
        attributes.text(key!("kept"), &long[..121 - 4]);
        attributes.text(key!("more"), &long[..122 - 4]);
        attributes.joined(key!("both"), "first ", "second");
        attributes.joined(key!("ends"), &long[..4095], "ab");
        attributes.int(key!("big"), u64::from(u32::MAX));
        attributes.int(key!("most"), u64::MAX >> 1);
        attributes.int(key!("status"), 404);
        attributes.int(key!("zero"), 0);
        attributes.bool(key!("yes"), true);
        attributes.ascii(key!("odd"), b"caf\xe9");
    });
    let found: Vec<_> =
        span.attributes.into_iter().map(|attribute| (attribute.key, attribute.value.unwrap().value.unwrap())).collect();
    assert_eq!(
        found,
        [
            ("long".to_owned(), Value::StringValue(long[..4096].to_owned())),
            ("cut".to_owned(), Value::StringValue(format!("x{}", "é".repeat(2047)))),
            ("kept".to_owned(), Value::StringValue(long[..117].to_owned())),
            ("more".to_owned(), Value::StringValue(long[..118].to_owned())),
            ("both".to_owned(), Value::StringValue("first second".to_owned())),
            ("ends".to_owned(), Value::StringValue(format!("{}a", &long[..4095]))),
            ("big".to_owned(), Value::IntValue(i64::from(u32::MAX))),
            ("most".to_owned(), Value::IntValue(i64::MAX)),
            ("status".to_owned(), Value::IntValue(404)),
            ("zero".to_owned(), Value::IntValue(0)),
            ("yes".to_owned(), Value::BoolValue(true)),
            ("odd".to_owned(), Value::StringValue("caf\u{fffd}".to_owned())),
        ]
    );
}

#[test]
fn a_batch_of_chunks_is_one_request_with_its_resource() {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    super::span(&mut one, &SPAN, |_| {});
    super::span(&mut two, &SPAN, |_| {});
    super::span(&mut two, &SPAN, |_| {});
    let request = ExportTraceServiceRequest::decode(&*request(&[&one, &two])).unwrap();
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(resource.attributes[0].key, "service.name");
    assert_eq!(resource.attributes[0].value.as_ref().unwrap().value, Some(Value::StringValue("shop".to_owned())));
    assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 3);
    assert_eq!(request.resource_spans[0].scope_spans[0].scope.as_ref().unwrap().name, "patchgate");
}

#[test]
fn varints_have_the_length_they_are_said_to_have() {
    for shift in 0..64 {
        for value in [1u64 << shift, (1u64 << shift) - 1] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
    }
}
