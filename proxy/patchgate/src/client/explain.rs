//! `patchgate explain`: asks why a request goes where it goes.

use std::process::ExitCode;

use ::http::Method;
use patchgate_admin::api::dto::Question;
use serde_json::Value;

use super::http::{Call, Client};
use super::output::{Output, yaml};
use super::render::trail;
use super::server::Server;
use super::{Failure, hex, random};
use crate::cli::explain::ExplainArgs;

/// See `patchgate explain --help`.
pub(crate) fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let (client, output) = (Client::new(Server::of(&args.server)?), Output::new(args.server.output));
    let mut question = question(args);
    if needs_parent(&question) {
        let parent = format!("00-{}-{}-01", hex(&random::<16>()?), hex(&random::<8>()?));
        eprintln!("patchgate: a tracestate counts only beside a traceparent; made one up: {parent}");
        question.headers.push(("traceparent".to_owned(), parent));
    }
    let body = serde_json::to_string(&question).expect("wire types can be written to a string");
    let answer: Value = client.json(&Call::send(Method::POST, "/v1/explain", body))?;
    output.tell(&answer, |style| trail::explanation(&answer, style).unwrap_or_else(|| yaml(&answer)))?;
    Ok(ExitCode::SUCCESS)
}

fn question(args: &ExplainArgs) -> Question {
    if let Some(trace) = &args.trace {
        return Question { trace: Some(trace.clone()), ..Question::default() };
    }
    let mut headers = args.header.clone();
    let mut add = |name: &str, value: &Option<String>| {
        headers.extend(value.iter().map(|value| (name.to_owned(), value.clone())));
    };
    add("traceparent", &args.traceparent);
    add("tracestate", &args.tracestate);
    Question {
        method: args.method.as_ref().map(|method| method.to_ascii_uppercase()),
        url: args.url.clone(),
        headers,
        client: args.client.map(|client| client.to_string()),
        listener: args.listener.clone(),
        trace: None,
    }
}

fn needs_parent(question: &Question) -> bool {
    let has = |name: &str| question.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    has("tracestate") && !has("traceparent")
}
