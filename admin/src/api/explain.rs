//! `/v1/explain`: why a request goes where it goes.

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::incoming::Incoming;
use super::problem::{Answer, Problem};
use super::{Shared, dto};
use crate::plane::Unexplained;

/// The trail of a request that might come (`url`, `headers`, …), or of a recent one (`trace`).
#[utoipa::path(post, path = "/v1/explain", request_body = dto::Question, responses(
    (status = 200, body = Object, description = "the trail: listener, route, trace, mark, every rule, decision, sampling, upstream"),
    (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn explain(State(api): State<Shared>, incoming: Incoming) -> Answer<Json<Value>> {
    let question: dto::Question = incoming.json()?;
    if question.trace.is_some() == question.url.is_some() {
        return Err(Problem::unprocessable("invalid_question", "ask about a `url`, or about a `trace`"));
    }
    api.parts.plane.explain(&question).map(Json).map_err(|error| match error {
        Unexplained::Invalid(why) => Problem::unprocessable("invalid_question", why),
        Unexplained::NotFound(why) => Problem::not_found(why),
    })
}
