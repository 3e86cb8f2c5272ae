//! Whatever is not as wished → RFC 9457. Handlers return a [`Problem`]; the guard writes it out, with the request's id.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use patchgate_config::diagnostic::Report;
use patchgate_config::rules::Severity;
use serde_json::{Value, json};

use super::dto;
use crate::controller::Failure;
use crate::rollout::Refusal;

/// A request that is not answered as it wished.
#[derive(Debug, Clone)]
pub struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    detail: String,
    errors: Vec<dto::FieldError>,
    more: BTreeMap<String, Value>,
    retry_after: Option<u64>,
}

pub(super) type Answer<T> = Result<T, Problem>;

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, code, detail, errors: Vec::new(), more: BTreeMap::new(), retry_after: None }
    }

    pub(super) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "the `allow` header tells what is possible here",
        )
    }

    pub(super) fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
    }

    pub(super) fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    pub(super) fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    pub(super) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail) }
    }

    pub(super) fn too_many(code: &'static str, detail: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail) }
    }

    pub(super) fn slow_body() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow_body", "the body did not come in time; send it at once")
    }

    /// A failure inside; what exactly is only logged.
    pub(super) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    pub(super) fn with(mut self, key: &str, value: Value) -> Self {
        self.more.insert(key.to_owned(), value);
        self
    }

    /// A definition that has errors, each with its place.
    pub(super) fn of_report(code: &'static str, report: &Report) -> Self {
        let errors = report.diagnostics.iter().filter(|found| found.severity() == Severity::Error);
        let errors = errors.map(|found| dto::FieldError {
            path: found.path.clone(),
            detail: format!("{}; {}", found.message, found.help),
        });
        let problem = Self::unprocessable(code, "the definition has errors; `errors` tells each with its place");
        Self { errors: errors.collect(), ..problem }
    }

    /// What an answer says that no handler made: of the framework's extractors and fallbacks.
    pub(super) fn of_status(status: StatusCode, said: &str) -> Self {
        let (code, detail) = match status {
            StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "the body is larger than admin.limits.body_bytes"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported_media_type", "send content-type: application/json"),
            StatusCode::METHOD_NOT_ALLOWED => return Self::method_not_allowed(),
            StatusCode::BAD_REQUEST => ("bad_request", "the request could not be read"),
            _ if status.is_server_error() => ("internal", "the log of the gateway tells more"),
            _ => ("refused", "the request was refused"),
        };
        Self::new(status, code, if said.is_empty() { detail } else { said })
    }

    /// As a document.
    #[must_use]
    pub fn document(&self, request_id: &str) -> dto::Problem {
        dto::Problem {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
            detail: self.detail.clone(),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
            more: self.more.clone(),
        }
    }

    /// Puts the document into `response`, whose other headers stay.
    pub(super) fn write(&self, request_id: &str, response: &mut Response) {
        let body = serde_json::to_vec(&self.document(request_id)).unwrap_or_default();
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.remove(axum::http::header::CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"patchgate\""));
        }
        *response.body_mut() = Body::from(body);
    }
}

impl IntoResponse for Problem {
    /// Only a note for the guard, which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::NotFound { .. } => StatusCode::NOT_FOUND,
            Refusal::NameTaken { .. }
            | Refusal::GroupTaken { .. }
            | Refusal::ExposureCap { .. }
            | Refusal::WrongState { .. }
            | Refusal::NotDue { .. }
            | Refusal::ApprovalNeeded { .. } => StatusCode::CONFLICT,
            Refusal::OwnApproval { .. } => StatusCode::FORBIDDEN,
            Refusal::VersionMismatch { .. } => StatusCode::PRECONDITION_FAILED,
            Refusal::UnknownService { .. } | Refusal::ReasonMissing | Refusal::Invalid { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
        };
        let problem = Self::new(status, refusal.code(), refusal.to_string());
        match refusal {
            Refusal::VersionMismatch { actual, by, event, .. } => problem
                .with("version", json!(actual))
                .with("changed_by", json!(by.name))
                .with("changed_event", json!(event)),
            Refusal::GroupTaken { other, .. } => problem.with("other", json!(other)),
            _ => problem,
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let detail = failure.to_string();
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::KeyReused => Self::unprocessable("idempotency_key_reused", detail),
            Failure::Unwritable(_) => Self::unavailable("log_unwritable", detail),
            Failure::Unknown(_) => Self::unavailable("unconfirmed", detail),
            Failure::Busy => Self::too_many("busy", detail),
            Failure::Closed => Self::unavailable("stopped", detail),
        }
    }
}
