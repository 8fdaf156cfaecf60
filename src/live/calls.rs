//! Calls: dialled, put on record, rung; and what the parties do to them.

use super::Live;
use super::nodes::Claim;
use crate::cluster::Counted;
use crate::domain::call::{Obstacle, Refusal};
use crate::domain::ids::{CallId, DeviceId, IdMap, NodeId, UserId};
use crate::domain::media::{CallType, Description};
use crate::domain::message::{DialStatus, Message, Party};
use crate::domain::rate::{Gcra, Rate};
use crate::domain::switchboard::{Act, Dialled, Fault};
use crate::domain::time::Moment;
use crate::error::{Error, Result};
use crate::store::journal::Ticket;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long `call_user` waits for its row to be committed before it rings all the same.
const COMMIT_WAIT: Duration = Duration::from_secs(1);
/// How long a dial waits for another that has placed the same call and does not know yet whether it may.
const PLACING: Duration = Duration::from_secs(5);
/// Between two looks at that.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Users whose rate is remembered before those at rest are forgotten.
const REMEMBERED_RATES: usize = 10_000;

/// What a dial led to, and what it waits for.
#[derive(Debug)]
pub(crate) enum Dial {
    /// The answer is given, and the callee rung, once the row is on record.
    Waits(Reply, Option<Ticket>),
    /// The callee is not here: look the account up and dial again with it.
    LookUp,
    /// It would not ring: but perhaps this node has not heard yet of what makes it.
    Unsure,
    /// No other node may have one of the two.
    Claims(Claim),
    /// Another node has to say what it means.
    Elsewhere(NodeId),
}

/// What became of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Reply(Reply),
    /// [`Dial::LookUp`]
    LookUp,
    /// [`Dial::Elsewhere`]
    Elsewhere(NodeId),
}

/// The acknowledgement of a `call_user`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) call: CallId,
    pub(crate) status: DialStatus,
}

impl Live {
    /// Takes one call out of the user's allowance.
    pub(crate) fn allow_call(&self, user: UserId) -> Result<()> {
        self.call_rates.take(user, self.clock.now()).inspect_err(|_| self.metrics.too_many())?;
        self.count_elsewhere(Counted::Call(user));
        Ok(())
    }

    /// The user has begun a call on another node.
    pub(super) fn count_call(&self, user: UserId) {
        // That node has let it through; here the next one is refused.
        let _ = self.call_rates.take(user, self.clock.now());
    }

    /// A device calls a user. `known`: the callee as the database has it, for one who is not here.
    pub(crate) fn dial(
        &self,
        device: DeviceId,
        to: UserId,
        known: Option<Party>,
        media: (CallType, Description),
    ) -> Result<Dial, Fault> {
        self.dial_as_known(device, to, known, media, false)
    }

    fn dial_as_known(
        &self,
        device: DeviceId,
        to: UserId,
        known: Option<Party>,
        media: (CallType, Description),
        is_sure: bool,
    ) -> Result<Dial, Fault> {
        if !self.journal.has_room() {
            return Err(Fault::Unavailable);
        }
        if self.cluster.is_some() && !is_sure && !self.lock().would_place(device, to) {
            return Ok(Dial::Unsure);
        }
        let mut claim = None;
        let (dialled, ticket) = self.transition_with_ticket(|state, now, fx| {
            let dialled = state.dial(device, to, known, media, now, fx);
            if let Ok(Dialled::Placed(call)) = dialled {
                claim = self.claim(state, call, now);
            }
            dialled
        });
        let waits = |call, status| Dial::Waits(Reply { call, status }, ticket);
        Ok(match (dialled?, claim) {
            (Dialled::Placed(_), Some(claim)) => Dial::Claims(claim),
            (Dialled::Placed(call) | Dialled::Again(call), _) => waits(call, DialStatus::Ringing),
            (Dialled::Busy(call), _) => waits(call, DialStatus::UserBusy),
            (Dialled::Offline(call), _) => waits(call, DialStatus::UserOffline),
            (Dialled::Glare(call), _) => waits(call, DialStatus::Glare),
            (Dialled::NotHere, _) => Dial::LookUp,
            (Dialled::Elsewhere(home), _) => Dial::Elsewhere(home),
        })
    }

    /// Waits for whatever a dial has to wait for, and rings. Fails if the call ended before it could ring. `asked`: when it was asked for.
    pub(crate) async fn settle(
        &self,
        device: DeviceId,
        to: UserId,
        known: Option<Party>,
        media: (CallType, Description),
        dial: Dial,
        asked: Moment,
    ) -> Result<Settled, Fault> {
        match self.settle_here(device, to, known, &media, dial, asked).await? {
            Settled::Elsewhere(home) => {
                self.dial_elsewhere(home, device, to, media).await.map(Settled::Reply)
            }
            settled @ (Settled::Reply(_) | Settled::LookUp) => Ok(settled),
        }
    }

    /// [`Live::settle`], as far as this node can.
    pub(super) async fn settle_here(
        &self,
        device: DeviceId,
        to: UserId,
        known: Option<Party>,
        media: &(CallType, Description),
        mut dial: Dial,
        asked: Moment,
    ) -> Result<Settled, Fault> {
        loop {
            dial = match dial {
                Dial::LookUp => return Ok(Settled::LookUp),
                Dial::Elsewhere(home) => return Ok(Settled::Elsewhere(home)),
                Dial::Claims(claim) => self.claimed(claim).await?,
                Dial::Unsure => {
                    self.caught_up().await;
                    self.dial_as_known(device, to, known.clone(), media.clone(), true)?
                }
                Dial::Waits(Reply { call, status }, _) if self.is_being_placed(call) => {
                    self.placed_or_gone(call).await?;
                    if status == DialStatus::Ringing && self.lock().is_past(call) {
                        // It was over before it could ring: the dial that it repeats says why.
                        return Err(Fault::Refused(Refusal::State(Obstacle::NeverRang)));
                    }
                    self.dial_as_known(device, to, known.clone(), media.clone(), true)?
                }
                Dial::Waits(reply, ticket) => {
                    return self.on_record(device, reply, ticket, asked).await.map(Settled::Reply);
                }
            }
        }
    }

    fn is_being_placed(&self, call: CallId) -> bool {
        self.lock().is_placed(call) == Some(false)
    }

    /// Waits until it is clear whether a call that somebody else has placed may ring.
    async fn placed_or_gone(&self, call: CallId) -> Result<(), Fault> {
        let clear = async {
            while self.is_being_placed(call) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(PLACING, clear).await.map_err(|_| Fault::Unavailable)
    }

    /// Waits until the call is on record, within a bound.
    pub(super) async fn committed(&self, call: CallId, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket
            && !self.journal.committed(ticket, COMMIT_WAIT).await
        {
            tracing::warn!(%call, "the database is away: ringing before the call is on record");
        }
    }

    /// Waits until the call is on record, then rings it, or tells the caller why it does not ring.
    async fn on_record(
        &self,
        device: DeviceId,
        reply: Reply,
        ticket: Option<Ticket>,
        asked: Moment,
    ) -> Result<Reply, Fault> {
        self.committed(reply.call, ticket).await;
        let (lives, rings) = self.transition(|state, now, fx| match reply.status {
            DialStatus::Ringing => {
                let lives = state.announce(reply.call, now, fx);
                (lives, fx.sends.iter().any(|(_, message)| matches!(message, Message::IncomingCall { .. })))
            }
            DialStatus::UserOffline | DialStatus::UserBusy | DialStatus::Glare => {
                state.tell_status(device, reply.call, reply.status, fx);
                (true, false)
            }
        });
        if rings {
            self.metrics.rang(self.clock.now().since(asked));
        }
        if lives { Ok(reply) } else { Err(Fault::Refused(Refusal::State(Obstacle::NeverRang))) }
    }

    /// Lets a device act on a call that lives here. `asked`: when it asked.
    pub(crate) fn act(&self, device: DeviceId, act: Act, asked: Moment) -> Result<()> {
        if !self.may_judge() {
            return Err(Fault::Unavailable.into());
        }
        let (done, is_told) = self.transition(|state, now, fx| {
            let done = state.act(device, act, now, fx);
            (done, fx.sends.iter().any(|(_, message)| matches!(message, Message::CallAccepted { .. })))
        });
        if is_told {
            self.metrics.accepted(self.clock.now().since(asked));
        }
        Ok(done?)
    }

    /// The calls that are live here.
    pub(crate) fn calls(&self) -> Vec<CallId> {
        self.lock().call_ids()
    }

    pub(crate) fn has_call(&self, call: CallId) -> bool {
        self.lock().has_call(call)
    }

    /// An operator ends the call, if it is live here.
    pub(crate) fn end_by_operator(self: &Arc<Self>, call: CallId) {
        tracing::info!(%call, "an operator ends the call");
        self.when_sure(move |live| live.transition(|state, now, fx| state.end_by_operator(call, now, fx)));
    }
}

/// Calls a user may start, remembered beyond its connections.
pub(super) struct CallRates {
    rate: Option<Rate>,
    users: Mutex<IdMap<UserId, Gcra>>,
}

impl CallRates {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self { rate, users: Mutex::default() }
    }

    fn take(&self, user: UserId, now: Moment) -> Result<()> {
        let Some(rate) = &self.rate else { return Ok(()) };
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= REMEMBERED_RATES {
            users.retain(|_, gcra| !gcra.is_full(now));
        }
        users
            .entry(user)
            .or_default()
            .take(rate, now)
            .map_err(|retry_after| Error::RateLimited { retry_after })
    }
}
