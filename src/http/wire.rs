//! Shapes that several resources share.

use crate::app::App;
use crate::domain::ids::UserId;
use crate::domain::username::Username;
use crate::store::users::User;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

/// A date as RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timestamp(pub(crate) DateTime<Utc>);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// A user as others see them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserBody {
    id: UserId,
    username: Username,
    is_online: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
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
