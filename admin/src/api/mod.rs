//! The admin API: every route on one screen.
//!
//! A request's way: [`guard`](mod@guard) (who asks, may he, how often, how long) → a handler (wire types ⇄ orders) →
//! [`problem`] for everything that is not as wished.

mod act;
mod auth;
mod cursor;
pub mod dto;
mod events;
mod explain;
mod guard;
mod incoming;
mod openapi;
mod policy;
pub mod problem;
mod rollouts;
pub mod serve;
mod sse;
mod system;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use patchgate_config::model::AdminLimits;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use auth::Auth;

use crate::controller::Controller;
use crate::controller::feed::Feed;
use crate::log::Verifier;
use crate::plane::DataPlane;
use crate::store::EventStore;
use problem::Problem;

/// What the API is served from.
#[derive(Debug)]
pub struct Parts {
    /// Takes orders.
    pub controller: Controller,
    /// Has the events.
    pub store: Arc<dyn EventStore>,
    /// Has the newest ones at hand.
    pub feed: Arc<Feed>,
    /// Serves requests.
    pub plane: Arc<dyn DataPlane>,
    /// Folds the log anew.
    pub verifier: Arc<Verifier>,
    /// Knows callers.
    pub auth: Arc<Auth>,
    /// What a caller may ask for.
    pub limits: AdminLimits,
    /// Counts requests.
    pub observe: Arc<dyn Observe>,
}

/// What the API tells of its work.
pub trait Observe: Send + Sync + std::fmt::Debug {
    /// A request of this route, as in the OpenAPI document or `unknown`, was answered.
    fn answered(&self, route: &str, status: u16);
}

/// What handlers share.
#[derive(Debug)]
pub(crate) struct Api {
    parts: Parts,
    rates: guard::Rates,
    denials: guard::Denials,
    watchers: Arc<Semaphore>,
}

type Shared = Arc<Api>;

/// Every route, with what it says of itself.
fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(openapi::info())
        .routes(routes!(rollouts::list, rollouts::create))
        .routes(routes!(rollouts::get))
        .routes(routes!(rollouts::history))
        .routes(routes!(act::pause))
        .routes(routes!(act::resume))
        .routes(routes!(act::promote))
        .routes(routes!(act::approve))
        .routes(routes!(act::complete))
        .routes(routes!(act::abort))
        .routes(routes!(act::force_stable))
        .routes(routes!(events::list))
        .routes(routes!(explain::explain))
        .routes(routes!(system::gateways))
        .routes(routes!(system::panics))
        .routes(routes!(system::config))
        .routes(routes!(system::config_dry_run))
        .routes(routes!(system::state_hash))
        .routes(routes!(system::verify))
        .routes(routes!(system::whoami))
        .routes(routes!(system::drain))
}

/// The API as a service.
pub fn router(parts: Parts) -> Router {
    let limits = parts.limits;
    let api = Arc::new(Api {
        rates: guard::Rates::new(limits.requests_per_second),
        denials: guard::Denials::default(),
        watchers: Arc::new(Semaphore::new(limits.watchers as usize)),
        parts,
    });
    let (router, document) = routes().split_for_parts();
    let document: Arc<str> = openapi::text(&document).into();
    router
        .route("/openapi.json", get(move || async move { openapi::response(&document) }))
        .fallback(|| async { Problem::not_found("there is nothing here; /openapi.json tells what there is") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed().into_response() })
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(from_fn_with_state(Arc::clone(&api), guard::guard))
        .with_state(api)
}

/// The OpenAPI document, as served.
#[must_use]
pub fn openapi() -> String {
    openapi::text(&routes().split_for_parts().1)
}

/// Every route's method, path and least role.
pub fn policies() -> impl Iterator<Item = (&'static str, &'static str, crate::rollout::Role)> {
    policy::POLICIES.iter().map(|policy| (policy.method, policy.path, policy.role))
}
