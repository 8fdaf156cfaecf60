//! Shapes that several resources share.

use super::docs::schemas;
use crate::app::App;
use crate::domain::ids::UserId;
use crate::domain::username::Username;
use crate::store::users::User;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A date as RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timestamp(pub(crate) DateTime<Utc>);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339 in UTC, with milliseconds"))
            .pattern(Some(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"))
            .examples(["2026-12-01T09:30:00.123Z"])
            .into()
    }
}

impl ToSchema for Timestamp {}

/// A user as others see them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
pub(crate) struct UserBody {
    #[schema(value_type = Uuid)]
    id: UserId,
    #[schema(value_type = schemas::Username)]
    username: Username,
    is_online: bool,
    /// Where it is known: when the last device left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_seen: Option<Timestamp>,
}

impl UserBody {
    pub(crate) fn new(app: &App, user: User) -> Self {
        Self {
            id: user.id,
            is_online: app.live.is_online(user.id),
            username: user.username,
            last_seen: user.last_seen_at.map(Timestamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_milliseconds_and_a_z() {
        let at = DateTime::from_timestamp_micros(1_701_423_000_123_456).unwrap();
        assert_eq!(serde_json::to_string(&Timestamp(at)).unwrap(), "\"2023-12-01T09:30:00.123Z\"");
    }
}
