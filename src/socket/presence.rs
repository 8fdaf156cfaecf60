//! `watch_users`.

use super::inbound::{Inbound, WatchUsers};
use super::outbound::Reply;
use crate::domain::ids::DeviceId;
use crate::error::{Error, Result};
use crate::live::Live;
use serde_json::{Value as Json, json};

/// Users one socket may watch.
const WATCHED: usize = 500;

pub(super) fn watch_users(live: &Live, device: DeviceId, event: &Inbound) -> Result<Reply> {
    let WatchUsers { mut ids } = event.parse()?;
    if ids.len() > WATCHED {
        return Err(Error::field("ids", "must be at most 500 users"));
    }
    ids.sort_unstable();
    ids.dedup();
    let states = live.watch(device, ids)?;
    let users: Vec<Json> =
        states.into_iter().map(|(id, is_online)| json!({ "id": id, "isOnline": is_online })).collect();
    Ok(Reply::With(json!({ "users": users })))
}
