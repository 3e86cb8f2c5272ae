//! `services[].rate_limit`.

use std::num::NonZeroU32;
use std::time::Duration;

use super::rollout::sticky_key;
use super::values::{non_zero, optional, required, seconds};
use crate::problem::{Path, Problems};
use crate::raw::{self, scalar};
use crate::rules;
use crate::snapshot::{Rate, RateLimit, StickyKey};

/// Most time that a bucket may take to be full again.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) fn rate_limit(raw: &raw::RateLimit, at: &Path<'_>, problems: &mut Problems) -> Option<RateLimit> {
    if raw.requests.is_none() && raw.clients.is_none() {
        let help = "add `requests`, `clients: { requests: 50 }`, or both";
        problems.at(&rules::MISSING_FIELD, at, "nothing says how often is too often", help);
        return None;
    }
    let all = optional(raw.requests, |requests| rate(requests, raw.per, raw.burst, at, problems));
    let clients = optional(raw.clients.as_ref(), |raw| clients(raw, &at.key("clients"), problems));
    Some(RateLimit { all: all?, clients: clients? })
}

fn clients(raw: &raw::ClientRate, at: &Path<'_>, problems: &mut Problems) -> Option<(Rate, StickyKey)> {
    let key = sticky_key(Some(raw.key.as_deref().unwrap_or("address")), &at.key("key"), problems);
    if key == Some(StickyKey::Random) {
        let help = "write address, header:NAME or cookie:NAME";
        problems.at(&rules::INVALID_VALUE, &at.key("key"), "nobody is known by a random key", help);
        return None;
    }
    let requests = required(&raw.requests, at, "requests", "say how often each client may ask", problems);
    Some((rate(*requests?, raw.per, raw.burst, at, problems)?, key?))
}

fn rate(
    requests: u32,
    per: Option<scalar::Duration>,
    burst: Option<u32>,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<Rate> {
    let per = non_zero(per, seconds(1), &at.key("per"), problems);
    let mut number = |name: &'static str, number: u32| {
        let number = NonZeroU32::new(number);
        if number.is_none() {
            let help = "write a number from 1; `direct_response` answers without asking anybody";
            problems.at(&rules::OUT_OF_RANGE, &at.key(name), "0 requests let nobody in", help);
        }
        number
    };
    let (requests, burst) = (number("requests", requests), number("burst", burst.unwrap_or(requests)));
    let rate = Rate { requests: requests?, per: per?, burst: burst? };
    if (rate.per / rate.requests.get()).saturating_mul(rate.burst.get()) > LONGEST {
        let help = "write a smaller `burst`, or a shorter `per`";
        problems.at(&rules::OUT_OF_RANGE, at, "the burst would take more than a year to come back", help);
        return None;
    }
    Some(rate)
}
