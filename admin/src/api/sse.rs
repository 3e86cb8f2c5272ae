//! Following: server-sent events (WHATWG HTML §9.2), `id` = sequence.
//!
//! A stream holds a place in the log and nothing else: it reads on when its client does. One that has fallen too far
//! behind is told `resync`, and goes on at the head.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::auth::Caller;
use super::events::Which;
use super::problem::{Answer, Problem};
use super::{Api, Shared};
use crate::controller::feed::Entry;
use crate::rollout::State;

/// Without news a comment is sent this often, so that a dead connection is found.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// News are sent together, so that a thousand who follow cost little when much happens.
const PACE: Duration = Duration::from_millis(100);

/// A rollout with traffic is sent anew this often.
const REFRESH: Duration = Duration::from_secs(1);

/// Events that are taken at a time.
const TAKEN: usize = 256;

/// A client that follows events.
struct Events {
    api: Shared,
    caller: Caller,
    which: Which,
    heads: watch::Receiver<u64>,
    /// The last one it has, or was not shown.
    after: u64,
    ready: VecDeque<Arc<Entry>>,
    sent: Instant,
    _place: OwnedSemaphorePermit,
}

/// A client that follows one rollout.
struct Watch {
    api: Shared,
    caller: Caller,
    name: String,
    states: watch::Receiver<Arc<State>>,
    /// The version that was sent, and as what.
    last: (u64, String),
    sent: Instant,
    _place: OwnedSemaphorePermit,
}

/// The last event that a client has.
pub(super) fn last_event_id(headers: &HeaderMap) -> Answer<Option<u64>> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let id = id.to_str().ok().and_then(|id| id.parse().ok());
    id.map(Some)
        .ok_or_else(|| Problem::bad_request("invalid_last_event_id", "last-event-id is the sequence of an event"))
}

/// Follows events after `after`, or from now on.
pub(super) fn events(api: &Shared, caller: Caller, which: Which, after: Option<u64>) -> Answer<Response> {
    let place = place(api)?;
    let heads = api.parts.feed.heads();
    let after = after.unwrap_or(*heads.borrow());
    let begun = Instant::now().checked_sub(PACE).unwrap_or_else(Instant::now);
    let follower = Events {
        api: Arc::clone(api),
        caller,
        which,
        heads,
        after,
        ready: VecDeque::new(),
        sent: begun,
        _place: place,
    };
    let stream = stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

/// Follows one rollout, beginning with what it is now.
pub(super) fn rollout(api: &Shared, caller: Caller, name: String) -> Answer<Response> {
    let place = place(api)?;
    let mut states = api.parts.controller.states();
    states.mark_changed();
    let follower = Watch {
        api: Arc::clone(api),
        caller,
        name,
        states,
        last: (0, String::new()),
        sent: Instant::now(),
        _place: place,
    };
    let stream = stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

fn place(api: &Api) -> Answer<OwnedSemaphorePermit> {
    let place = Arc::clone(&api.watchers).try_acquire_owned();
    place.map_err(|_| Problem::unavailable("too_many_watchers", "all admin.limits.watchers follow already"))
}

/// `None`: the client's token was revoked or has expired, and his stream ends.
fn still_known(api: &Api, caller: &Caller) -> Option<()> {
    api.parts.auth.still_knows(caller, api.parts.controller.clock().now()).then_some(())
}

impl Events {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                let event = Event::default().event("event").id(entry.record.sequence.to_string()).data(entry.json());
                self.sent = Instant::now();
                return Some(event);
            }
            // The control plane has ended, and with it the stream.
            let head = *self.heads.wait_for(|head| *head > self.after).await.ok()?;
            // A change of tokens is an event, too: whose token is gone is told nothing more.
            still_known(&self.api, &self.caller)?;
            tokio::time::sleep_until(self.sent + PACE).await;
            let Some(entries) = self.api.parts.feed.after(self.after, TAKEN) else {
                if let Some(entries) = self.read().await {
                    self.take(entries);
                    continue;
                }
                self.after = head;
                let lost = format!("{{\"head\":{head}}}");
                return Some(Event::default().event("resync").id(head.to_string()).data(lost));
            };
            self.take(entries);
        }
    }

    /// Older events than those at hand, from the log; `None`: it cannot be read.
    async fn read(&self) -> Option<Vec<Arc<Entry>>> {
        let records = self.api.parts.store.read(self.after + 1, TAKEN).await.ok()?;
        let decode = |record: crate::store::Record| {
            let envelope = crate::rollout::codec::decode(&record.payload).ok()?;
            Some(Arc::new(Entry::new(record, envelope)))
        };
        records.into_iter().map(decode).collect::<Option<Vec<_>>>().filter(|entries| !entries.is_empty())
    }

    fn take(&mut self, entries: Vec<Arc<Entry>>) {
        self.after = entries.last().map_or(self.after, |entry| entry.record.sequence);
        let wanted = entries
            .into_iter()
            .filter(|entry| self.which.asks_for(&entry.envelope) && self.api.shows(&self.caller, &entry.envelope));
        self.ready.extend(wanted);
    }
}

impl Watch {
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                changed = self.states.changed() => {
                    changed.ok()?;
                    tokio::time::sleep_until(self.sent + PACE).await;
                }
                () = tokio::time::sleep_until(self.sent + REFRESH) => {}
            }
            still_known(&self.api, &self.caller)?;
            self.sent = Instant::now();
            let state = Arc::clone(&self.states.borrow_and_update());
            let rollout = state.rollouts.get(&self.name)?;
            let view = self.api.scene(&state, |scene| self.api.view(scene, &self.name, rollout));
            let json = serde_json::to_string(&view).unwrap_or_default();
            // Others' changes and quiet seconds are no news.
            if self.last == (rollout.version, json.clone()) {
                continue;
            }
            self.last = (rollout.version, json);
            return Some(Event::default().event("rollout").id(rollout.version.to_string()).data(&self.last.1));
        }
    }
}
