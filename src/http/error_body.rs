//! The one place where a failure becomes a response, and where it is logged, once.

use super::request_id;
use crate::error::{Error, FieldError};
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// What every refusal says.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Error)]
pub(super) struct ErrorBody<'a> {
    /// A sentence for a person; it may change.
    error: String,
    /// A name for a program; it does not change.
    code: &'static str,
    /// The fields of the input that are wrong, with `validation_failed`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<FieldError>, required = false)]
    details: &'a [FieldError],
    /// As in the header `x-request-id`; the log has it, too.
    #[schema(value_type = String)]
    request_id: Option<String>,
}

impl<'a> ErrorBody<'a> {
    pub(super) fn new(error: &'a Error, request_id: Option<String>) -> Self {
        Self { error: error.to_string(), code: error.code(), details: error.details(), request_id }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        log(&self);
        let status = self.status();
        let body = ErrorBody::new(&self, request_id::current());
        (status, headers(&self), Json(body)).into_response()
    }
}

/// What a refusal says beside its body.
pub(super) fn headers(error: &Error) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if error.status() == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(wait) = error.retry_after() {
        // Rounded up: whoever comes back on the second must not be early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, seconds.max(1).into());
    }
    headers
}

fn log(error: &Error) {
    if let Error::Internal(source) = error {
        tracing::error!(cause = chain(source.as_ref()), "a request failed");
    } else {
        tracing::debug!(code = error.code(), %error, "a request was refused");
    }
}

/// The error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use std::time::Duration;

    async fn body(response: Response) -> Value {
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    #[tokio::test]
    async fn the_inside_is_never_shown() {
        let response = Error::internal("password=hunter2").into_response();
        assert_eq!(response.status(), 500);
        let shown = body(response).await;
        assert_eq!(
            shown,
            json!({"error": "Something went wrong on the server", "code": "internal", "requestId": null})
        );
    }

    #[tokio::test]
    async fn the_wait_is_whole_seconds_and_at_least_one() {
        for (millis, header) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_999, "60")] {
            let limited = Error::RateLimited { retry_after: Duration::from_millis(millis) };
            assert_eq!(limited.into_response().headers()["retry-after"], header);
        }
        assert!(Error::InvalidJson.into_response().headers().get("retry-after").is_none());
    }

    #[tokio::test]
    async fn a_401_names_the_scheme_and_fields_are_told() {
        let response = Error::SessionRevoked.into_response();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let shown = body(Error::field("limit", "must be positive").into_response()).await;
        assert_eq!(shown["details"], json!([{"field": "limit", "message": "must be positive"}]));
    }
}
