//! What handlers take: a body, a query, a caller, each parsed or refused before the handler runs.

use super::deadline::Deadline;
use crate::app::App;
use crate::auth::token::Claims;
use crate::error::{Error, FieldError, Result};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;
use validator::{Validate, ValidationErrors};

/// Bodies above this are refused.
pub(crate) const BODY_LIMIT: usize = 16 * 1024;
pub(super) const TOO_LARGE: Error = Error::PayloadTooLarge("The body is larger than 16 KiB");

/// A JSON object that follows its rules.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// A query that follows its rules.
pub(crate) struct QueryParams<T>(pub(crate) T);

/// Whoever holds a valid token of a live session.
pub(crate) struct Caller(pub(crate) Claims);

impl<S: Send + Sync, T: DeserializeOwned + Validate> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        if !is_json(request.headers()) {
            return Err(Error::UnsupportedMediaType);
        }
        if announces_too_much(request.headers()) {
            return Err(TOO_LARGE);
        }
        let deadline = request.extensions().get::<Deadline>().cloned();
        let body = Bytes::from_request(request, state);
        let body = match deadline {
            Some(deadline) => deadline.excluding(body).await,
            None => body.await,
        };
        let bytes = body.map_err(|rejection| {
            if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
                TOO_LARGE
            } else {
                Error::InvalidJson
            }
        })?;
        parse_body(&bytes).map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned + Validate> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let Query(params) = Query::try_from_uri(&parts.uri).map_err(|rejection| bad_query(&rejection))?;
        validated(params).map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self> {
        let token =
            bearer(&parts.headers).ok_or(Error::Unauthorized("Send your token as Authorization: Bearer"))?;
        app.sessions.authenticate(token).await.map(Self)
    }
}

/// Whether there is no need to wait for the body to know that it is too large.
fn announces_too_much(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.is_some_and(|length: usize| length > BODY_LIMIT)
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(token.trim())
}

fn parse_body<T: DeserializeOwned + Validate>(bytes: &[u8]) -> Result<T> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| Error::InvalidJson)?;
    if !value.is_object() {
        // Deserialised as it is, an array would pass for a struct.
        return Err(Error::field("body", "must be an object"));
    }
    let form = serde_path_to_error::deserialize(value)
        .map_err(|error| wrong_field(&error.path().to_string(), &error.inner().to_string()))?;
    validated(form)
}

fn bad_query(rejection: &(dyn std::error::Error + 'static)) -> Error {
    type Located = serde_path_to_error::Error<serde::de::value::Error>;
    let mut causes = std::iter::successors(Some(rejection), |error| error.source());
    causes.find_map(|error| error.downcast_ref::<Located>()).map_or_else(
        || Error::field("query", "cannot be read"),
        |error| wrong_field(&error.path().to_string(), &error.inner().to_string()),
    )
}

/// serde's message, retold without the value it complains of: that may be a password.
fn wrong_field(path: &str, message: &str) -> Error {
    let quoted = |prefix: &str| message.strip_prefix(prefix)?.split('`').next();
    if let Some(field) = quoted("missing field `") {
        return Error::field(field.to_owned(), "is required");
    }
    if let Some(field) = quoted("duplicate field `") {
        return Error::field(field.to_owned(), "is given twice");
    }
    let message: Cow<'static, str> = match message.rsplit_once("expected ") {
        Some((_, "i64" | "u64")) => "must be a whole number".into(),
        Some((_, expected)) => format!("must be {}", expected.replace('`', "")).into(),
        None if message.starts_with("must ") => message.to_owned().into(),
        None => "is not valid".into(),
    };
    Error::field(path.to_owned(), message)
}

/// The rules that `validator` knows, checked here and nowhere else.
fn validated<T: Validate>(form: T) -> Result<T> {
    form.validate().map_err(|errors| broken_rules(&errors))?;
    Ok(form)
}

fn broken_rules(errors: &ValidationErrors) -> Error {
    let mut details: Vec<_> = errors
        .field_errors()
        .into_iter()
        .flat_map(|(field, errors)| errors.iter().map(move |error| (camel_case(&field), error)))
        .map(|(field, error)| FieldError {
            field: field.into(),
            message: error.message.clone().unwrap_or("is not valid".into()),
        })
        .collect();
    details.sort_by(|a, b| a.field.cmp(&b.field));
    let sentence =
        details.first().map_or("The input is not valid".into(), |d| format!("{} {}", d.field, d.message));
    Error::Validation { sentence: sentence.into(), details }
}

fn camel_case(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        name + &letters
            .next()
            .map(|first| first.to_ascii_uppercase())
            .into_iter()
            .chain(letters)
            .collect::<String>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::password::Password;
    use crate::domain::ids::UserId;
    use axum::http::Uri;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, Validate)]
    #[serde(rename_all = "camelCase")]
    struct Form {
        #[validate(range(min = 1, max = 9, message = "must be 1 to 9"))]
        how_many: Option<i64>,
        #[expect(dead_code, reason = "it is only parsed")]
        with: Option<UserId>,
        #[expect(dead_code, reason = "it is only parsed")]
        new_password: Option<Password>,
    }

    #[derive(Debug, Deserialize, Validate)]
    struct Strict {
        #[expect(dead_code, reason = "it is only parsed")]
        name: String,
    }

    fn told<T>(result: Result<T>) -> (&'static str, String, String) {
        let error = result.err().unwrap();
        let detail = error.details().first().cloned();
        let (field, message) =
            detail.map(|d| (d.field.to_string(), d.message.to_string())).unwrap_or_default();
        (error.code(), field, message)
    }

    fn body(text: &str) -> Result<Form> {
        parse_body(text.as_bytes())
    }

    fn query(text: &str) -> Result<Form> {
        let uri: Uri = format!("/x?{text}").parse().unwrap();
        let (mut parts, ()) = axum::http::Request::builder().uri(uri).body(()).unwrap().into_parts();
        let extracted = QueryParams::<Form>::from_request_parts(&mut parts, &());
        futures_util::FutureExt::now_or_never(extracted).unwrap().map(|QueryParams(form)| form)
    }

    #[test]
    fn what_is_no_json_is_invalid_json() {
        for text in ["", "{", "{'a':1}", "{\"a\":\"\\ud800\"}", "\u{feff}{}", &"[".repeat(999)] {
            assert_eq!(told(body(text)).0, "invalid_json", "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["[]", "null", "7", "\"x\"", "[1,null,null]"] {
            assert_eq!(told(body(text)), ("validation_failed", "body".into(), "must be an object".into()));
        }
    }

    #[test]
    fn a_wrong_field_is_named_and_its_value_is_not_repeated() {
        let refused = |text| {
            let (code, field, message) = told(body(text));
            assert_eq!(code, "validation_failed");
            format!("{field} {message}")
        };
        assert_eq!(refused(r#"{"newPassword": 12345678}"#), "newPassword must be a string");
        assert_eq!(refused(r#"{"newPassword": "short"}"#), "newPassword must be at least 8 characters long");
        assert_eq!(refused(r#"{"howMany": 0}"#), "howMany must be 1 to 9");
        assert_eq!(refused(r#"{"howMany": "2"}"#), "howMany must be a whole number");
        assert_eq!(refused(r#"{"with": "bob"}"#), "with is not valid");
        let missing = parse_body::<Strict>(b"{}");
        assert_eq!(told(missing), ("validation_failed", "name".into(), "is required".into()));
    }

    #[test]
    fn unknown_fields_are_ignored() {
        assert_eq!(body(r#"{"howMany": 3, "more": [1, 2]}"#).unwrap().how_many, Some(3));
    }

    #[test]
    fn a_wrong_query_is_told_like_a_wrong_body() {
        assert_eq!(query("howMany=3&more=1").unwrap().how_many, Some(3));
        for (text, field) in [
            ("howMany=0", "howMany"),
            ("howMany=x", "howMany"),
            ("with=bob", "with"),
            ("howMany=", "howMany"),
        ] {
            let (code, named, message) = told(query(text));
            assert_eq!((code, named.as_str()), ("validation_failed", field), "{message}");
        }
        assert_eq!(told(query("howMany=1&howMany=2")).2, "is given twice");
    }

    #[test]
    fn the_content_type_may_carry_a_charset() {
        let mut headers = HeaderMap::new();
        assert!(!is_json(&headers));
        for (value, good) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/jsonp", false),
            ("", false),
        ] {
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_json(&headers), good, "{value}");
        }
    }

    #[test]
    fn the_token_follows_its_scheme() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        for (value, token) in
            [("Bearer abc", Some("abc")), ("bearer  abc", Some("abc")), ("Basic abc", None), ("abc", None)]
        {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), token, "{value}");
        }
    }
}
