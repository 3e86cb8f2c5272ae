//! `/v1/explain`: why a request goes where it goes.

use axum::Json;
use axum::extract::{Extension, State};
use serde_json::Value;

use super::auth::Caller;
use super::incoming::Incoming;
use super::problem::{Answer, Problem};
use super::{Shared, dto};
use crate::plane::Unexplained;

/// The trail of a request that might come (`url`, `headers`, …), or of a recent one (`trace`).
#[utoipa::path(post, path = "/v1/explain", request_body = dto::Question, responses(
    (status = 200, body = Object, description = "the trail: listener, route, trace, mark, every rule, decision, sampling, upstream"),
    (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn explain(
    State(api): State<Shared>,
    Extension(caller): Extension<Caller>,
    incoming: Incoming,
) -> Answer<Json<Value>> {
    let question: dto::Question = incoming.json()?;
    if question.trace.is_some() == question.url.is_some() {
        return Err(Problem::unprocessable("invalid_question", "ask about a `url`, or about a `trace`"));
    }
    let answer = api.parts.plane.explain(&question).map_err(|error| match error {
        Unexplained::Invalid(why) => Problem::unprocessable("invalid_question", why),
        Unexplained::NotFound(why) => Problem::not_found(why),
    })?;
    shown(answer, &caller).map(Json)
}

/// What of an answer is about services of the caller.
fn shown(mut answer: Value, caller: &Caller) -> Answer<Value> {
    let is_for = |service: &Value| service.as_str().is_none_or(|service| caller.is_for(service));
    if !is_for(&answer["route"]["service"]) {
        let why = "the request goes to a service that this token is not for";
        return Err(Problem::forbidden("foreign_service", why));
    }
    if let Some(recent) = answer.get_mut("recent").and_then(Value::as_array_mut) {
        recent.retain(|one| is_for(&one["service"]));
        if recent.is_empty() {
            return Err(Problem::not_found("no recent request of your services has this trace id"));
        }
    }
    Ok(answer)
}
