//! The events of a call.

use super::Sockets;
use super::adapter::OnCall;
use super::adapter::{answer, begin_waiting};
use super::connection::{Connection, Identity};
use super::inbound::{AcceptCall, CallUser, ChangeMedia, IceCandidate, Inbound, OfCall, Renegotiate, Sender};
use super::outbound::{self, Reply as Body};
use crate::auth::token::Claims;
use crate::domain::ids::{DeviceId, UserId};
use crate::domain::media::{BadMedia, CallType, Candidate, Description, SdpType};
use crate::domain::message::Party;
use crate::domain::switchboard::Act;
use crate::domain::time::Moment;
use crate::error::{Error, Result};
use crate::live::{Dial, Live, Reply, Settled};
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
        let (live, Wanted { to, media }) = (&self.app.live, wanted);
        if let Settled::Reply(reply) = live.settle(device, to, None, media.clone(), dial, asked).await? {
            return Ok(reply);
        }
        let no_such_user = || Error::NotFound("There is no such user");
        let callee = store::users::find(&self.app.pool, to).await?.ok_or_else(no_such_user)?;
        let known = Party { id: callee.id, username: callee.username };
        let dial = live.dial(device, to, Some(known.clone()), media.clone())?;
        match live.settle(device, to, Some(known), media, dial, asked).await? {
            Settled::Reply(reply) => Ok(reply),
            Settled::LookUp | Settled::Elsewhere(_) => Err(no_such_user()),
        }
    }

    /// Acts on a call, here or on the node that has it.
    pub(super) fn act(self: &Arc<Self>, connection: &Arc<Connection>, known: OnCall, event: Inbound) {
        let live = &self.app.live;
        let asked = live.now();
        let act = match read(connection.device, known, &event) {
            Ok(act) => act,
            Err(error) => return answer(connection, &event, Body::Failed(error)),
        };
        match live.home_of_act(connection.device, &act) {
            None => {
                let ends = matches!(act, Act::End { .. } | Act::Reject { .. });
                let done = live.act(connection.device, act, asked);
                if !ends || done.is_err() || live.cluster().is_none() {
                    return answer(connection, &event, done.into());
                }
                // Whoever is told of the end is free for callers on every node.
                let (live, connection) = (Arc::clone(live), Arc::clone(connection));
                let handling = connection.line.begin_handling();
                tokio::spawn(async move {
                    live.flushed().await;
                    answer(&connection, &event, Body::Done);
                    drop(handling);
                });
            }
            Some(home) => {
                // The answer comes before the end of the socket, if that is what it leads to.
                let (connection, handling) = (Arc::clone(connection), connection.line.begin_handling());
                live.act_elsewhere(home, connection.device, act, move |done| {
                    answer(&connection, &event, done.map_err(Error::from).into());
                    drop(handling);
                });
            }
        }
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

/// What an event asks of a call.
pub(super) fn read(device: DeviceId, known: OnCall, event: &Inbound) -> Result<Act> {
    Ok(match known {
        OnCall::Accept => {
            let AcceptCall { call_id: call, answer } = event.parse()?;
            let answer =
                Description::parse(answer, &[SdpType::Answer]).map_err(|bad| bad_media("answer", bad))?;
            Act::Accept { call, answer }
        }
        OnCall::Reject => Act::Reject { call: event.parse::<OfCall>()?.call_id },
        OnCall::End => Act::End { call: event.parse::<OfCall>()?.call_id },
        OnCall::Candidate => {
            let IceCandidate { to, candidate, call_id: call } = event.parse()?;
            let candidate = Candidate::parse(candidate).map_err(|bad| bad_media("candidate", bad))?;
            tracing::debug!(%device, %to, "ice candidate");
            Act::Candidate { to, call, candidate }
        }
        OnCall::Renegotiate => {
            let Renegotiate { call_id: call, description } = event.parse()?;
            let any = [SdpType::Offer, SdpType::Answer, SdpType::Pranswer, SdpType::Rollback];
            let description =
                Description::parse(description, &any).map_err(|bad| bad_media("description", bad))?;
            Act::Renegotiate { call, description }
        }
        OnCall::MediaState => {
            let ChangeMedia { call_id: call, media } = event.parse()?;
            Act::ChangeMedia { call, media }
        }
    })
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
