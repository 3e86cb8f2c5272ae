//! Changes of a rollout: wire types → an order → what it did.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::ETAG;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use patchgate_config::load;
use serde_json::json;

use super::incoming::{IfMatch, Incoming};
use super::problem::{Answer, Problem};
use super::rollouts::etag;
use super::{Shared, dto};
use crate::controller::Wanted;
use crate::projection::{plan_of, table};
use crate::rollout::{Command, Completion, Condition, Order};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Says what each route of a change says, but its summary and its body.
macro_rules! act {
    ($(#[doc = $summary:literal])+ $name:ident, $method:ident $path:literal, $body:ty, $if_match:literal,
     |$rollout:ident, $asked:ident| $command:expr) => {
        $(#[doc = $summary])+
        #[utoipa::path($method, path = $path,
            params(("name" = String, Path),
                   ("dry_run" = Option<bool>, Query, description = "tell only what would happen"),
                   ("if-match" = Option<String>, Header, description = $if_match, pattern = "^(\"[0-9]+\"|[*])$"),
                   ("idempotency-key" = Option<String>, Header, description = "makes sending it again safe for a day")),
            request_body = $body,
            responses(
                (status = 200, body = dto::Done),
                (status = 412, body = dto::Problem, content_type = "application/problem+json",
                 description = "the rollout has changed: `version` and `changed_by` tell how"),
                (status = 428, body = dto::Problem, content_type = "application/problem+json",
                 description = "`if-match` is missing"),
                (status = "default", body = dto::Problem, content_type = "application/problem+json"),
        ))]
        pub(super) async fn $name(
            State(api): State<Shared>,
            Path($rollout): Path<String>,
            incoming: Incoming,
        ) -> Answer<Response> {
            let $asked: $body = incoming.json()?;
            let reason = $asked.reason.clone();
            let command = $command;
            act(&api, $rollout, &incoming, command, reason).await
        }
    };
}

act! {
    /// No further stage until resumed; exposure stays.
    pause, post "/v1/rollouts/{name}/pause", dto::Act, "its etag, or *", |_name, asked| Command::Pause
}
act! {
    /// On from where it was paused.
    resume, post "/v1/rollouts/{name}/resume", dto::Act, "its etag, or *", |_name, asked| Command::Resume
}
act! {
    /// The next stage now, or everybody now.
    promote, post "/v1/rollouts/{name}/promote", dto::Promote, "its etag, or *",
    |_name, asked| Command::Promote { full: asked.full }
}
act! {
    /// The second person's yes to stages that need it.
    approve, post "/v1/rollouts/{name}/approve", dto::Act, "its etag, or *", |_name, asked| Command::Approve
}
act! {
    /// Stable runs the patch: the rollout is over.
    complete, post "/v1/rollouts/{name}/complete", dto::Act, "its etag, or *",
    |_name, asked| Command::Complete { cause: Completion::Told }
}
act! {
    /// Back to stable, whatever it is at. Needs no `if-match`: stopping never waits for looking.
    abort, post "/v1/rollouts/{name}/abort", dto::Act, "its etag; not needed", |_name, asked| Command::Abort
}
act! {
    /// Who is never given the patch: all of them.
    force_stable, put "/v1/rollouts/{name}/force-stable", dto::ForceStable, "its etag, or *",
    |name, asked| Command::ForceStable { rules: rules(&name, &asked.force_stable)? }
}

async fn act(api: &Shared, name: String, incoming: &Incoming, command: Command, reason: String) -> Answer<Response> {
    let state = api.parts.controller.state();
    api.find(&state, &name, &incoming.caller)?;
    let if_version = match incoming.if_match()? {
        IfMatch::Version(version) => Some(version),
        IfMatch::Any => None,
        IfMatch::Absent if command == Command::Abort || incoming.dry_run => None,
        IfMatch::Absent => {
            let detail = "send if-match with the etag of the rollout as you saw it, so that you change what you saw";
            return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "if_match_missing", detail));
        }
    };
    let (id, digest) = incoming.order_id()?;
    let order = Order { id, rollout: name, command, actor: incoming.caller.actor.clone(), reason, if_version };
    let (done, replayed) = carry_out(api, order, digest, incoming.dry_run).await?;
    let mut response = ([(ETAG, etag(done.rollout.version))], Json(done)).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Carries out `order`, or tells what it would do. The flag: it had been carried out before.
pub(super) async fn carry_out(
    api: &Shared,
    order: Order,
    digest: Option<String>,
    dry_run: bool,
) -> Answer<(dto::Done, bool)> {
    let controller = &api.parts.controller;
    let name = order.rollout.clone();
    let (after, sequence, replayed) = if dry_run {
        (Arc::new(controller.dry_run(&order)?), 0, false)
    } else {
        let done = controller.carry_out(Wanted::Order(order, digest)).await?;
        (controller.state(), done.sequence, done.replayed)
    };
    let rollout =
        after.rollouts.get(&name).ok_or_else(|| Problem::internal("a rollout is gone right after its order"))?;
    let done = dto::Done {
        sequence,
        effect: if dry_run { api.parts.plane.effect(&name, &table(&after)) } else { Vec::new() },
        rollout: api.scene(&after, |scene| api.view(scene, &name, rollout)),
        warnings: Vec::new(),
    };
    Ok((done, replayed))
}

/// `force_stable` as people write it, checked as part of a rollout that is good otherwise.
fn rules(name: &str, written: &[serde_json::Value]) -> Answer<Vec<Condition>> {
    let text = json!({
        "name": name, "group": "g", "service": "s", "version": "v", "endpoints": ["127.0.0.1:1"],
        "force_stable": written,
    });
    let loaded = load::rollout("force_stable", &text.to_string(), None, None);
    let loaded = loaded.map_err(|report| Problem::of_report("invalid_force_stable", &report))?;
    Ok(plan_of(&loaded.rollout).force_stable)
}
