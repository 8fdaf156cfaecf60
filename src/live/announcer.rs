//! Presence goes out: changes merged, whole lists paced.
//!
//! A whole list to everybody costs the square of the users, so it has a byte budget: the first change goes out at
//! once, what follows is merged for as long as the last broadcast takes at that rate. A receiver whose turn comes
//! late gets the list as it is then, never one that a newer one has replaced.

use super::Live;
use crate::domain::message::Message;
use std::sync::Arc;
use std::time::Duration;

/// Changes within this time go out as one. Each message costs every hearer a send of its own, whatever is in it; a join is to be
/// shown to the others within 200 ms.
const MERGE: Duration = Duration::from_millis(150);
/// What whole lists may cost in all: 32 MiB a second.
const NANOS_PER_BYTE: Duration = Duration::from_nanos(30);
/// Handed to the sockets at a time, so that copies of a long list never fill the memory.
const SLICE_BYTES: usize = 1024 * 1024;
/// A row of the list on the wire: two UUIDs, a name, and the JSON around them.
const ROW_BYTES: usize = 160;

impl Live {
    /// Sends deltas for as long as it is polled.
    pub(crate) async fn announce_deltas(&self) {
        let [_, changed] = &self.presence_changed;
        loop {
            changed.notified().await;
            self.transition(|state, _, fx| {
                for (delta, hearers) in state.presence().take_deltas() {
                    let message = Message::PresenceDelta(delta);
                    fx.sends.extend(hearers.into_iter().map(|device| (device, message.clone())));
                }
            });
            tokio::time::sleep(MERGE).await;
        }
    }

    /// Sends whole lists for as long as it is polled.
    pub(crate) async fn announce_lists(&self) {
        let [changed, _] = &self.presence_changed;
        loop {
            changed.notified().await;
            let Some(hearers) = self.lock().presence().take_list() else { continue };
            let mut hearers = hearers.into_iter();
            while hearers.len() > 0 {
                let bytes = self.transition(|state, _, fx| {
                    let roster = state.presence().roster();
                    let bytes = (roster.len() * ROW_BYTES).max(ROW_BYTES);
                    let slice = hearers.by_ref().take((SLICE_BYTES / bytes).max(1));
                    fx.sends.extend(slice.map(|device| (device, Message::UsersUpdated(Arc::clone(&roster)))));
                    u32::try_from(fx.sends.len() * bytes).unwrap_or(u32::MAX)
                });
                tokio::time::sleep(NANOS_PER_BYTE.saturating_mul(bytes)).await;
            }
            tokio::time::sleep(MERGE).await;
        }
    }
}
