//! The events of a call.

use super::Sockets;
use super::adapter::{answer, begin_waiting};
use super::connection::{Connection, Identity};
use super::inbound::{AcceptCall, CallUser, ChangeMedia, IceCandidate, Inbound, OfCall, Renegotiate, Sender};
use super::outbound::{self, Reply as Body};
use crate::auth::token::Claims;
use crate::domain::ids::{DeviceId, UserId};
use crate::domain::media::{BadMedia, CallType, Candidate, Description, SdpType};
use crate::domain::message::Party;
use crate::domain::time::Moment;
use crate::error::{Error, Result};
use crate::live::{Dial, Live, Reply};
use crate::store;
use serde_json::json;
use std::sync::Arc;

impl Sockets {
    /// Dials at once, so that candidates sent right behind find their call; answers when the call is on record.
    pub(super) fn call_user(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        identity: &Identity,
        event: Inbound,
    ) {
        let asked = self.app.live.now();
        // Before the call is placed: one that is placed must be answered for.
        let waiting = match begin_waiting(connection) {
            Ok(waiting) => waiting,
            Err(error) => return answer(connection, &event, Body::Failed(error)),
        };
        match dial(&self.app.live, connection.device, &identity.claims, &event) {
            Err(error) => answer(connection, &event, Body::Failed(error)),
            Ok((dial, wanted)) => {
                let (sockets, connection) = (Arc::clone(self), Arc::clone(connection));
                tokio::spawn(async move {
                    let body = sockets.finish_dial(connection.device, dial, wanted, asked).await;
                    answer(&connection, &event, body.map_or_else(Body::Failed, called));
                    drop(waiting);
                });
            }
        }
    }

    async fn finish_dial(
        &self,
        device: DeviceId,
        dial: Dial,
        wanted: Wanted,
        asked: Moment,
    ) -> Result<Reply> {
        let (reply, ticket) = match dial {
            Dial::Waits(reply, ticket) => (reply, ticket),
            Dial::LookUp => {
                let no_such_user = || Error::NotFound("There is no such user");
                let callee = store::users::find(&self.app.pool, wanted.to).await?.ok_or_else(no_such_user)?;
                let known = Party { id: callee.id, username: callee.username };
                match self.app.live.dial(device, wanted.to, Some(known), wanted.media)? {
                    Dial::Waits(reply, ticket) => (reply, ticket),
                    Dial::LookUp => return Err(no_such_user()),
                }
            }
        };
        self.app.live.on_record(device, reply, ticket, asked).await
    }
}

/// Places a call, as far as that needs no database.
pub(super) fn dial(live: &Live, device: DeviceId, me: &Claims, event: &Inbound) -> Result<(Dial, Wanted)> {
    let call: CallUser = event.parse()?;
    if call.from.as_ref().is_some_and(|from| !is(from, me)) {
        return Err(Error::IdentityMismatch);
    }
    let offer = Description::parse(call.offer, &[SdpType::Offer]).map_err(|bad| bad_media("offer", bad))?;
    let wanted = Wanted { to: call.to, media: (call.call_type, offer) };
    live.allow_call(me.user)?;
    let dial = live.dial(device, wanted.to, None, wanted.media.clone())?;
    Ok((dial, wanted))
}

pub(super) fn accept_call(live: &Live, device: DeviceId, event: &Inbound) -> Result<()> {
    let asked = live.now();
    let call: AcceptCall = event.parse()?;
    let answer =
        Description::parse(call.answer, &[SdpType::Answer]).map_err(|bad| bad_media("answer", bad))?;
    live.accept(device, call.call_id, answer, asked)
}

pub(super) fn reject_call(live: &Live, device: DeviceId, event: &Inbound) -> Result<()> {
    let call: OfCall = event.parse()?;
    live.reject(device, call.call_id)
}

pub(super) fn end_call(live: &Live, device: DeviceId, event: &Inbound) -> Result<()> {
    let call: OfCall = event.parse()?;
    live.end(device, call.call_id)
}

pub(super) fn ice_candidate(live: &Live, device: DeviceId, event: &Inbound) -> Result<()> {
    let trickle: IceCandidate = event.parse()?;
    let candidate = Candidate::parse(trickle.candidate).map_err(|bad| bad_media("candidate", bad))?;
    tracing::debug!(%device, to = %trickle.to, "ice candidate");
    live.candidate(device, trickle.to, trickle.call_id, candidate)
}

pub(super) fn renegotiate(live: &Live, device: DeviceId, event: &Inbound) -> Result<()> {
    let call: Renegotiate = event.parse()?;
    let any = [SdpType::Offer, SdpType::Answer, SdpType::Pranswer, SdpType::Rollback];
    let description =
        Description::parse(call.description, &any).map_err(|bad| bad_media("description", bad))?;
    live.renegotiate(device, call.call_id, description)
}

pub(super) fn media_state(live: &Live, device: DeviceId, event: &Inbound) -> Result<()> {
    let change: ChangeMedia = event.parse()?;
    live.change_media(device, change.call_id, change.media)
}

/// What a dial needs if it has to be made again.
pub(super) struct Wanted {
    pub(super) to: UserId,
    pub(super) media: (CallType, Description),
}

fn is(from: &Sender, me: &Claims) -> bool {
    from.id.is_none_or(|id| id == me.user)
        && from.username.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(me.username.as_str()))
}

fn called(reply: Reply) -> Body {
    Body::With(json!({ "callId": reply.call, "status": outbound::dial_status(reply.status) }))
}

fn bad_media(field: &'static str, bad: BadMedia) -> Error {
    match bad {
        BadMedia::TooLarge => Error::PayloadTooLarge("The description or candidate is too large"),
        BadMedia::NotADescription | BadMedia::WrongSdpType | BadMedia::NotACandidate | BadMedia::Nul => {
            Error::field(field, bad.to_string())
        }
    }
}
