//! Host and path to service, or to an answer of our own.

mod local;
mod redirect;

use http::HeaderValue;
use patchgate_config::routes::RouteMatch;
use patchgate_config::snapshot::Snapshot;

use crate::admit::route_host;
use crate::call::{Admitted, Call, Routed};
use crate::error::ProxyError;
use crate::grpc;
use crate::step::{Stop, step_layer};
pub(crate) use redirect::{is_secure, location};

step_layer! {
    /// Finds the route, or answers: 404, 429, or what the route says.
    RouteLayer, Route: Admitted => Routed, find
}

fn find(call: Call<Admitted>) -> Result<Call<Routed>, Stop> {
    let exchange = &call.exchange;
    let config = &exchange.snapshot.config;
    let mut facts = exchange.facts.borrow_mut();
    let route = look_up(config, facts.authority.as_ref(), call.head.uri.path()).ok_or(ProxyError::NoRoute)?;
    facts.route = Some(route.route);
    let Some(service) = route.service else {
        drop(facts);
        return Err(local::answer(call, route.route));
    };
    let mut total = config.service(service).timeouts.total;
    if facts.grpc {
        total = grpc::timeout(&call.head.headers).map_or(total, |asked| asked.min(total));
    }
    exchange.total_at.set(exchange.started + total);
    facts.service = Some(service);
    drop(facts);
    if let Some(limits) = exchange.snapshot.rate_limits(service) {
        limits.check(exchange, &call.head.headers)?;
    }
    Ok(call.advance(|admitted| Routed { admitted, service }))
}

/// The route of a request for this authority.
pub(crate) fn look_up(config: &Snapshot, authority: Option<&HeaderValue>, path: &str) -> Option<RouteMatch> {
    let host = authority.map(route_host).unwrap_or_default();
    config.routes.find(&host, path)
}
