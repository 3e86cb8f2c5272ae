//! The future of a layer that either refuses or answers at once, or hands the request on.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::body::ResponseBody;
use crate::commit::Committed;
use crate::error::ProxyError;

/// Why a request goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is refused.
    Refused(ProxyError),
    /// It was answered. Boxed: rare, and larger than the way of every other request.
    Answered(Box<Committed<ResponseBody>>),
}

impl From<ProxyError> for Stop {
    fn from(error: ProxyError) -> Self {
        Self::Refused(error)
    }
}

pin_project! {
    /// Refused or answered, or on its way.
    #[project = StepProjection]
    pub(crate) enum Step<F> {
        // Taken when it is told.
        Stopped { stop: Option<Stop> },
        Next { #[pin] future: F },
    }
}

impl<F> Future for Step<F>
where
    F: Future<Output = Result<Committed<ResponseBody>, ProxyError>>,
{
    type Output = Result<Committed<ResponseBody>, ProxyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            StepProjection::Stopped { stop } => match stop.take() {
                Some(Stop::Answered(committed)) => Poll::Ready(Ok(*committed)),
                Some(Stop::Refused(error)) => Poll::Ready(Err(error)),
                // Polled behind its end.
                None => Poll::Ready(Err(ProxyError::Abandoned)),
            },
            StepProjection::Next { future } => future.poll(cx),
        }
    }
}

/// A layer that turns a request of one stage into one of the next, or stops it.
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
            S: tower_service::Service<
                    $crate::call::Call<$to>,
                    Response = $crate::commit::Committed<$crate::body::ResponseBody>,
                    Error = $crate::error::ProxyError,
                >,
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
                    Err(stop) => $crate::step::Step::Stopped { stop: Some(stop.into()) },
                }
            }
        }
    };
}
pub(crate) use step_layer;
