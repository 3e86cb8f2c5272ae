//! A question in the API's form → the data plane's, and its answer back.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use patchgate_admin::api::dto;
use patchgate_admin::plane::Unexplained;
use patchgate_proxy::explain::{Question, explain as trail};
use patchgate_proxy::handle::Handle;
use serde_json::{Value, json};

use super::board::Board;

/// The answer to `question`.
pub(super) fn explain(handle: &Handle, board: &Board, question: &dto::Question) -> Result<Value, Unexplained> {
    if let Some(trace) = &question.trace {
        return recent(handle, trace);
    }
    let snapshot = board.snapshot().ok_or_else(|| Unexplained::NotFound("nothing is served yet".into()))?;
    let first = snapshot.listeners.first().map(|listener| listener.name.clone()).unwrap_or_default();
    let question = read(question, first).map_err(Unexplained::Invalid)?;
    let trail = trail(&snapshot, &question).map_err(|unknown| Unexplained::Invalid(unknown.to_string()))?;
    serde_json::to_value(trail).map_err(|error| Unexplained::Invalid(error.to_string()))
}

fn recent(handle: &Handle, trace: &str) -> Result<Value, Unexplained> {
    let is_id = trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = u128::from_str_radix(trace, 16).ok().filter(|_| is_id);
    let id = id.ok_or_else(|| Unexplained::Invalid(format!("`{trace}` is not a trace id; it is 32 hex digits")))?;
    let found = handle.recent(id);
    if found.is_empty() {
        let why = format!("no recent request has the trace id {trace}; each worker remembers its last 1,024 requests");
        return Err(Unexplained::NotFound(why));
    }
    Ok(json!({ "recent": found }))
}

fn read(question: &dto::Question, first: String) -> Result<Question, String> {
    let method = question.method.as_deref().unwrap_or("GET");
    let url = question.url.as_deref().unwrap_or("/");
    let uri: Uri = url.parse().map_err(|error| format!("`{url}` is not a URL ({error})"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &question.headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| format!("`{name}` is not a header name"))?;
        let value = HeaderValue::try_from(value.as_str());
        let value = value.map_err(|_| format!("the value of `{name}` cannot be one"))?;
        headers.append(name, value);
    }
    if uri.authority().is_none() && !headers.contains_key(http::header::HOST) {
        headers.insert(http::header::HOST, HeaderValue::from_static("localhost"));
    }
    let client = match question.client.as_deref() {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(text) => text.parse().map_err(|_| format!("`{text}` is not an IP address"))?,
    };
    Ok(Question {
        method: Method::try_from(method).map_err(|_| format!("`{method}` is not a method"))?,
        uri,
        headers,
        client,
        listener: question.listener.clone().unwrap_or(first),
        random: None,
    })
}
