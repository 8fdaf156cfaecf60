//! This node among others: what it tells them, and what it leaves to them.

mod ask;
mod heed;
mod resync;

pub(in crate::live) use ask::{Echoes, Questions};

use super::{Dial, Live, Reply};
use crate::cluster::{Claimed, Cluster, Counted, Letter};
use crate::domain::call::{Call, EndReason, Role};
use crate::domain::ids::{CallId, DeviceId, NodeId, UserId};
use crate::domain::media::CallType;
use crate::domain::message::{DialStatus, Message};
use crate::domain::switchboard::{Fault, Missed, NodeNews, Switchboard};
use crate::domain::time::Moment;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A placed call that has to be claimed before it may ring.
#[derive(Debug)]
pub(crate) struct Claim {
    call: CallId,
    parties: [UserId; 2],
    call_type: CallType,
    answer: oneshot::Receiver<Claimed>,
}

impl Live {
    /// Under the lock: what changed here, for the others. That a call is over they hear once its devices have: some of those may go then.
    pub(super) fn tell_nodes(&self, state: &Switchboard, news: &[NodeNews], are_over: bool, now: Moment) {
        let Some(cluster) = &self.cluster else { return };
        for news in news.iter().filter(|news| matches!(news, NodeNews::Over(_)) == are_over) {
            match *news {
                NodeNews::Came(device) => {
                    if let Some(card) = state.device_card(device) {
                        cluster.broadcast(Letter::Came(card));
                    }
                }
                NodeNews::Went { device, deliberate } => {
                    cluster.broadcast(Letter::Went { device, deliberate });
                }
                NodeNews::Trickled(call) => keep(cluster, state, call, now),
                NodeNews::Changed(call) => {
                    keep(cluster, state, call, now);
                    if let Some(card) = state.call_card(call) {
                        cluster.broadcast(Letter::Call(card));
                    }
                }
                NodeNews::Over(card) => {
                    cluster.over(card.call);
                    cluster.broadcast(Letter::Over(card));
                }
            }
        }
    }

    /// Under the lock: a message for a device that is not connected here.
    pub(super) fn send_away(&self, state: &Switchboard, to: DeviceId, message: Message) {
        if let (Some(cluster), Some(node)) = (&self.cluster, state.node_of(to)) {
            cluster.post(node, Letter::Deliver { to, message });
        }
    }

    /// Under the lock: claims a call that was just placed.
    pub(super) fn claim(&self, state: &Switchboard, call: CallId, now: Moment) -> Option<Claim> {
        let (cluster, copy) = (self.cluster.as_ref()?, state.copy_of(call)?);
        let parties = [Role::Caller, Role::Callee].map(|role| copy.party(role).id);
        let call_type = copy.call_type();
        // Without an answer at once while Redis is away.
        let answer = if cluster.is_up() { cluster.claim(copy, now, false) } else { oneshot::channel().1 };
        Some(Claim { call, parties, call_type, answer })
    }

    /// Waits until the call is claimed; what comes of it if somebody else was faster.
    pub(super) async fn claimed(&self, claim: Claim) -> Result<Dial, Fault> {
        let Claim { call, parties: [caller, callee], call_type, answer } = claim;
        let answer = answer.await;
        let is_kept = answer == Ok(Claimed::Yes);
        let claimed = match answer {
            Ok(claimed) => claimed,
            // Redis is away. Two who have nothing elsewhere are claimed by nobody else; Redis hears of it when it is back.
            Err(_) if self.lock().is_all_here(call) => Claimed::Yes,
            Err(_) => Claimed::Lost,
        };
        match claimed {
            Claimed::Yes => {
                let ((), ticket) = self.transition_with_ticket(|state, _, fx| {
                    if is_kept {
                        state.set_claimed(call);
                    }
                    state.confirm(call, fx);
                });
                Ok(Dial::Waits(Reply { call, status: DialStatus::Ringing }, ticket))
            }
            Claimed::Taken { home, parties, .. } if parties.contains(&caller) => {
                self.transition(|state, now, fx| state.retract(call, now, fx));
                Ok(Dial::Elsewhere(home))
            }
            Claimed::Taken { .. } => {
                let missed = Missed { call, caller, callee, call_type, reason: EndReason::UserBusy };
                let ((), ticket) = self.transition_with_ticket(|state, now, fx| {
                    state.retract(call, now, fx);
                    state.miss(missed, now, fx);
                });
                Ok(Dial::Waits(Reply { call, status: DialStatus::UserBusy }, ticket))
            }
            Claimed::Lost | Claimed::Over => {
                self.transition(|state, now, fx| state.retract(call, now, fx));
                Err(Fault::Unavailable)
            }
        }
    }

    /// Whether the calls that are here are this node's for sure.
    pub(super) fn may_judge(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| cluster.may_judge())
    }

    /// Does something to calls once it is sure whose they are: at once, but for a node that stood still.
    pub(super) fn when_sure(self: &Arc<Self>, change: impl FnOnce(&Self) + Send + 'static) {
        match &self.cluster {
            Some(cluster) if !cluster.may_judge() => {
                let live = Arc::clone(self);
                let cluster = Arc::clone(cluster);
                tokio::spawn(async move {
                    cluster.may_judge_soon().await;
                    change(&live);
                });
            }
            Some(_) | None => change(self),
        }
    }

    /// It counts on the other nodes, too.
    pub(crate) fn count_elsewhere(&self, counted: Counted) {
        if let Some(cluster) = &self.cluster {
            cluster.broadcast(Letter::Counted(counted));
        }
    }

    /// What is to be done with what others have counted, but for calls.
    pub(crate) fn count_by(&self, count: impl Fn(Counted) + Send + Sync + 'static) {
        // Once, at the start.
        let _ = self.counted.set(Box::new(count));
    }

    /// Gives this node's calls to others, where there are others that stay; they have until `limit` has passed.
    pub(crate) async fn hand_over(&self, limit: Duration) {
        let Some(cluster) = self.cluster.as_ref().filter(|cluster| !cluster.peers().is_empty()) else {
            return;
        };
        if let Err(error) = self.hand_over_to(cluster, limit).await {
            tracing::warn!(%error, "calls cannot be handed over to other nodes");
        }
    }

    async fn hand_over_to(&self, cluster: &Cluster, limit: Duration) -> Result<(), redis::RedisError> {
        if !cluster.begin_to_leave().await? {
            return Ok(());
        }
        // From here on nothing happens to them on this node.
        let calls = self.transition(|state, now, fx| {
            state.close();
            state.end_what_cannot_move(now, fx);
            state.take_calls()
        });
        let left = cluster.leave(limit).await;
        let is_left = |call: &Call| left.as_ref().map_or(true, |left| left.contains(&call.id()));
        let mut state = self.lock();
        let count = calls.len();
        for call in calls.into_iter().filter(is_left) {
            state.put_back(call);
        }
        tracing::info!(calls = count - state.call_ids().len(), "calls are handed over to other nodes");
        left.map(drop)
    }

    /// Nothing is on this node any more.
    pub(crate) async fn say_goodbye(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.say_goodbye().await;
        }
    }

    /// The other nodes that are alive; none: this server is alone, or thinks so.
    pub(crate) fn nodes(&self) -> Option<Nodes> {
        let cluster = self.cluster.as_ref()?;
        Some(Nodes { id: self.node, others: cluster.peers().len(), is_up: cluster.is_up() })
    }
}

/// A call that this node has asked to take over.
#[derive(Debug, Clone, Copy)]
pub(in crate::live) struct AskedFor {
    /// Its home.
    from: NodeId,
    /// The answer was lost.
    unanswered: bool,
}

/// This node and the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nodes {
    pub(crate) id: NodeId,
    /// How many others are alive.
    pub(crate) others: usize,
    /// Whether Redis answers.
    pub(crate) is_up: bool,
}

/// What is done with what others have counted.
pub(super) type Count = Box<dyn Fn(Counted) + Send + Sync>;

/// One that is not claimed yet is when it is told.
fn keep(cluster: &Cluster, state: &Switchboard, call: CallId, now: Moment) {
    if let Some(copy) = state.copy_of(call).filter(|_| state.is_claimed(call)) {
        cluster.keep(copy, now);
    }
}
