//! Which calls are this node's, after it lost sight of Redis or the others lost sight of it.

use super::super::Live;
use crate::cluster::{Claimed, Cluster, Letter};
use crate::domain::ids::{CallId, IdMap};
use crate::domain::switchboard::Switchboard;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long everything else may wait until that is clear.
const SETTLING: Duration = Duration::from_secs(3);

impl Live {
    /// Redis was away, and may have come back empty; this node was taken for dead; others may have missed something. Nothing else is
    /// heeded before it is clear which calls are still this node's.
    pub(super) async fn resync(self: &Arc<Self>, cluster: &Cluster) {
        let unknown = cluster.calls_of_mine().await.unwrap_or_default();
        let claims: Vec<_> = {
            let (state, now) = (self.lock(), self.clock.now());
            self.clear_up(cluster, &state, unknown);
            // One that is not placed yet is being claimed already.
            let placed = state.call_ids().into_iter().filter(|call| state.is_placed(*call) == Some(true));
            let copies = placed.filter_map(|call| Some((call, state.copy_of(call)?)));
            copies.map(|(call, copy)| (call, cluster.claim(copy, now, state.is_claimed(call)))).collect()
        };
        let mut has_lost = false;
        let mut contested = IdMap::default();
        let settled = async {
            for (call, claimed) in claims {
                match claimed.await {
                    Ok(Claimed::Yes) => self.transition(|state, _, fx| state.is_kept_again(call, fx)),
                    Ok(Claimed::Lost) => has_lost |= self.lose(call),
                    Ok(Claimed::Taken { call: other, .. }) => _ = contested.insert(call, other),
                    // It has ended elsewhere.
                    Ok(Claimed::Over) => self.transition(|state, now, fx| state.end_lost(call, now, fx)),
                    // Away again: all of it is done again when Redis is back.
                    Err(_) => return false,
                }
            }
            true
        };
        let is_settled = tokio::time::timeout(SETTLING, settled).await.unwrap_or(false);
        self.end_contested(cluster, contested);
        if has_lost {
            cluster.broadcast(Letter::Who);
        }
        if is_settled {
            cluster.is_settled();
        } else {
            tracing::warn!("Redis is slow to say which calls are still this node's; asking again");
            cluster.fall_behind();
        }
        // Not before: what is not this node's any more should not be said to be.
        let state = self.lock();
        let (devices, calls) = state.cards();
        cluster.broadcast(Letter::Here { devices, calls });
    }

    /// Redis has calls of this node that are not here: they have ended, and Redis did not hear of it or has forgotten it; or they were
    /// taken over, and the answer was lost.
    fn clear_up(self: &Arc<Self>, cluster: &Cluster, state: &Switchboard, in_redis: Vec<CallId>) {
        let unknown = in_redis.into_iter().filter(|call| !state.has_call(*call));
        let mut lost = Vec::new();
        for call in unknown {
            match state.parties_of_past(call) {
                Some(parties) => cluster.over(call, parties),
                None => lost.push((call, self.node)),
            }
        }
        self.ask_for(cluster, lost);
    }

    /// One of the two is in another call by now, or its home has not said yet that it is over: that is looked at once more.
    fn end_contested(&self, cluster: &Cluster, contested: IdMap<CallId, CallId>) {
        let before = std::mem::replace(
            &mut *self.contested.lock().unwrap_or_else(PoisonError::into_inner),
            contested.clone(),
        );
        for (call, other) in contested {
            if before.get(&call) == Some(&other) {
                self.transition(|state, now, fx| state.end_lost(call, now, fx));
            } else {
                cluster.fall_behind();
            }
        }
    }

    /// Another node has the call, and will say so when it is asked. Whether it was here.
    pub(super) fn lose(&self, call: CallId) -> bool {
        let was_here = self.lock().has_call(call);
        if was_here {
            tracing::warn!(%call, "another node has taken over the call");
            self.transition(|state, now, fx| state.retract(call, now, fx));
        }
        was_here
    }
}
