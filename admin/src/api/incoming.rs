//! What a handler takes from a request that changes something.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::{HeaderMap, HeaderName, Method};
use serde::de::DeserializeOwned;

use super::Shared;
use super::auth::Caller;
use super::problem::{Answer, Problem};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A body has to be there within this.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest key.
const KEY_BYTES: usize = 128;

/// A request with its whole body.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) caller: Caller,
    pub(super) dry_run: bool,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

/// What `If-Match` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// Nothing.
    Absent,
    /// `*`: any version.
    Any,
    /// This one.
    Version(u64),
}

impl FromRequest<Shared> for Incoming {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Shared) -> Answer<Self> {
        let caller = request.extensions().get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Problem::internal("the request came past its guard"))?;
        let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
        let dry_run =
            match uri.query().and_then(|query| query.split('&').find_map(|part| part.strip_prefix("dry_run="))) {
                None | Some("false") => false,
                Some("true") => true,
                Some(_) => return Err(Problem::bad_request("invalid_query", "dry_run is true or false")),
            };
        let body = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await;
        let body = body.map_err(|_| Problem::slow_body())?.map_err(|rejection| {
            let status = axum::response::IntoResponse::into_response(rejection).status();
            Problem::of_status(status, "")
        })?;
        Ok(Self { caller, dry_run, method, target: uri.to_string(), headers, body })
    }
}

impl Incoming {
    /// The body, read as JSON; an empty one as `{}`.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Answer<T> {
        if self.body.is_empty() {
            return parse(b"{}");
        }
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Problem::of_status(axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE, ""));
        }
        parse(&self.body)
    }

    /// The body as text.
    pub(super) fn text(&self) -> Answer<&str> {
        std::str::from_utf8(&self.body).map_err(|_| Problem::bad_request("not_utf8", "the body is not UTF-8"))
    }

    pub(super) fn if_match(&self) -> Answer<IfMatch> {
        let Some(value) = self.headers.get(IF_MATCH) else { return Ok(IfMatch::Absent) };
        let value = value.to_str().unwrap_or_default().trim();
        if value == "*" {
            return Ok(IfMatch::Any);
        }
        let version = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).and_then(|v| v.parse().ok());
        version.map(IfMatch::Version).ok_or_else(|| {
            Problem::bad_request("invalid_if_match", "if-match is the etag of the rollout as you saw it, or *")
        })
    }

    /// The order's id, by the client's key or by chance, and the digest that ties the key to this request.
    pub(super) fn order_id(&self) -> Answer<(String, Option<String>)> {
        let Some(key) = self.headers.get(&IDEMPOTENCY_KEY) else {
            return Ok((format!("{:032x}", fastrand::u128(..)), None));
        };
        let key = key.to_str().unwrap_or_default();
        if key.is_empty() || key.len() > KEY_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let detail = format!("an idempotency key is 1 to {KEY_BYTES} visible ASCII characters");
            return Err(Problem::bad_request("invalid_idempotency_key", detail));
        }
        let mut hasher = blake3::Hasher::new();
        let if_match = self.headers.get(IF_MATCH).map_or(&b""[..], |value| value.as_bytes());
        for part in [self.method.as_str().as_bytes(), self.target.as_bytes(), if_match, &self.body] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        Ok((format!("key:{key}"), Some(hasher.finalize().to_hex()[..32].to_owned())))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Answer<T> {
    serde_json::from_slice(body).map_err(|error| {
        let detail = format!("the body is not what this takes: {error}");
        match error.classify() {
            serde_json::error::Category::Data => Problem::unprocessable("invalid_body", detail),
            _ => Problem::bad_request("malformed_json", detail),
        }
    })
}
