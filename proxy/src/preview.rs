//! What a change of exposure would do to traffic like that of the last minutes: an estimate, beside the request path.
//!
//! Pure: the shares come from counters, so who in person would move is not known. It refuses to guess at what no
//! counter has seen, which are the marks and rules of a rollout that is new.

use patchgate_config::snapshot::{Exposure, Rollout, Snapshot};
use serde::Serialize;

use crate::rollout::{Reason, Track};
use crate::telemetry::traffic::{Rate, Rates};

/// The effects of a change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// Seconds of traffic that the estimate is from.
    pub seconds: f64,
    /// One a rollout and service, of those before and after the change.
    pub effects: Vec<Effect>,
}

/// The effect on the requests of one service. Shares are 0 to 1, of all requests of the service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// The rollout.
    pub rollout: String,
    /// The service.
    pub service: String,
    /// Requests of the service that the estimate is from; without any all shares are 0.
    pub requests: u64,
    /// The exposure before, 0 to 1.
    pub exposure_now: f64,
    /// The exposure after, 0 to 1.
    pub exposure_next: f64,
    /// The share that was on the patch.
    pub canary_now: f64,
    /// The share that would be.
    pub canary_next: f64,
    /// The share that would go from stable to the patch or back. At most: requests that come to listeners which do
    /// not assign are counted as if a percentage could choose them.
    pub moves: f64,
}

/// Estimates what `next` in place of `now` would do to traffic like `recent`.
#[must_use]
pub fn preview(now: &Snapshot, next: &Snapshot, recent: &Rates) -> Preview {
    let before = now.rollouts.iter().map(|rollout| {
        let after = find(next, service_of(now, rollout), &rollout.name);
        effect(now, rollout, Some(rollout), after, recent)
    });
    let begun = next.rollouts.iter().filter(|rollout| find(now, service_of(next, rollout), &rollout.name).is_none());
    let begun = begun.map(|rollout| effect(next, rollout, None, Some(rollout), recent));
    Preview { seconds: recent.seconds, effects: before.chain(begun).collect() }
}

fn find<'a>(snapshot: &'a Snapshot, service: &str, name: &str) -> Option<&'a Rollout> {
    snapshot.rollouts.iter().find(|rollout| *rollout.name == *name && service_of(snapshot, rollout) == service)
}

fn service_of<'a>(snapshot: &'a Snapshot, rollout: &Rollout) -> &'a str {
    &snapshot.service(rollout.service).name
}

/// The effect on `known`, a rollout of `snapshot`, which is there `before` and `after`, or in one of both.
fn effect(
    snapshot: &Snapshot,
    known: &Rollout,
    before: Option<&Rollout>,
    after: Option<&Rollout>,
    recent: &Rates,
) -> Effect {
    let service = service_of(snapshot, known);
    let backend = &*snapshot.backend(known.backend).name;
    let of_service = || recent.rows.iter().filter(|rate| rate.service == service);
    let requests: u64 = of_service().map(|rate| rate.sums.requests).sum();
    let on_patch = of_service().filter(|rate| rate.backend == backend && rate.track == Track::Canary.as_str());
    let on_patch: u64 = on_patch.map(|rate| rate.sums.requests).sum();
    let chosen: u64 = of_service().map(choosable).sum();
    let share = |count: u64| count as f64 / requests.max(1) as f64;
    let [now, next] = [before, after].map(|rollout| ratio(rollout.map_or(Exposure::NONE, |rollout| rollout.exposure)));
    let canary_now = share(on_patch);
    let (canary_next, moves) = match after {
        // Marks and rules lead to it no more, either.
        None => (0.0, canary_now),
        Some(_) => {
            let change = share(chosen) * (next - now);
            ((canary_now + change).clamp(0.0, 1.0), change.abs())
        }
    };
    Effect {
        rollout: known.name.to_string(),
        service: service.to_owned(),
        requests,
        exposure_now: now,
        exposure_next: next,
        canary_now,
        canary_next,
        moves,
    }
}

/// Requests that a percentage chose, for the patch, for control or for neither.
fn choosable(rate: &Rate) -> u64 {
    [Reason::Percent, Reason::Control, Reason::Default].map(|reason| rate.sums.reasons.of(reason)).iter().sum()
}

fn ratio(exposure: Exposure) -> f64 {
    f64::from(exposure.millionths()) / f64::from(Exposure::ALL.millionths())
}
