//! Which calls are this node's, after it lost sight of Redis or the others lost sight of it.

use super::super::Live;
use crate::cluster::{Claimed, Cluster, Letter};
use crate::domain::ids::{CallId, IdMap};
use crate::domain::switchboard::Switchboard;
use std::sync::PoisonError;
use std::time::Duration;

/// How long everything else may wait until that is clear.
const SETTLING: Duration = Duration::from_secs(3);

impl Live {
    /// Redis was away, and may have come back empty; this node was taken for dead; others may have missed something. Nothing else is
    /// heeded before it is clear which calls are still this node's.
    pub(super) async fn resync(&self, cluster: &Cluster) {
        let in_redis = cluster.calls_of_mine().await.unwrap_or_default();
        let claims: Vec<_> = {
            let (state, now) = (self.lock(), self.clock.now());
            if state.is_closing() {
                // Its calls are on their way to others.
                return;
            }
            self.clear_up(cluster, &state, in_redis);
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
        if state.is_closing() {
            return;
        }
        let (devices, calls) = state.cards();
        cluster.broadcast(Letter::Here { devices, calls });
    }

    /// Redis has calls of this node that are not here: their ends were lost. Those that are being taken over are not here yet.
    fn clear_up(&self, cluster: &Cluster, state: &Switchboard, in_redis: Vec<CallId>) {
        let asked_for = self.asked_for();
        let is_known = |call: &CallId| state.has_call(*call) || asked_for.contains_key(call);
        in_redis.into_iter().filter(|call| !is_known(call)).for_each(|call| cluster.over(call));
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
