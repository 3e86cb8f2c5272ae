//! `/v1/rollouts`: looking, and creating.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, Query, State};
use axum::http::header::{ACCEPT, ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use patchgate_config::diagnostic::Diagnostic;
use patchgate_config::load;
use serde::Deserialize;

use super::auth::Caller;
use super::cursor::{self, Page};
use super::incoming::Incoming;
use super::problem::{Answer, Problem};
use super::view::Scene;
use super::{Api, Shared, act, dto, sse};
use crate::controller::feed::Entry;
use crate::projection::plan_of;
use crate::rollout::{Command, Order, Origin, Rollout, State as Log, codec};

/// Which rollouts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// `live`, or `all`; all by default.
    #[param(inline)]
    state: Option<Liveness>,
    /// Items, 1 to 500; 100 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Liveness {
    Live,
    All,
}

impl Api {
    /// Runs `look` on all that views are made of, at one moment.
    pub(super) fn scene<T>(&self, state: &Log, look: impl FnOnce(&Scene<'_>) -> T) -> T {
        let controller = &self.parts.controller;
        let (world, model) = (controller.world(), self.parts.plane.model());
        let (traffic, gateways) = (self.parts.plane.traffic(), self.parts.plane.gateways());
        let now = controller.clock().now();
        look(&Scene { state, world: &world, model: &model, traffic: &traffic, gateways: &gateways, now })
    }

    pub(super) fn view(&self, scene: &Scene<'_>, name: &str, rollout: &Rollout) -> dto::Rollout {
        scene.rollout(name, rollout, self.parts.plane.time_to_zero(name))
    }

    /// The rollout of this name, if the caller may see it.
    pub(super) fn find(&self, state: &Log, name: &str, caller: &Caller) -> Answer<Arc<Rollout>> {
        let found = state.rollouts.get(name).filter(|rollout| is_for(caller, rollout));
        found.cloned().ok_or_else(|| crate::rollout::Refusal::NotFound { name: name.to_owned() }.into())
    }
}

/// Whether a rollout patches nothing but services of the caller.
pub(super) fn is_for(caller: &Caller, rollout: &Rollout) -> bool {
    caller.is_for_all(rollout.plan.patches.iter().map(|patch| patch.service.as_str()))
}

/// Rollouts by name.
#[utoipa::path(get, path = "/v1/rollouts", params(Which), responses(
    (status = 200, body = dto::Rollouts),
    (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(api): State<Shared>,
    Extension(caller): Extension<Caller>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Answer<Json<dto::Rollouts>> {
    let Query(which) = which.map_err(invalid_query)?;
    let limit = cursor::limit(which.limit)?;
    let after = which.cursor.as_deref().map(cursor::name).transpose()?;
    let state = api.parts.controller.state();
    let page = api.scene(&state, |scene| {
        let range = (after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded), std::ops::Bound::Unbounded);
        let seen = state.rollouts.range::<str, _>(range).filter(|(_, rollout)| {
            is_for(&caller, rollout) && (which.state != Some(Liveness::Live) || rollout.phase.is_live())
        });
        let mut page: Vec<dto::Rollout> =
            seen.take(limit + 1).map(|(name, rollout)| api.view(scene, name, rollout)).collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|last| cursor::after_name(&last.name));
        dto::Rollouts { items: page, next, sequence: state.sequence }
    });
    Ok(Json(page))
}

/// One rollout; with `accept: text/event-stream` it is followed.
#[utoipa::path(get, path = "/v1/rollouts/{name}", params(("name" = String, Path)), responses(
    (status = 200, headers(("etag" = String, description = "its version, in quotes")),
     content((dto::Rollout = "application/json"), (String = "text/event-stream"))),
    (status = 304, description = "it is as `if-none-match` says"),
    (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn get(
    State(api): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let state = api.parts.controller.state();
    let rollout = api.find(&state, &name, &caller)?;
    if wants_stream(&headers) {
        return sse::rollout(&api, caller, name);
    }
    let etag = etag(rollout.version);
    if headers.get(IF_NONE_MATCH).is_some_and(|seen| *seen == etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let view = api.scene(&state, |scene| api.view(scene, &name, &rollout));
    Ok(([(ETAG, etag)], Json(view)).into_response())
}

/// A new rollout.
#[utoipa::path(post, path = "/v1/rollouts",
    params(("dry_run" = Option<bool>, Query, description = "tell only what would happen"),
           ("idempotency-key" = Option<String>, Header, description = "makes sending it again safe for a day")),
    request_body = dto::Create,
    responses(
        (status = 201, body = dto::Done, description = "it was created"),
        (status = 200, body = dto::Done, description = "a dry run, or created before by the same request"),
        (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn create(State(api): State<Shared>, incoming: Incoming) -> Answer<Response> {
    let body: dto::Create = incoming.json()?;
    let model = api.parts.plane.model();
    let loaded = load::rollout("rollout", &body.rollout.to_string(), None, Some(&model));
    let loaded = loaded.map_err(|report| Problem::of_report("invalid_rollout", &report))?;
    let services = loaded.rollout.patches.iter().map(|patch| &*patch.service);
    if !incoming.caller.is_for_all(services) {
        return Err(Problem::forbidden("foreign_service", "the rollout patches a service that this token is not for"));
    }
    let (id, digest) = incoming.order_id()?;
    let order = Order {
        id,
        rollout: loaded.rollout.name.to_string(),
        command: Command::Create { plan: Box::new(plan_of(&loaded.rollout)), start: body.start, origin: Origin::Api },
        actor: incoming.caller.actor.clone(),
        reason: body.reason,
        if_version: None,
    };
    let warnings = loaded.report.diagnostics.iter().map(warning).collect();
    let (done, replayed) = act::carry_out(&api, order, digest, incoming.dry_run).await?;
    let done = dto::Done { warnings, ..done };
    let etag = etag(done.rollout.version);
    if incoming.dry_run || replayed {
        return Ok(([(ETAG, etag)], Json(done)).into_response());
    }
    let location = HeaderValue::try_from(format!("/v1/rollouts/{}", done.rollout.name))
        .map_err(|_| Problem::internal("a name that is no header value"))?;
    Ok((StatusCode::CREATED, [(ETAG, etag), (LOCATION, location)], Json(done)).into_response())
}

fn warning(found: &Diagnostic) -> String {
    if found.path.is_empty() { found.message.clone() } else { format!("{}: {}", found.path, found.message) }
}

/// A rollout's events, oldest first, also of those before it that had its name.
#[utoipa::path(get, path = "/v1/rollouts/{name}/history", params(("name" = String, Path), Page), responses(
    (status = 200, body = dto::Events),
    (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn history(
    State(api): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Answer<Json<dto::Events>> {
    let Query(page) = page.map_err(invalid_query)?;
    let limit = cursor::limit(page.limit)?;
    let after = page.cursor.as_deref().map_or(Ok(0), cursor::sequence)?;
    let state = api.parts.controller.state();
    api.find(&state, &name, &caller)?;
    let mut sequences = api.parts.feed.of_rollout(&name, after, limit + 1);
    let more = sequences.len() > limit;
    sequences.truncate(limit);
    let mut items = Vec::with_capacity(sequences.len());
    for &sequence in &sequences {
        let records = api.parts.store.read(sequence, 1).await.map_err(unreadable)?;
        for record in records {
            let envelope = codec::decode(&record.payload).map_err(unreadable)?;
            items.push(Entry::new(record, envelope).dto());
        }
    }
    let next = sequences.last().filter(|_| more).map(|&last| cursor::after_sequence(last));
    Ok(Json(dto::Events { items, next, head: state.sequence }))
}

pub(super) fn etag(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).expect("digits in quotes are a header value")
}

pub(super) fn wants_stream(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim() == "text/event-stream")
}

pub(super) fn invalid_query(rejection: axum::extract::rejection::QueryRejection) -> Problem {
    Problem::bad_request("invalid_query", rejection.body_text())
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "the event log cannot be read");
    Problem::internal("the event log cannot be read; the gateway's log tells why")
}
