//! The outermost layer: one answer and one record for every request, whatever happens below.
//!
//! The only place that turns an error into a response, and that catches panics. The client is told a stable code and
//! the request's id; details go to the log.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Response, StatusCode, Version};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::call::Call;
use crate::commit::{Committed, Contender};
use crate::connection::Inbound;
use crate::error::{Origin, ProxyError};
use crate::exchange::Exchange;
use crate::forward::headers::REQUEST_ID;
use crate::grpc;
use crate::panics::{self, PanickedAttempt, PanickedDecision, PanickedRequest};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RespondLayer;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Respond<S> {
    inner: S,
}

/// Another answer left already: the connection or the stream is to be ended.
#[derive(Debug, thiserror::Error)]
#[error("the request was answered already")]
pub(crate) struct Unanswerable;

pin_project! {
    /// See the module.
    pub(crate) struct RespondFuture<F> {
        // `None`: a layer panicked before there was a future.
        #[pin]
        inner: Option<F>,
        exchange: Rc<Exchange>,
    }
}

impl<S> Layer<S> for RespondLayer {
    type Service = Respond<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Respond { inner }
    }
}

impl<S> Service<Inbound> for Respond<S>
where
    S: Service<Call<()>, Response = Committed<ResponseBody>, Error = ProxyError>,
{
    type Response = Response<ResponseBody>;
    type Error = Unanswerable;
    type Future = RespondFuture<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Limits act where requests come in; a request that is here is served.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, inbound: Inbound) -> Self::Future {
        let Inbound { head, found, body, connection } = inbound;
        let exchange = Exchange::begin(connection, &head);
        let call = Call { exchange: Rc::clone(&exchange), head, found, body, stage: () };
        RespondFuture { inner: panics::catch(|| self.inner.call(call)), exchange }
    }
}

impl<F> Future for RespondFuture<F>
where
    F: Future<Output = Result<Committed<ResponseBody>, ProxyError>>,
{
    type Output = Result<Response<ResponseBody>, Unanswerable>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = this.inner.as_pin_mut().and_then(|inner| panics::catch(|| inner.poll(cx)));
        let committed = match polled {
            Some(Poll::Pending) => return Poll::Pending,
            Some(Poll::Ready(Ok(committed))) => committed,
            Some(Poll::Ready(Err(error))) => match answer(this.exchange, error) {
                Some(committed) => committed,
                None => return Poll::Ready(Err(Unanswerable)),
            },
            None => {
                note_panic(this.exchange);
                match answer(this.exchange, ProxyError::Panicked) {
                    Some(committed) => committed,
                    None => return Poll::Ready(Err(Unanswerable)),
                }
            }
        };
        Poll::Ready(Ok(committed.into_response()))
    }
}

/// Answers with `error`, if nobody has answered yet.
fn answer(exchange: &Rc<Exchange>, error: ProxyError) -> Option<Committed<ResponseBody>> {
    let contender = match error {
        ProxyError::ConnectTimeout | ProxyError::FirstByteTimeout | ProxyError::TotalTimeout => Contender::Timeout,
        ProxyError::Draining => Contender::Drain,
        ProxyError::Withdrawn => Contender::Withdrawn,
        ProxyError::Panicked => Contender::Panic,
        _ => Contender::Local,
    };
    let permit = match exchange.guard.try_commit(contender) {
        Ok(permit) => permit,
        Err(_) => exchange.guard.reclaim_abandoned()?,
    };
    let mut facts = exchange.facts.borrow_mut();
    facts.status = Some(error.status());
    facts.error = Some(error);
    match error.origin() {
        Origin::Downstream => exchange.worker().telemetry.bad_request(error.code()),
        Origin::Upstream | Origin::Internal => {
            tracing::debug!(error = error.code(), uri = %facts.uri, "answered in place of a backend");
        }
    }
    let (mut head, text) = match facts.grpc {
        true => {
            facts.status = Some(StatusCode::OK);
            facts.grpc_status = Some(grpc::status_of(error));
            (grpc::answer(error), Bytes::new())
        }
        false => plain(error, &facts.method),
    };
    let headers = head.headers_mut();
    if let Some(id) = &facts.request_id {
        headers.insert(REQUEST_ID, id.clone());
    }
    if let Some(seconds) = error.retry_after() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if facts.version != Version::HTTP_2 && (error.closes() || exchange.worker().is_draining()) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    drop(facts);
    Some(exchange.answer(permit, head.map(|()| ResponseBody::local(text, Rc::clone(exchange)))))
}

/// An error as text.
fn plain(error: ProxyError, method: &Method) -> (Response<()>, Bytes) {
    let text =
        if *method == Method::HEAD { Bytes::new() } else { Bytes::from(format!("{error} ({})\n", error.code())) };
    let mut head = Response::new(());
    *head.status_mut() = error.status();
    head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    (head, text)
}

fn note_panic(exchange: &Exchange) {
    exchange.worker().telemetry.panicked();
    // The panic may have struck while the facts were being changed.
    let Ok(facts) = exchange.facts.try_borrow() else { return };
    let config = &exchange.snapshot.config;
    let attempts = facts.sent.iter().map(|sent| PanickedAttempt {
        backend: config.backend(sent.backend).name.to_string(),
        endpoint: sent.endpoint.to_string(),
        status: sent.status.map(|status| status.as_u16()),
        error: sent.error,
    });
    exchange.worker().panics.keep(PanickedRequest {
        request_line: format!("{} {} {:?}", facts.method, facts.uri, facts.version),
        decision: facts.decision.map(|decision| PanickedDecision {
            track: decision.track.as_str(),
            reason: decision.reason.as_str(),
            rollout: decision.rollout.map(|id| config.rollout(id).name.to_string()),
            backend: config.backend(decision.backend).name.to_string(),
        }),
        attempts: attempts.collect(),
        trace_id: facts.trace.id.to_string(),
        span_id: facts.trace.span.to_string(),
        request_id: facts.request_id.as_ref().and_then(|id| id.to_str().ok()).map(str::to_owned),
    });
}
