//! The API as documents for programs (OpenAPI, AsyncAPI), and a page to read and try it.

mod openapi;
pub(crate) mod refusals;
pub(crate) mod schemas;
#[cfg(test)]
mod tests;

use crate::app::App;
use crate::error::{Error, Result};
use crate::version::VERSION;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
pub(crate) use openapi::frame;
use refusals::Refusals;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::{Arc, LazyLock};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Scripts and styles of the page's own, requests to this server. The pictures in the style sheet are data.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PAGE: &str = include_str!("page.html");
const START: &str = include_str!("start.js");
/// Of the files that come with Swagger UI, those the page loads.
const FILES: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];

static OPENAPI: LazyLock<Result<Document>> =
    LazyLock::new(|| Ok(Document::new(openapi::document()?.to_string())));
static ASYNCAPI: LazyLock<Document> = LazyLock::new(|| {
    Document::new(include_str!("../../../docs/asyncapi.json").replace("{version}", VERSION))
});

pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(openapi)).routes(routes!(asyncapi)).routes(routes!(read))
}

/// What the page is made of, beside itself.
pub(crate) fn page() -> Router<Arc<App>> {
    Router::new().route("/docs/", get(read)).route("/docs/{file}", get(file))
}

/// Something that stays as it is as long as the server runs.
struct Document {
    text: String,
    tag: HeaderValue,
}

impl Document {
    fn new(text: String) -> Self {
        let tag = etag(text.as_bytes());
        Self { text, tag }
    }

    /// The document, or that the client has it already.
    fn answer(&'static self, headers: &HeaderMap) -> Response {
        let caching =
            [(header::CACHE_CONTROL, HeaderValue::from_static("no-cache")), (header::ETAG, self.tag.clone())];
        if is_known(headers, &self.tag) {
            return (StatusCode::NOT_MODIFIED, caching).into_response();
        }
        (caching, [(header::CONTENT_TYPE, "application/json")], self.text.as_str()).into_response()
    }
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "operations",
    params(("if-none-match" = Option<String>, Header, description = "The `etag` of the copy that is there already", nullable = false)),
    responses(
        (status = 200, description = "OpenAPI 3.1", body = schemas::Document, headers(("etag" = String, description = "For `if-none-match`"))),
        (status = 304, description = "The copy is good", headers(("etag" = String, description = "As it was sent"))),
        Refusals<()>,
    ),
)]
async fn openapi(headers: HeaderMap) -> Result<Response> {
    let document = OPENAPI.as_ref().map_err(|error| Error::internal(error.to_string()))?;
    Ok(document.answer(&headers))
}

/// The document of the Socket.IO events
#[utoipa::path(
    get, path = "/asyncapi.json", operation_id = "asyncapi", tag = "operations",
    params(("if-none-match" = Option<String>, Header, description = "The `etag` of the copy that is there already", nullable = false)),
    responses(
        (status = 200, description = "AsyncAPI 3.0", body = schemas::Document, headers(("etag" = String, description = "For `if-none-match`"))),
        (status = 304, description = "The copy is good", headers(("etag" = String, description = "As it was sent"))),
        Refusals<()>,
    ),
)]
async fn asyncapi(headers: HeaderMap) -> Response {
    ASYNCAPI.answer(&headers)
}

/// A page to read and try the API
///
/// that loads nothing from elsewhere.
#[utoipa::path(
    get, path = "/docs", operation_id = "docs", tag = "operations",
    responses((status = 200, description = "The page", body = String, content_type = "text/html"), Refusals<()>),
)]
async fn read() -> Response {
    under_policy(Html(PAGE))
}

async fn file(Path(name): Path<String>) -> Result<Response> {
    if name == "start.js" {
        return Ok(under_policy(([(header::CONTENT_TYPE, "text/javascript")], START)));
    }
    let nothing = || Error::NotFound("There is nothing here");
    let name = FILES.into_iter().find(|file| *file == name).ok_or_else(nothing)?;
    let found =
        utoipa_swagger_ui::serve(name, Arc::default()).map_err(|error| Error::internal(error.to_string()))?;
    let file = found.ok_or_else(nothing)?;
    let mut response = under_policy(([(header::CONTENT_TYPE, file.content_type)], file.bytes));
    if file.gzpipped {
        // As it lies in the binary: every browser can read it.
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn under_policy(response: impl IntoResponse) -> Response {
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-cache")];
    (headers, response).into_response()
}

/// Weak, since the same document goes out compressed and not.
fn etag(bytes: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(bytes);
    let hex = digest.iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    HeaderValue::from_str(&format!("W/\"{hex}\"")).unwrap_or(HeaderValue::from_static("W/\"\""))
}

/// Whether the client has what the tag stands for (RFC 9110, section 13.1.2).
fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let tag = opaque(tag.to_str().unwrap_or_default());
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|known| known.trim() == "*" || opaque(known) == tag)
}
