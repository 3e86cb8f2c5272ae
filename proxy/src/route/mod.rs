//! Host and path to service.

use http::HeaderValue;
use patchgate_config::routes::RouteMatch;
use patchgate_config::snapshot::Snapshot;

use crate::admit::route_host;
use crate::call::{Admitted, Call, Routed};
use crate::error::ProxyError;
use crate::step::step_layer;

step_layer! {
    /// Finds the route, or answers 404.
    RouteLayer, Route: Admitted => Routed, find
}

fn find(call: Call<Admitted>) -> Result<Call<Routed>, ProxyError> {
    let exchange = &call.exchange;
    let config = &exchange.snapshot.config;
    let mut facts = exchange.facts.borrow_mut();
    let route = look_up(config, facts.authority.as_ref(), call.head.uri.path()).ok_or(ProxyError::NoRoute)?;
    exchange.total_at.set(exchange.started + config.service(route.service).timeouts.total);
    facts.route = Some(route.route);
    facts.service = Some(route.service);
    drop(facts);
    Ok(call.advance(|admitted| Routed { admitted, route }))
}

/// The route of a request for this authority.
pub(crate) fn look_up(config: &Snapshot, authority: Option<&HeaderValue>, path: &str) -> Option<RouteMatch> {
    let host = authority.map(route_host).unwrap_or_default();
    config.routes.find(&host, path)
}
