//! Following something that changes: by the server's stream while there is one, by asking while there is none, and by
//! the stream again, from where it broke off.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Failure;
use super::http::Client;
use super::retry::pause;

/// Between two looks while there is no stream.
const LOOK: Duration = Duration::from_secs(1);

/// What is new.
#[derive(Debug)]
pub(crate) enum News<T> {
    /// It is so now.
    Now(T),
    /// Nothing can be learnt for a while, and why.
    Lost(String),
}

/// Follows what is at `target`, whose stream calls it `event`, until `seen` has seen enough or the server says no.
/// Someone who was never reached is not waited for.
pub(crate) fn follow<T: DeserializeOwned>(
    client: &Client,
    target: &str,
    event: &str,
    mut seen: impl FnMut(News<T>) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let (mut last, mut reached) = (None, false);
    loop {
        let broken = match client.follow(target, last.as_deref()) {
            Ok(messages) => {
                reached = true;
                let mut broken = "the stream has ended".to_owned();
                for message in messages {
                    let message = match message {
                        Ok(message) => message,
                        Err(error) => {
                            broken = error.to_string();
                            break;
                        }
                    };
                    // Also after a `resync`: what was missed is overtaken by what is.
                    last = message.id.or(last);
                    let now = if message.event == event {
                        serde_json::from_str(&message.data).map_err(|error| client.misunderstood(target, &error))?
                    } else if message.event == "resync" {
                        client.get(target)?
                    } else {
                        continue;
                    };
                    if seen(News::Now(now))?.is_break() {
                        return Ok(());
                    }
                }
                broken
            }
            // Without a stream there are still answers.
            Err(failure @ Failure::NotTheApi { .. }) => failure.to_string(),
            Err(failure) if failure.may_pass() && reached => failure.to_string(),
            Err(failure) if failure.status() == Some(503) => failure.to_string(),
            Err(failure) => return Err(failure),
        };
        match client.get(target) {
            Ok(now) => {
                reached = true;
                if seen(News::Now(now))?.is_break() {
                    return Ok(());
                }
            }
            Err(failure) if failure.may_pass() && reached => {
                if seen(News::Lost(broken))?.is_break() {
                    return Ok(());
                }
            }
            Err(failure) => return Err(failure),
        }
        pause(LOOK);
    }
}
