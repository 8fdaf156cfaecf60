//! The document of the REST API: OpenAPI 3.1, made of what stands at the handlers.

use super::super::{error_body::ErrorBody, health::Plain, routes};
use crate::error::{FieldError, Result};
use serde_json::{Value, json};
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

const DESCRIPTION: &str = "The REST side of the server. Calls themselves ring through Socket.IO: [asyncapi.json](asyncapi.json).

Every refusal has the same body, with a sentence for a person and a `code` for a program. A path that is not here is 404 `not_found`, \
another method 405 `method_not_allowed` with `Allow`; a GET is also answered as HEAD. Every response carries `x-request-id`, which is taken over from the \
request where it is 1 to 64 letters, digits, `-`, `_` or `.`. Bodies are JSON objects of at most 16 KiB; fields that are not known are ignored. \
Ids are UUIDs, times RFC 3339 in UTC.";

/// What stands in no handler.
#[derive(OpenApi)]
#[openapi(
    info(title = "Video call server", description = DESCRIPTION, license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    servers((url = "/", description = "This server")),
    tags(
        (name = "accounts", description = "Becoming somebody, and one's own account"),
        (name = "people", description = "Who there is, and who is online"),
        (name = "calls", description = "One's own history, and what a call needs to connect"),
        (name = "operations", description = "How the server is, and what it can do"),
    ),
    // Its route is there for every method, so that nobody else finds out that there is one.
    paths(super::super::metrics::show_to_this_machine),
    components(schemas(ErrorBody, FieldError, Plain)),
    modifiers(&Token),
)]
struct Frame;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("`token` of a login, registration or refresh"));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme.build()));
    }
}

/// The document without its paths.
pub(crate) fn frame() -> Document {
    Frame::openapi()
}

/// The whole document.
pub(super) fn document() -> Result<Value> {
    let described = routes(None).into_openapi();
    let mut document = serde_json::to_value(described).map_err(crate::error::Error::internal)?;
    for response in responses(&mut document) {
        complete(response);
    }
    Ok(document)
}

fn responses(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut());
    operations.filter_map(|operation| operation["responses"].as_object_mut()).flat_map(|all| all.values_mut())
}

/// Says what holds for every response, and which of its headers are always there.
fn complete(response: &mut Value) {
    let id = json!({
        "description": "The request's name in the log",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
        "example": "01997d2e-6a3b-7c10-9f4e-5d6c7b8a9f01",
    });
    let headers = &mut response["headers"];
    headers["x-request-id"] = id;
    for (name, header) in headers.as_object_mut().into_iter().flatten() {
        header["required"] = (name != "link").into();
    }
}
