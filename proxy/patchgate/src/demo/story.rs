//! One marked request, told from the client's headers to the spans in the collector.

use std::collections::BTreeMap;
use std::fmt::Write;

use http::HeaderMap;
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::Error;
use super::traffic::{connect, listener, marked};
use crate::app::Gateway;

/// What client and backend saw of it.
#[derive(Debug)]
pub(super) struct Story {
    asked: HeaderMap,
    answered: HeaderMap,
    /// What the backend says it got.
    got: String,
    /// Our span, as `server-timing` told the client.
    span: String,
}

/// Sends it.
pub(super) async fn of_one_marked_request(gateway: &Gateway) -> Result<Story, Error> {
    let request = marked()?;
    let asked = request.headers().clone();
    let mut sender = connect(listener(gateway, "mesh")?).await?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let got = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
    let timing = head.headers.get("server-timing").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let span = timing.split('-').nth(2).unwrap_or_default().to_owned();
    Ok(Story { asked, answered: head.headers, got, span })
}

impl Story {
    /// Whether its SERVER span and one CLIENT span below it came to the collector, with the decision in it.
    pub(super) fn is_whole(&self, spans: &[Span]) -> bool {
        let Some(server) = self.server(spans) else { return false };
        let clients = spans.iter().filter(|span| span.parent_span_id == server.span_id).count();
        clients == 1 && attributes(server).get("patch.decision").is_some_and(|decision| decision == "mark")
    }

    fn server<'s>(&self, spans: &'s [Span]) -> Option<&'s Span> {
        spans.iter().find(|span| hex(&span.span_id) == self.span)
    }

    /// All of it, with the spans that its collector got.
    pub(super) fn tell(&self, spans: &[Span]) -> String {
        let mut text = String::from("One marked request\n\n  the client sent to mesh\n");
        fields(&mut text, &self.asked);
        let server = self.server(spans);
        let about = server.map(attributes).unwrap_or_default();
        let _ = writeln!(text, "\n  patchgate decided");
        for key in ["patch.decision", "patch.track", "patch.sampling.reason", "patch.sampling.parent_sampled"] {
            let _ = writeln!(text, "    {key}: {}", about.get(key).map_or("(not told)", String::as_str));
        }
        let _ = writeln!(text, "\n  the hot-fix backend got, and answered");
        for line in self.got.lines() {
            let _ = writeln!(text, "    {line}");
        }
        let _ = writeln!(text, "\n  the client got");
        fields(&mut text, &self.answered);
        let _ = writeln!(text, "\n  the canary collector got");
        if let Some(server) = server {
            told(&mut text, "SERVER", server);
            for client in spans.iter().filter(|span| span.parent_span_id == server.span_id) {
                told(&mut text, "└─ CLIENT", client);
            }
        }
        text
    }
}

fn fields(text: &mut String, fields: &HeaderMap) {
    for (name, value) in fields {
        let _ = writeln!(text, "    {name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
}

fn told(text: &mut String, role: &str, span: &Span) {
    let micros = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano) / 1000;
    let _ = writeln!(
        text,
        "    {role} {} · span {} · {micros} µs · tracestate {}",
        span.name,
        hex(&span.span_id),
        span.trace_state
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    let pairs = span.attributes.iter().filter_map(|pair| {
        let value = match pair.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => text.clone(),
            Value::BoolValue(truth) => truth.to_string(),
            Value::IntValue(number) => number.to_string(),
            _ => return None,
        };
        Some((pair.key.clone(), value))
    });
    pairs.collect()
}
