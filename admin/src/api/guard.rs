//! What every request goes through, first and last: who asks, may he, how often, how long; and every answer that is not
//! as wished leaves as a problem document.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use governor::{Quota, RateLimiter};

use super::auth::Caller;
use super::problem::Problem;
use super::{Api, Shared, policy};
use crate::controller::Wanted;
use crate::rollout::{Actor, Event, Role};

/// An answer has to begin within this.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Callers beyond which those who have not asked lately are forgotten: who need not be known chooses his name.
const CALLERS: usize = 1_024;

/// Denials alike are written into the log once in this time, with their number.
const DENIALS_EVERY: Duration = Duration::from_secs(10);

/// Denials that are told apart at a time.
const DENIALS: usize = 1_024;

/// Characters of a request that are written into the log.
const TOLD: usize = 256;

/// Most of a foreign error's text that is repeated.
const SAID: usize = 1_024;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

type Limiter = governor::DefaultKeyedRateLimiter<String>;

/// How often each caller asks.
#[derive(Debug)]
pub(super) struct Rates(Limiter);

/// Which denials were written lately, and how many like them were not.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<HashMap<Denial, (Instant, u64)>>);

/// Actor, request and code.
type Denial = (String, String, &'static str);

impl Rates {
    pub(super) fn new(a_second: u32) -> Self {
        let a_second = NonZeroU32::new(a_second).unwrap_or(NonZeroU32::MIN);
        // A burst of two seconds' worth: a page that loads asks for several things at once.
        let quota = Quota::per_second(a_second).allow_burst(a_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)));
        Self(RateLimiter::keyed(quota))
    }

    fn admits(&self, caller: &str) -> bool {
        if self.0.len() > CALLERS {
            self.0.retain_recent();
        }
        self.0.check_key(&caller.to_owned()).is_ok()
    }
}

impl Denials {
    /// Whether to write it now, and how many like it were not written since the last.
    fn note(&self, actor: &str, request: &str, code: &'static str) -> Option<u64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= DENIALS {
            seen.retain(|_, (at, _)| at.elapsed() < DENIALS_EVERY);
        }
        if seen.len() >= DENIALS {
            return None;
        }
        let key = (actor.to_owned(), request.to_owned(), code);
        match seen.get_mut(&key) {
            Some((at, more)) if at.elapsed() < DENIALS_EVERY => {
                *more += 1;
                None
            }
            Some(last) => Some(std::mem::replace(last, (Instant::now(), 0)).1),
            None => {
                seen.insert(key, (Instant::now(), 0));
                Some(0)
            }
        }
    }
}

/// See the module.
pub(super) async fn guard(State(api): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = format!("{:016x}", fastrand::u64(..));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = request.uri().path().to_owned();
    let caller = admit(&api, &request, route.as_deref());
    let actor = caller.as_ref().map(|caller| caller.actor.clone()).ok();
    let mut response = match caller {
        Err(problem) => axum::response::IntoResponse::into_response(problem),
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
            match tokio::time::timeout(TIMEOUT, answer).await {
                Ok(Ok(response)) => response,
                Ok(Err(_)) => problem_response(Problem::internal("the request met a defect; the gateway's log has it")),
                Err(_) => problem_response(Problem::unavailable("timeout", "the answer took too long; try again")),
            }
        }
    };
    finish(&id, &mut response).await;
    let status = response.status();
    api.parts.observe.answered(route.as_deref().unwrap_or("unknown"), status.as_u16());
    if let Some(problem) = response.extensions().get::<Problem>() {
        let name = actor.as_ref().map_or("unknown", |actor| actor.name.as_str());
        tracing::info!(request_id = id, %method, path, status = status.as_u16(), code = problem.code, actor = name, "refused");
        if method != Method::GET && method != Method::HEAD {
            let code = problem.code;
            // Who is not known chooses nothing of what is written: else strangers could fill the log.
            let what = match actor {
                Some(_) => format!("{method} {path}").chars().take(TOLD).collect(),
                None => route.unwrap_or_else(|| "unknown".to_owned()),
            };
            audit(&api, actor, &what, status, code);
        }
    }
    response
}

fn problem_response(problem: Problem) -> Response {
    axum::response::IntoResponse::into_response(problem)
}

fn admit(api: &Api, request: &Request, route: Option<&str>) -> Result<Caller, Problem> {
    let caller = api.parts.auth.caller(request.headers(), api.parts.controller.clock().now())?;
    if !api.rates.admits(&caller.actor.name) {
        let detail = "too many requests a second; see admin.limits.requests_per_second";
        return Err(Problem::too_many("rate_limited", detail));
    }
    let Some(route) = route else { return Ok(caller) };
    let Some(policy) = policy::of(request.method(), route) else {
        // Another method of a route that exists goes on to be told which there are.
        let exists = policy::POLICIES.iter().any(|policy| policy.path == route);
        return if exists { Ok(caller) } else { Err(Problem::forbidden("no_policy", "nobody may do this")) };
    };
    if caller.actor.role < policy.role {
        let detail = format!(
            "`{}` is {}, and this takes {}; ask an admin for a token of that role",
            caller.actor.name,
            caller.actor.role.as_str(),
            policy.role.as_str()
        );
        return Err(Problem::forbidden("role_missing", detail).with("role", policy.role.as_str().into()));
    }
    Ok(caller)
}

/// Writes problems out, also those that the framework answered in its own words.
async fn finish(id: &str, response: &mut Response) {
    let status = response.status();
    if response.extensions().get::<Problem>().is_none() && (status.is_client_error() || status.is_server_error()) {
        let body = std::mem::take(response.body_mut());
        let said = axum::body::to_bytes(body, SAID).await.unwrap_or_default();
        let said = if status.is_client_error() { String::from_utf8_lossy(&said).into_owned() } else { String::new() };
        response.extensions_mut().insert(Problem::of_status(status, &said));
    }
    if let Some(problem) = response.extensions().get::<Problem>().cloned() {
        problem.write(id, response);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    headers.entry(axum::http::header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// Writes a denied or failed change into the log, in the background: the caller has its answer.
fn audit(api: &Shared, actor: Option<Actor>, request: &str, status: StatusCode, code: &'static str) {
    let actor = actor.unwrap_or_else(|| Actor { name: "unknown".into(), role: Role::Viewer });
    let Some(more) = api.denials.note(&actor.name, request, code) else { return };
    let event = Event::Denied { request: request.to_owned(), status: status.as_u16(), code: code.to_owned(), more };
    let api = Arc::clone(api);
    tokio::spawn(async move {
        if let Err(failure) = api.parts.controller.carry_out(Wanted::Note { actor, event }).await {
            tracing::warn!(%failure, "a denied request is not in the event log");
        }
    });
}
