//! Host and path to service.

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
    let host = facts.authority.as_ref().map(route_host).unwrap_or_default();
    let route = config.routes.find(&host, call.head.uri.path()).ok_or(ProxyError::NoRoute)?;
    exchange.total_at.set(exchange.started + config.service(route.service).timeouts.total);
    facts.route = Some(route.route);
    facts.service = Some(route.service);
    drop(facts);
    Ok(call.advance(|admitted| Routed { admitted, route }))
}
