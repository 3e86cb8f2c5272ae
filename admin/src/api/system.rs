//! The gateway and the log as a whole.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use serde_json::Value;

use super::auth::Caller;
use super::incoming::Incoming;
use super::problem::{Answer, Problem};
use super::{Shared, dto};
use crate::projection::drift;

/// Gateways, each with what it has applied.
#[utoipa::path(get, path = "/v1/gateways", responses(
    (status = 200, body = dto::Gateways),
    (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn gateways(State(api): State<Shared>) -> Json<dto::Gateways> {
    let sequence = api.parts.controller.state().sequence;
    Json(dto::Gateways { items: api.parts.plane.gateways(), sequence })
}

/// Panics of requests, the newest first.
#[utoipa::path(get, path = "/v1/panics", responses(
    (status = 200, body = Vec<Object>),
    (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn panics(State(api): State<Shared>) -> Json<Vec<Value>> {
    Json(api.parts.plane.panics())
}

/// The configuration in force, the last error, and drift.
#[utoipa::path(get, path = "/v1/config", responses(
    (status = 200, body = dto::Config),
    (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn config(State(api): State<Shared>, Extension(caller): Extension<Caller>) -> Json<dto::Config> {
    let state = api.parts.controller.state();
    let drift = drift(&api.parts.plane.model(), &state).into_iter();
    let seen = drift.filter(|drift| api.find(&state, &drift.rollout, &caller).is_ok());
    let drift = seen.map(|drift| dto::Drift { rollout: drift.rollout, what: drift.what }).collect();
    Json(dto::Config { drift, ..api.parts.plane.config() })
}

/// What another configuration would change; nothing is applied.
#[utoipa::path(post, path = "/v1/config/dry-run",
    request_body(content = String, content_type = "application/yaml", description = "a whole configuration file"),
    responses(
        (status = 200, body = dto::ConfigChange),
        (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn config_dry_run(State(api): State<Shared>, incoming: Incoming) -> Answer<Json<dto::ConfigChange>> {
    Ok(Json(api.parts.plane.dry_run(incoming.text()?)))
}

/// The log's head, and the hash of the state that it folds to.
#[utoipa::path(get, path = "/v1/state-hash", responses(
    (status = 200, body = dto::StateHash),
    (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn state_hash(State(api): State<Shared>) -> Answer<Json<dto::StateHash>> {
    let state = api.parts.controller.state();
    let records = match state.sequence {
        0 => Vec::new(),
        sequence => api.parts.store.read(sequence, 1).await.map_err(super::rollouts::unreadable)?,
    };
    let head = records.first().map_or(crate::store::ChainHash::ZERO, |record| record.hash);
    Ok(Json(dto::StateHash { sequence: state.sequence, head: head.to_string(), state_hash: state.hash().to_string() }))
}

/// Folds the log anew, from its first event, and compares.
#[utoipa::path(post, path = "/v1/verify", responses(
    (status = 200, body = dto::Verified),
    (status = 409, body = dto::Problem, content_type = "application/problem+json",
     description = "the log holds what must not be; `detail` names the event"),
    (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn verify(State(api): State<Shared>) -> Answer<Json<dto::Verified>> {
    let verifier = Arc::clone(&api.parts.verifier);
    // Its own task: a caller that leaves does not end what others may wait for.
    let verified = tokio::spawn(async move { verifier.verify().await }).await;
    let verified = verified.map_err(|_| Problem::internal("the verification met a defect"))?;
    verified.map(Json).map_err(|error| Problem::new(StatusCode::CONFLICT, "log_damaged", error.to_string()))
}

/// Who asks, as this API sees it.
#[utoipa::path(get, path = "/v1/whoami", responses(
    (status = 200, body = dto::WhoAmI),
    (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn whoami(Extension(caller): Extension<Caller>) -> Json<dto::WhoAmI> {
    Json(dto::WhoAmI {
        name: caller.actor.name.clone(),
        role: caller.actor.role.as_str().to_owned(),
        services: caller.services(),
    })
}

/// Stops taking requests, as SIGTERM does.
#[utoipa::path(post, path = "/v1/drain", request_body = dto::Act, responses(
    (status = 202, description = "it has begun"),
    (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn drain(State(api): State<Shared>, incoming: Incoming) -> Answer<StatusCode> {
    let asked: dto::Act = incoming.json()?;
    tracing::warn!(actor = incoming.caller.actor.name, reason = asked.reason, "draining was asked for");
    api.parts.plane.drain();
    Ok(StatusCode::ACCEPTED)
}
