//! `/v1/events`: the log, by pages or followed.

use axum::Json;
use axum::extract::{Extension, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::auth::Caller;
use super::problem::Answer;
use super::rollouts::{invalid_query, is_for, unreadable, wants_stream};
use super::{Api, Shared, cursor, dto, sse};
use crate::controller::feed::Entry;
use crate::rollout::{Envelope, codec};

/// Events that one request looks at: who filters much turns more pages.
const LOOKED_AT: usize = 10_000;

/// Events that are read at a time.
const READ: usize = 500;

/// Which events.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this rollout.
    rollout: Option<String>,
    /// By this actor.
    actor: Option<String>,
    /// Of this type, such as `aborted`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// From this sequence on; a stream begins there, too.
    #[param(format = "uint64")]
    from: Option<u64>,
    /// Items, 1 to 500; 100 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

impl Which {
    /// Whether it asks for this event.
    pub(super) fn asks_for(&self, envelope: &Envelope) -> bool {
        let is = |asked: &Option<String>, found: &str| asked.as_deref().is_none_or(|asked| asked == found);
        is(&self.rollout, envelope.rollout.as_deref().unwrap_or_default())
            && is(&self.actor, &envelope.actor.name)
            && is(&self.kind, envelope.event.name())
    }
}

impl Api {
    /// Whether a caller may see an event: those about rollouts that are his to see, and those about none.
    pub(super) fn shows(&self, caller: &Caller, envelope: &Envelope) -> bool {
        let Some(name) = &envelope.rollout else { return true };
        let state = self.parts.controller.state();
        state.rollouts.get(name).is_none_or(|rollout| is_for(caller, rollout))
    }
}

/// Events, oldest first; with `accept: text/event-stream` they are followed, each with its sequence as `id`.
#[utoipa::path(get, path = "/v1/events",
    params(Which, ("last-event-id" = Option<u64>, Header, description = "a stream goes on after this one")),
    responses(
        (status = 200, content((dto::Events = "application/json"), (String = "text/event-stream"))),
        (status = "default", body = dto::Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(api): State<Shared>,
    Extension(caller): Extension<Caller>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Answer<Response> {
    let Query(which) = which.map_err(invalid_query)?;
    let last = sse::last_event_id(&headers)?;
    if wants_stream(&headers) {
        let after = last.or(which.from.map(|from| from.saturating_sub(1)));
        return sse::events(&api, caller, which, after);
    }
    let limit = cursor::limit(which.limit)?;
    let start = which.from.unwrap_or(1).max(1);
    let mut from =
        which.cursor.as_deref().map(cursor::sequence).transpose()?.map_or(start, |after| after.saturating_add(1));
    let head = api.parts.controller.state().sequence;
    let mut items = Vec::new();
    let mut looked_at = 0;
    'pages: while from <= head && looked_at < LOOKED_AT {
        let records = api.parts.store.read(from, READ).await.map_err(unreadable)?;
        if records.is_empty() {
            break;
        }
        for record in records {
            if items.len() == limit || record.sequence > head {
                break 'pages;
            }
            from = record.sequence + 1;
            looked_at += 1;
            let envelope = codec::decode(&record.payload).map_err(unreadable)?;
            if which.asks_for(&envelope) && api.shows(&caller, &envelope) {
                items.push(Entry::new(record, envelope).dto());
            }
        }
    }
    let next = (from <= head).then(|| cursor::after_sequence(from - 1));
    Ok(Json(dto::Events { items, next, head }).into_response())
}
