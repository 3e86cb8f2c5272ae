//! How things stood at a moment, from the events up to it. Pure.

use patchgate_admin::api::dto::Event;
use patchgate_admin::rollout::{Actor, Envelope, Hlc, Millis, State};
use patchgate_admin::time::parse;
use serde_json::Value;

/// The state after all events that were there `at`: folded from what the API tells of them. Of the log's clock it
/// knows the time alone, which is all that a state depends on.
///
/// # Errors
/// What this version does not understand of which event.
pub(super) fn state_at(events: &[Event], at: Millis) -> Result<State, String> {
    let mut state = State::default();
    for event in events {
        let envelope = envelope(event).map_err(|what| format!("event {}: {what}", event.sequence))?;
        if envelope.clock.ms > at {
            break;
        }
        // Events that are not for this caller's eyes leave a gap.
        state.sequence = event.sequence - 1;
        state.apply(&envelope);
    }
    Ok(state)
}

fn envelope(event: &Event) -> Result<Envelope, String> {
    let role = serde_json::from_value(Value::String(event.role.clone()));
    Ok(Envelope {
        v: Envelope::VERSION,
        clock: Hlc { ms: parse(&event.at)?, n: 0, node: String::new() },
        cause: None,
        command: event.command.clone(),
        request: None,
        actor: Actor { name: event.actor.clone(), role: role.map_err(|error| error.to_string())? },
        reason: event.reason.clone(),
        rollout: event.rollout.clone(),
        event: serde_json::from_value(event.event.clone()).map_err(|error| error.to_string())?,
    })
}
