//! A collector that keeps what it gets: OTLP over HTTP with protobuf.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Response;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::upstream::{Seen, Upstream};

/// See the module.
#[derive(Debug)]
pub struct Collector {
    upstream: Upstream,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// Starts one on a free port.
    #[must_use]
    pub fn start() -> Self {
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&spans);
        let upstream = Upstream::start(move |seen: Seen| {
            let status = match ExportTraceServiceRequest::decode(seen.body) {
                Ok(request) if seen.uri.path() == "/v1/traces" => {
                    let new = request.resource_spans.into_iter().flat_map(|spans| spans.scope_spans);
                    let new = new.flat_map(|spans| spans.spans);
                    kept.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
                    200
                }
                _ => 400,
            };
            let answer = Response::builder().status(status).header("content-type", "application/x-protobuf");
            answer.body(Bytes::new()).expect("a fixed answer is legal")
        });
        Self { upstream, spans }
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.upstream.address)
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A span's attributes as text.
#[must_use]
pub fn attributes(span: &Span) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(truth) => truth.to_string(),
        other => format!("{other:?}"),
    };
    span.attributes
        .iter()
        .filter_map(|pair| Some((pair.key.clone(), text(pair.value.as_ref()?.value.as_ref()?))))
        .collect()
}
