//! The future of a layer that either refuses at once or hands the request on.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::error::ProxyError;

pin_project! {
    /// Refused, or on its way.
    #[project = StepProjection]
    pub(crate) enum Step<F> {
        Refused { error: ProxyError },
        Next { #[pin] future: F },
    }
}

impl<F, T> Future for Step<F>
where
    F: Future<Output = Result<T, ProxyError>>,
{
    type Output = Result<T, ProxyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            StepProjection::Refused { error } => Poll::Ready(Err(*error)),
            StepProjection::Next { future } => future.poll(cx),
        }
    }
}

/// A layer that turns a request of one stage into one of the next, or refuses.
macro_rules! step_layer {
    ($(#[$doc:meta])* $layer:ident, $service:ident: $from:ty => $to:ty, $step:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $layer;

        /// The service of the layer of the same name.
        #[derive(Debug, Clone)]
        pub(crate) struct $service<S> {
            inner: S,
        }

        impl<S> tower_layer::Layer<S> for $layer {
            type Service = $service<S>;

            fn layer(&self, inner: S) -> Self::Service {
                $service { inner }
            }
        }

        impl<S> tower_service::Service<$crate::call::Call<$from>> for $service<S>
        where
            S: tower_service::Service<$crate::call::Call<$to>, Error = $crate::error::ProxyError>,
        {
            type Response = S::Response;
            type Error = $crate::error::ProxyError;
            type Future = $crate::step::Step<S::Future>;

            fn poll_ready(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), Self::Error>> {
                self.inner.poll_ready(cx)
            }

            fn call(&mut self, call: $crate::call::Call<$from>) -> Self::Future {
                match $step(call) {
                    Ok(call) => $crate::step::Step::Next { future: self.inner.call(call) },
                    Err(error) => $crate::step::Step::Refused { error },
                }
            }
        }
    };
}
pub(crate) use step_layer;
