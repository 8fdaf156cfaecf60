//! Rules of the input, and shapes that come ready-made from elsewhere, as the document describes them.
//!
//! The rules themselves are kept where the values are parsed; `schemathesis` in tests/deploy finds out where the two differ.

use super::super::error_body::ErrorBody;
use super::super::health::Plain;
use std::collections::BTreeMap;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Response, ResponseBuilder, Schema};
use utoipa::{IntoResponses, PartialSchema, ToSchema};
use uuid::Uuid;

/// What [`str::trim`] takes away.
const SPACE: &str = r"[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*";
const NAME: &str = "[A-Za-z0-9][A-Za-z0-9_.-]{2,31}";
/// U+0000 is in no text.
const NO_NUL: &str = r"^[^\u0000]*$";

macro_rules! text {
    ($($name:ident: $description:literal, $example:literal, $length:expr, $pattern:expr;)+) => {
        $(
            #[doc = $description]
            pub(crate) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    let length: std::ops::RangeInclusive<usize> = $length;
                    ObjectBuilder::new()
                        .schema_type(Type::String)
                        .description(Some($description))
                        .min_length(Some(*length.start()))
                        .max_length(Some(*length.end()))
                        .pattern(Some($pattern))
                        .examples([$example])
                        .into()
                }
            }

            impl ToSchema for $name {}
        )+
    };
}

text! {
    Username: "A name as its owner typed it; unique without regard to case", "carol", 3..=32, format!("^{NAME}$");
    TypedUsername: "A name; spaces around it are taken away", "carol", 3..=128, format!("^{SPACE}{NAME}{SPACE}$");
    NewPassword: "Any Unicode; counted and hashed in NFC", "correct horse", 8..=128, NO_NUL;
    SomePassword: "What somebody believes to be the password", "correct horse", 1..=128, NO_NUL;
    AnyPassword: "What somebody believes to be the password", "correct horse", 0..=128, NO_NUL;
    Cursor: "A place in the history, to be given back as it came", "AAYrYRQpQAABmX0uajt8EJ9OXWx7ip8B", 32..=32,
        "^A[A-Za-z0-3][A-Za-z0-9_-]{30}$";
}

/// A document, whose shape is its standard's.
pub(crate) struct Document;

impl PartialSchema for Document {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .into()
    }
}

impl ToSchema for Document {}

/// A new account.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read as a login, and checked when the account is made")]
pub(crate) struct Registration {
    username: TypedUsername,
    password: NewPassword,
}

/// A user who is online, as `join_success` and `users_updated` have them, too.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it comes encoded from where presence is kept")]
pub(crate) struct OnlineUser {
    id: Uuid,
    username: Username,
    #[schema(value_type = bool, example = true)]
    is_online: bool,
    /// An id of the user's newest connection; not the transport's.
    socket_id: Uuid,
}

/// Why a call ended.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it comes as text from the table, which knows these")]
pub(crate) enum EndReason {
    Hangup,
    Rejected,
    Cancelled,
    NoAnswer,
    UserOffline,
    UserBusy,
    ConnectionLost,
    ServerShutdown,
    ServerRestart,
    SessionRevoked,
}

/// For TURN: coturn's `use-auth-secret`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the whole is optional, which the derived schema would not say")]
pub(crate) struct IceCredentials {
    /// `<expiry>:<userId>`.
    #[schema(nullable = false, example = "1700000000:01997d2e-6a3b-7c10-9f4e-5d6c7b8a9f01")]
    username: Option<String>,
    #[schema(nullable = false, example = "WLicnZche6KJWOPqFFjtz/SZGys=")]
    credential: Option<String>,
}

/// The 503 of a server that wants no traffic, beside that of one which could not find out in time.
pub(crate) struct NotReady;

impl IntoResponses for NotReady {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let body = OneOfBuilder::new()
            .item(Ref::from_schema_name(Plain::name()))
            .item(Ref::from_schema_name(ErrorBody::name()));
        let wait = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1))))
            .description(Some("Seconds until another attempt makes sense"));
        let response = ResponseBuilder::new()
            .description("It does not: `reason` says why. Or it could not find out in time")
            .header("retry-after", wait.build())
            .content("application/json", ContentBuilder::new().schema(Some(body)).build());
        BTreeMap::from([("503".to_owned(), response.build().into())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_are_those_the_table_takes() {
        let migration = include_str!("../../../migrations/20261122000002_calls.sql");
        let known = migration.split("(end_reason in (").nth(1).unwrap().split("))").next().unwrap();
        let mut known: Vec<_> =
            known.split(',').map(|name| name.trim().trim_matches('\'').to_owned()).collect();
        known.sort_unstable();
        let schema = serde_json::to_value(EndReason::schema()).unwrap();
        let mut described: Vec<String> = serde_json::from_value(schema["enum"].clone()).unwrap();
        described.sort_unstable();
        assert_eq!(described, known);
    }
}
