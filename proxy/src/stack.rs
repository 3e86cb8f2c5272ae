//! The way of a request, top to bottom. Each layer adds what it found out to the [`Call`] or
//! refuses; none allocates a request, and of their futures only the innermost is boxed, since each layer moves it.

use http::Response;
use tower::ServiceBuilder;
use tower_service::Service;

use crate::admit::AdmitLayer;
use crate::body::ResponseBody;
use crate::call::{Call, Decided};
use crate::commit::Committed;
use crate::connection::Inbound;
use crate::error::ProxyError;
use crate::forward;
use crate::respond::{RespondLayer, Unanswerable};
use crate::rollout::RolloutLayer;
use crate::route::RouteLayer;

/// The whole stack.
pub(crate) fn stack()
-> impl Service<Inbound, Response = Response<ResponseBody>, Error = Unanswerable, Future: 'static> + Clone + 'static {
    around(tower::service_fn(forward::forward))
}

/// The layers around whatever forwards; tests put a forwarder of their own in the middle.
pub(crate) fn around<S>(
    forward: S,
) -> impl Service<Inbound, Response = Response<ResponseBody>, Error = Unanswerable, Future: 'static> + Clone + 'static
where
    S: Service<Call<Decided>, Response = Committed<ResponseBody>, Error = ProxyError> + Clone + 'static,
    S::Future: 'static,
{
    ServiceBuilder::new()
        // Outermost: whatever happens below, one answer leaves and one record is made.
        .layer(RespondLayer)
        // Before anything looks at the request: is it one, and for which host?
        .layer(AdmitLayer)
        // Host and path to service.
        .layer(RouteLayer)
        // Mark and rules to backend, with the trace context that goes on.
        .layer(RolloutLayer)
        // Attempts, and the commit of one of them.
        .service(forward)
}

#[cfg(test)]
mod tests;
