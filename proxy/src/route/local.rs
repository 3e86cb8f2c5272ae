//! Answers of a route itself: redirects and direct responses. They need no backend and no decision; the trace goes on.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION, USER_AGENT};
use http::{Method, Response, Version};
use patchgate_config::routes::RouteId;
use patchgate_config::snapshot::LocalAnswer;

use super::redirect::{is_secure, location};
use crate::body::ResponseBody;
use crate::call::{Admitted, Call};
use crate::commit::Contender;
use crate::error::ProxyError;
use crate::rollout::trace_on;
use crate::step::Stop;

/// Answers with what the route says.
pub(super) fn answer(call: Call<Admitted>, route: RouteId) -> Stop {
    let Call { exchange, head, stage: Admitted { trusted }, .. } = call;
    let config = &exchange.snapshot.config;
    // Which route it is was said by the same table.
    let Some(answer) = config.routes.answer(route) else { return Stop::Refused(ProxyError::NoRoute) };
    let (_, state) = trace_on(&exchange, &head, trusted, |_, _| None);
    let Ok(permit) = exchange.guard.try_commit(Contender::Local) else { return Stop::Refused(ProxyError::Abandoned) };
    exchange.worker().telemetry.answered_locally(answer.as_str());
    let mut response = Response::new(());
    *response.status_mut() = answer.status();
    let headers = response.headers_mut();
    let mut text = Bytes::new();
    let mut facts = exchange.facts.borrow_mut();
    match answer {
        LocalAnswer::Redirect(redirect) => {
            let secure = is_secure(&head.headers, trusted, exchange.connection.is_tls);
            // Parts of legal values and of a legal target are a legal value.
            if let Ok(value) = location(redirect, secure, facts.authority.as_ref(), &facts.uri).try_into() {
                headers.insert(LOCATION, value);
            }
        }
        LocalAnswer::Direct(direct) => {
            text = direct.body.clone();
            if !text.is_empty() {
                headers.insert(CONTENT_TYPE, direct.content_type.clone());
            }
        }
    }
    let length = text.len() as u64;
    let to_head = facts.method == Method::HEAD;
    if to_head && length > 0 {
        headers.insert(CONTENT_LENGTH, length.into());
        text = Bytes::new();
    }
    if facts.version != Version::HTTP_2 && exchange.worker().is_draining() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    facts.trace.state = state;
    facts.status = Some(answer.status());
    if facts.trace.flags.sampled() {
        facts.user_agent = head.headers.get(USER_AGENT).cloned();
    }
    drop(facts);
    let mut body = ResponseBody::local(text, Rc::clone(&exchange));
    body.relayed.length = (to_head && length > 0).then_some(length);
    Stop::Answered(Box::new(exchange.answer(permit, response.map(|()| body))))
}
