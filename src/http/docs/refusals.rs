//! Refusals in the document: written down as the errors they are, so that status, code, sentence and headers are those of
//! [`Error`] and of the one place where it becomes a response.

use crate::error::Error;
use crate::http::error_body::{self, ErrorBody};
use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::Header;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// In `#[utoipa::path]`: every way in which the operation can be refused. Those of every request are added.
pub(crate) struct Refusals<T>(PhantomData<T>);

/// Errors that come together.
pub(crate) trait Refuses {
    fn errors() -> Vec<Error>;
}

macro_rules! refuses {
    ($(#[$doc:meta])* $name:ident: $($error:expr),+ $(,)?) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl $crate::http::docs::refusals::Refuses for $name {
            fn errors() -> Vec<$crate::error::Error> {
                vec![$($error),+]
            }
        }
    };
}
pub(crate) use refuses;

refuses!(
    /// Of any request at all: a host that is none, a server that fails, is busy or goes down.
    Request: Error::field("host", "must be given once"), Error::internal(""), Error::unavailable(),
);
refuses!(
    /// Of everything under `/api`.
    Limited: Error::RateLimited { retry_after: Duration::from_secs(1) },
);
refuses!(
    /// Where a token is needed.
    NoToken: Error::Unauthorized("Send your token as Authorization: Bearer"), Error::TokenExpired, Error::SessionRevoked,
);
refuses!(
    /// Where a body is read.
    BadBody: Error::InvalidJson, Error::UnsupportedMediaType, crate::http::extract::TOO_LARGE,
);

impl Refuses for () {
    fn errors() -> Vec<Error> {
        Vec::new()
    }
}

impl<A: Refuses, B: Refuses> Refuses for (A, B) {
    fn errors() -> Vec<Error> {
        [A::errors(), B::errors()].into_iter().flatten().collect()
    }
}

impl<A: Refuses, B: Refuses, C: Refuses> Refuses for (A, B, C) {
    fn errors() -> Vec<Error> {
        <(A, (B, C))>::errors()
    }
}

impl<A: Refuses, B: Refuses, C: Refuses, D: Refuses> Refuses for (A, B, C, D) {
    fn errors() -> Vec<Error> {
        <((A, B), (C, D))>::errors()
    }
}

impl<T: Refuses> IntoResponses for Refusals<T> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut by_status: BTreeMap<StatusCode, Vec<Error>> = BTreeMap::new();
        for error in <(Request, T)>::errors() {
            let errors = by_status.entry(error.status()).or_default();
            if errors.iter().all(|known| known.code() != error.code()) {
                errors.push(error);
            }
        }
        by_status
            .into_iter()
            .map(|(status, errors)| (status.as_str().to_owned(), of(&errors).into()))
            .collect()
    }
}

/// The response for errors of one status.
fn of(errors: &[Error]) -> Response {
    let codes: Vec<_> = errors.iter().map(Error::code).collect();
    let mut response =
        ResponseBuilder::new().description(described(&codes)).content("application/json", body(errors));
    for error in errors {
        for (name, value) in &error_body::headers(error) {
            if let Some(header) = header_named(name) {
                let example = value.to_str().unwrap_or_default().to_owned();
                response = response.header(name.as_str(), described_header(header, &example));
            }
        }
    }
    response.build()
}

fn described(codes: &[&str]) -> String {
    codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ")
}

/// An error body with one of these codes.
fn body(errors: &[Error]) -> Content {
    let codes =
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(errors.iter().map(Error::code)));
    let one_of_these = ObjectBuilder::new().property("code", codes);
    let schema = AllOfBuilder::new().item(Ref::from_schema_name(ErrorBody::name())).item(one_of_these);
    let examples = errors.iter().map(|error| {
        let example = ExampleBuilder::new().summary(error.to_string()).value(Some(example(error)));
        (error.code().to_owned(), RefOr::T(example.build()))
    });
    ContentBuilder::new().schema(Some(Schema::AllOf(schema.build()))).examples_from_iter(examples).build()
}

fn example(error: &Error) -> Value {
    let request_id = Some("01997d2e-6a3b-7c10-9f4e-5d6c7b8a9f01".to_owned());
    json!(ErrorBody::new(error, request_id))
}

fn header_named(name: &header::HeaderName) -> Option<&'static str> {
    match *name {
        header::WWW_AUTHENTICATE => Some("The scheme in which a token is sent"),
        header::RETRY_AFTER => Some("Seconds until another attempt makes sense"),
        _ => None,
    }
}

fn described_header(description: &'static str, example: &str) -> Header {
    let whole: Option<u64> = example.parse().ok();
    let mut header = match whole {
        Some(_) => Header::new(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1))),
        None => Header::new(ObjectBuilder::new().schema_type(Type::String).enum_values(Some([example]))),
    };
    header.description = Some(description.to_owned());
    header
}
