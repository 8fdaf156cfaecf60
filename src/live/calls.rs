//! Calls: dialled, put on record, rung; and what the parties do to them.

use super::Live;
use crate::domain::ids::{CallId, DeviceId, IdMap, UserId};
use crate::domain::media::{CallType, Candidate, Description, MediaState};
use crate::domain::message::{DialStatus, Message, Party};
use crate::domain::rate::{Gcra, Rate};
use crate::domain::switchboard::Dialled;
use crate::domain::time::Moment;
use crate::error::{Error, Result};
use crate::store::journal::Ticket;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long `call_user` waits for its row to be committed before it rings all the same.
const COMMIT_WAIT: Duration = Duration::from_secs(1);
/// Users whose rate is remembered before those at rest are forgotten.
const REMEMBERED_RATES: usize = 10_000;

/// What a dial led to, and what it waits for.
#[derive(Debug)]
pub(crate) enum Dial {
    /// The answer is given, and the callee rung, once the row is on record: [`Live::on_record`].
    Waits(Reply, Option<Ticket>),
    /// The callee is not here: look the account up and dial again with it.
    LookUp,
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
        self.call_rates.take(user, self.clock.now()).inspect_err(|_| self.metrics.too_many())
    }

    /// A device calls a user. `known`: the callee as the database has it, for one who is not here.
    pub(crate) fn dial(
        &self,
        device: DeviceId,
        to: UserId,
        known: Option<Party>,
        media: (CallType, Description),
    ) -> Result<Dial> {
        if !self.journal.has_room() {
            return Err(Error::unavailable());
        }
        let (dialled, ticket) =
            self.transition_with_ticket(|state, now, fx| state.dial(device, to, known, media, now, fx));
        let waits = |call, status| Ok(Dial::Waits(Reply { call, status }, ticket));
        match dialled? {
            Dialled::Placed(call) | Dialled::Again(call) => waits(call, DialStatus::Ringing),
            Dialled::Busy(call) => waits(call, DialStatus::UserBusy),
            Dialled::Offline(call) => waits(call, DialStatus::UserOffline),
            Dialled::Glare(call) => waits(call, DialStatus::Glare),
            Dialled::NotHere => Ok(Dial::LookUp),
        }
    }

    /// Waits until the call is on record, within a bound, then rings it, or tells the caller why it does not ring.
    /// Fails if the call ended before it could ring. `asked`: when it was asked for.
    pub(crate) async fn on_record(
        &self,
        device: DeviceId,
        reply: Reply,
        ticket: Option<Ticket>,
        asked: Moment,
    ) -> Result<Reply> {
        if let Some(ticket) = ticket
            && !self.journal.committed(ticket, COMMIT_WAIT).await
        {
            tracing::warn!(call = %reply.call, "the database is away: ringing before the call is on record");
        }
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
        if lives { Ok(reply) } else { Err(Error::InvalidState("The call ended before it could ring")) }
    }

    /// `asked`: when it was asked for.
    pub(crate) fn accept(
        &self,
        device: DeviceId,
        call: CallId,
        answer: Description,
        asked: Moment,
    ) -> Result<()> {
        let (accepted, is_told) = self.transition(|state, now, fx| {
            let accepted = state.accept(device, call, answer, now, fx);
            (accepted, fx.sends.iter().any(|(_, message)| matches!(message, Message::CallAccepted { .. })))
        });
        if is_told {
            self.metrics.accepted(self.clock.now().since(asked));
        }
        Ok(accepted?)
    }

    pub(crate) fn reject(&self, device: DeviceId, call: CallId) -> Result<()> {
        Ok(self.transition(|state, now, fx| state.reject(device, call, now, fx))?)
    }

    pub(crate) fn end(&self, device: DeviceId, call: CallId) -> Result<()> {
        Ok(self.transition(|state, now, fx| state.end(device, call, now, fx))?)
    }

    /// The calls that are live here.
    pub(crate) fn calls(&self) -> Vec<CallId> {
        self.lock().call_ids()
    }

    pub(crate) fn has_call(&self, call: CallId) -> bool {
        self.lock().has_call(call)
    }

    /// An operator ends the call, if it is live here.
    pub(crate) fn end_by_operator(&self, call: CallId) {
        tracing::info!(%call, "an operator ends the call");
        self.transition(|state, now, fx| state.end_by_operator(call, now, fx));
    }

    pub(crate) fn candidate(
        &self,
        device: DeviceId,
        to: UserId,
        call: Option<CallId>,
        candidate: Candidate,
    ) -> Result<()> {
        Ok(self.transition(|state, now, fx| state.candidate(device, to, call, candidate, now, fx))?)
    }

    pub(crate) fn renegotiate(&self, device: DeviceId, call: CallId, description: Description) -> Result<()> {
        Ok(self.transition(|state, now, fx| state.renegotiate(device, call, description, now, fx))?)
    }

    pub(crate) fn change_media(&self, device: DeviceId, call: CallId, media: MediaState) -> Result<()> {
        Ok(self.transition(|state, now, fx| state.change_media(device, call, media, now, fx))?)
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
