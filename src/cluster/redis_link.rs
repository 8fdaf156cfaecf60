//! Connections to Redis, and the scripts that run there.

use crate::domain::ids::CallId;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, RedisResult};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use uuid::Uuid;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than a read of an inbox waits for a letter.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Where Redis is.
pub(super) struct Link {
    client: Client,
}

/// What runs in Redis as one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Script {
    Enter,
    Beat,
    Bury,
    Leave,
    Others,
    Dead,
    Claim,
    Keep,
    Over,
    Adopt,
}

impl Script {
    fn text(self) -> &'static str {
        match self {
            Self::Enter => include_str!("scripts/enter.lua"),
            Self::Beat => include_str!("scripts/beat.lua"),
            Self::Bury => include_str!("scripts/bury.lua"),
            Self::Leave => include_str!("scripts/leave.lua"),
            Self::Others => include_str!("scripts/others.lua"),
            Self::Dead => include_str!("scripts/dead.lua"),
            Self::Claim => include_str!("scripts/claim.lua"),
            Self::Keep => include_str!("scripts/keep.lua"),
            Self::Over => include_str!("scripts/over.lua"),
            Self::Adopt => include_str!("scripts/adopt.lua"),
        }
    }

    /// Redis keeps a script that it has seen, so sending it whole costs its length and no more.
    pub(super) fn with(self, keys: &[String], arguments: &[String]) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.text()).arg(keys.len()).arg(keys).arg(arguments);
        command
    }
}

impl Link {
    pub(super) fn to(url: &SecretString) -> RedisResult<Self> {
        Ok(Self { client: Client::open(url.expose_secret())? })
    }

    pub(super) async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        script: Script,
        keys: &[String],
        arguments: &[String],
    ) -> RedisResult<T> {
        script.with(keys, arguments).query_async(connection).await
    }

    /// The calls in a set.
    pub(super) async fn members(&self, key: &str) -> RedisResult<Vec<CallId>> {
        let mut connection = self.connect().await?;
        let members: Vec<String> = redis::cmd("SMEMBERS").arg(key).query_async(&mut connection).await?;
        Ok(members.iter().filter_map(|id| id_of(id)).collect())
    }
}

/// Whether it says where a Redis is, by TCP.
pub(crate) fn is_address(url: &str) -> bool {
    (url.starts_with("redis://") || url.starts_with("rediss://")) && Client::open(url).is_ok()
}

/// An id as it is written in Redis.
pub(super) fn id_of<T: From<Uuid>>(text: &str) -> Option<T> {
    Uuid::parse_str(text).ok().map(T::from)
}

/// Why something in Redis cannot be read.
pub(super) fn unreadable(what: &'static str) -> RedisError {
    RedisError::from((redis::ErrorKind::UnexpectedReturnType, what))
}
