//! OpenAPI 3.1, made of the handlers.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

/// What the document says of the API as a whole.
pub(super) fn info() -> utoipa::openapi::OpenApi {
    #[derive(OpenApi)]
    #[openapi(
        info(
            title = "patchgate admin API",
            description = "Rollouts of hot-fix patches: create, watch, promote, pause, stop; every change is an event. \
                           Every answer that is not as wished is an RFC 9457 problem document.",
            license(name = "Apache-2.0", identifier = "Apache-2.0"),
        ),
        components(schemas(super::dto::Problem)),
        security(("token" = [])),
    )]
    struct Document;
    let mut document = Document::openapi();
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme("token", token);
    document
}

/// As it is served and kept beside the code.
pub(super) fn text(document: &utoipa::openapi::OpenApi) -> String {
    document.to_pretty_json().expect("an OpenAPI document is JSON") + "\n"
}

pub(super) fn response(document: &str) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.to_owned()).into_response()
}
