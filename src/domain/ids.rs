//! Every id its own type, so that a user id can never stand where a call id is meant.

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fmt;
use uuid::Uuid;

/// A map by ids that were made here, or come from the database: nobody can choose the keys that are kept in it to collide, so a
/// hash that is only fast will do.
pub(crate) type IdMap<K, V> = HashMap<K, V, RandomState>;
/// Likewise, a set.
pub(crate) type IdSet<K> = HashSet<K, RandomState>;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $make:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(Uuid);

        impl $name {
            /// A new one.
            #[expect(clippy::disallowed_methods, reason = "this is the room where ids are made")]
            pub(crate) fn new() -> Self {
                Self(Uuid::$make())
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        /// The bare UUID, for SQL.
        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(/** An account. */ UserId, now_v7);
id!(/** A login: what a refresh token prolongs and a logout ends. */ SessionId, now_v7);
id!(/** A call, from the moment somebody dials. */ CallId, now_v7);
id!(/** One connection of a client; the public `socketId`. Random, and never the transport's own session id. */ DeviceId, new_v4);
id!(/** One run of the server process; rows it leaves live are closed by the next. */ NodeId, now_v7);
id!(/** A token's own id (`jti`). */ TokenId, new_v4);
id!(/** One HTTP request, in `x-request-id`. */ RequestId, now_v7);
