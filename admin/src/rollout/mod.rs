//! The life of a patch rollout: commands in, events out. Pure: no clock, no IO, no `async`.
//!
//! ```text
//!            create                   hold over, promote              promote --full,
//!   (none) ─────────▶ pending ──▶ canary(stage 0) ──▶ canary(stage n) ──last hold over──▶ promoted ──▶ completed
//!                        │          │      ▲                │                               │
//!                        │        pause  resume             │                               │
//!                        │          ▼      │                │                               │
//!                        │          paused(stage)           │                               │
//!                        └──────────┬──────────────────┬────┴───────────────────────────────┘
//!                                   ▼                  ▼
//!                                aborted          rolled_back (a verdict, or the deadline)
//! ```
//!
//! | from ╲ command | promote | promote full | pause | resume | approve | complete | advance | abort | roll back | expire |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | pending | canary(0) | promoted | – | – | (noted) | – | – | aborted | rolled_back | rolled_back |
//! | canary(n) | canary(n+1), promoted | promoted | paused(n) | – | (noted) | – | canary(n+1), promoted | aborted | rolled_back | rolled_back |
//! | paused(n) | canary(n+1), promoted | promoted | – | canary(n) | (noted) | – | – | aborted | rolled_back | rolled_back |
//! | promoted | – | – | – | – | – | completed | – | aborted | rolled_back | – |
//! | an end | – | – | – | – | – | – | – | – | – | – |
//!
//! What is not in the table is a typed [`Refusal`]. `advance` and `expire` are the controller's, when time has come.
//! Nothing promoted is withdrawn by its deadline: what was the patch's risk is by then everybody's version.
//!
//! [`decide()`] may refuse and never changes anything; [`State::apply`] changes and can never refuse.

#[cfg(test)]
mod catalogue;
mod clock;
pub mod codec;
mod command;
mod decide;
mod event;
pub mod invariants;
mod plan;
mod refusal;
mod state;

pub use clock::Hlc;
pub use command::{Actor, Command, Context, Order, Role};
pub use decide::{Wait, decide, due, waits_for};
pub use event::{Completion, Entry, Envelope, Event, Exposed, Origin, RollbackCause};
pub use plan::{Condition, Gates, Key, Millionths, OnFail, OnWithdraw, Patch, Plan, Rule, Stage};
pub use refusal::Refusal;
pub use state::{Change, Phase, Rollout, State};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = u64;

#[cfg(test)]
mod tests;
