//! Calls are dialled, act and end.

use super::{
    Call, CallId, CallRecord, DeviceId, Duration, Effects, Fault, Line, LiveCall, Message, NodeNews, Party,
    PastCall, PastCard, Refusal, SessionId, Switchboard, Timer, UserId,
};
use crate::domain::call::{Actor, CallStatus, EndReason, Event, Obstacle, Role};
use crate::domain::ids::NodeId;
use crate::domain::media::{CallType, Candidate, Description, MediaState};
use crate::domain::message::DialStatus;
use crate::domain::time::Moment;

/// How long the retry of an ended call's event is still answered as one.
const FORGET_AFTER: Duration = Duration::from_mins(1);

/// What became of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialled {
    /// A new call; nobody is rung before [`Switchboard::announce`].
    Placed(CallId),
    /// A repetition: this call is under way already.
    Again(CallId),
    /// The callee is calling the caller; the id is theirs.
    Glare(CallId),
    /// Recorded as missed.
    Busy(CallId),
    /// Recorded as missed.
    Offline(CallId),
    /// Nobody here by that id: look the user up and dial again with what you found.
    NotHere,
    /// The caller is in a call that lives on another node: that one has to say what this means.
    Elsewhere(NodeId),
}

/// A call that never was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) call: CallId,
    pub(crate) caller: UserId,
    pub(crate) callee: UserId,
    pub(crate) call_type: CallType,
    pub(crate) reason: EndReason,
}

impl Switchboard {
    /// A device calls a user. `known`: the callee as the database has it, for one who is not here.
    pub(crate) fn dial(
        &mut self,
        device: DeviceId,
        to: UserId,
        known: Option<Party>,
        media: (CallType, Description),
        now: Moment,
        fx: &mut Effects,
    ) -> Result<Dialled, Fault> {
        if self.closing {
            return Err(Fault::Unavailable);
        }
        let entry = self.devices.get(&device).ok_or(Fault::NotJoined)?;
        let by = Actor { role: Role::Caller, device, session: entry.session };
        let caller = self.users.get(&entry.user).ok_or(Fault::NotJoined)?.party.clone();
        if caller.id == to {
            return Err(Fault::SelfCall);
        }
        if let Some(call) = self.call_of(caller.id) {
            let dialled = dial_in_call(call, caller.id, to, device)?;
            // Whoever is told of the call waits for its row, too.
            let is_placed = self.calls.get(&call.id()).is_some_and(|live| live.placed);
            fx.records.extend((is_placed && call.is_dialling()).then(|| call.record()));
            return Ok(dialled);
        }
        if let Some(home) = self.home_of_user(caller.id) {
            return Ok(Dialled::Elsewhere(home));
        }
        let (callee, here) = match self.users.get(&to) {
            Some(line) => (line.party.clone(), Some(line.call.is_some())),
            None => match known {
                Some(party) => (party, None),
                None => return Ok(Dialled::NotHere),
            },
        };
        let (call_type, offer) = media;
        Ok(match here {
            None => Dialled::Offline(self.missed(
                caller.id,
                callee.id,
                call_type,
                EndReason::UserOffline,
                now,
                fx,
            )),
            Some(true) => {
                Dialled::Busy(self.missed(caller.id, callee.id, call_type, EndReason::UserBusy, now, fx))
            }
            Some(false) => {
                let users = [caller.id, callee.id];
                let call = Call::dial(caller, by, callee, call_type, offer, self.rules, now);
                let id = call.id();
                // Among several nodes it has to be claimed first: [`Switchboard::confirm`].
                fx.records.extend((!self.shared).then(|| call.record()));
                let placed = !self.shared;
                self.calls.insert(id, LiveCall { call, timer: None, placed, claimed: false });
                for user in users {
                    self.set_call(user, Some(id));
                }
                self.sync_call_timer(id);
                Dialled::Placed(id)
            }
        })
    }

    /// Whether a dial would place a call, as far as is known here.
    pub(crate) fn would_place(&self, device: DeviceId, to: UserId) -> bool {
        let is_free = |user: UserId| self.users.get(&user).is_some_and(|line| line.call.is_none());
        self.devices.get(&device).is_some_and(|entry| is_free(entry.user)) && is_free(to)
    }

    fn missed(
        &mut self,
        caller: UserId,
        callee: UserId,
        call_type: CallType,
        reason: EndReason,
        now: Moment,
        fx: &mut Effects,
    ) -> CallId {
        let call = CallId::new();
        self.record_missed(Missed { call, caller, callee, call_type, reason }, now, fx);
        call
    }

    pub(super) fn record_missed(&mut self, missed: Missed, now: Moment, fx: &mut Effects) {
        let Missed { call, caller, callee, call_type, reason } = missed;
        fx.records.push(CallRecord {
            id: call,
            caller,
            callee,
            call_type,
            status: CallStatus::Missed,
            end_reason: Some(reason),
            started_at: now.wall,
            answered_at: None,
            ended_at: Some(now.wall),
            rang: false,
        });
        self.remember(call, PastCall { caller, callee, rejected: false }, now);
    }

    /// The call is on record: the callee's devices ring, unless they do already. False if it ended meanwhile.
    pub(crate) fn announce(&mut self, call: CallId, now: Moment, fx: &mut Effects) -> bool {
        let Some(live) = self.calls.get(&call) else { return false };
        if !live.placed {
            // Whoever placed it goes on when it is claimed.
            return true;
        }
        let callee = live.call.party(Role::Callee).id;
        let devices = self.devices_of(callee).into_iter();
        let devices = devices.filter_map(|id| Some((id, self.devices.get(&id)?.session))).collect();
        // Refused if it rings already.
        let _ = self.apply(call, Event::Announced { devices }, now, fx);
        true
    }

    /// Tells the caller's device what became of a call that never rang.
    pub(crate) fn tell_status(&self, device: DeviceId, call: CallId, status: DialStatus, fx: &mut Effects) {
        if self.devices.contains_key(&device) {
            fx.sends.push((device, Message::CallStatus { call, status }));
        }
    }

    pub(crate) fn accept(
        &mut self,
        device: DeviceId,
        call: CallId,
        answer: Description,
        now: Moment,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        self.on_call(device, call, |by| Event::Accepted { by, answer }, now, fx)?;
        // The call is over for those who rang in vain.
        let (user, _) = self.identity(device)?;
        self.cut_expired_devices(user, now, fx);
        Ok(())
    }

    pub(crate) fn reject(
        &mut self,
        device: DeviceId,
        call: CallId,
        now: Moment,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        let (user, _) = self.identity(device)?;
        match self.past_role(user, call) {
            // A repetition of what ended the call.
            Some((Role::Callee, true)) => Ok(()),
            Some((Role::Caller | Role::Callee, _)) => Err(OVER),
            None => self.on_call(device, call, |by| Event::Rejected { by }, now, fx),
        }
    }

    pub(crate) fn end(
        &mut self,
        device: DeviceId,
        call: CallId,
        now: Moment,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        // Ending a call that just ended is what was wanted.
        let (user, _) = self.identity(device)?;
        match self.past_role(user, call) {
            Some(_) => Ok(()),
            None => self.on_call(device, call, |by| Event::Ended { by }, now, fx),
        }
    }

    /// An operator ends the call. One that just ended is what was wanted.
    pub(crate) fn end_by_operator(&mut self, call: CallId, now: Moment, fx: &mut Effects) {
        // Never refused.
        let _ = self.apply(call, Event::EndedByOperator, now, fx);
    }

    /// The call could not go on here.
    pub(crate) fn end_lost(&mut self, call: CallId, now: Moment, fx: &mut Effects) {
        // Never refused.
        let _ = self.apply(call, Event::Lost, now, fx);
    }

    /// A candidate for `to`, the other party of `call`, or of whatever call the two have.
    pub(crate) fn candidate(
        &mut self,
        device: DeviceId,
        to: UserId,
        call: Option<CallId>,
        candidate: Candidate,
        now: Moment,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        let (user, session) = self.identity(device)?;
        let is_meant = |live: &&Call| {
            user != to && live.role_of(to).is_some() && call.is_none_or(|call| call == live.id())
        };
        let part =
            self.call_of(user).filter(is_meant).and_then(|live| Some((live.id(), live.role_of(user)?)));
        let Some((id, role)) = part else {
            return Err(call.map_or(Fault::NoSuchCall, |call| self.missing(user, call)));
        };
        let by = Actor { role, device, session };
        self.apply(id, Event::Candidate { by, candidate }, now, fx)
    }

    pub(crate) fn renegotiate(
        &mut self,
        device: DeviceId,
        call: CallId,
        description: Description,
        now: Moment,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        self.on_call(device, call, |by| Event::Renegotiated { by, description }, now, fx)
    }

    pub(crate) fn change_media(
        &mut self,
        device: DeviceId,
        call: CallId,
        media: MediaState,
        now: Moment,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        self.on_call(device, call, |by| Event::MediaChanged { by, media }, now, fx)
    }

    /// The server goes down: every call ends, and everybody is gone.
    pub(crate) fn shut_down(&mut self, now: Moment, fx: &mut Effects) {
        self.closing = true;
        for call in self.call_ids() {
            // Never refused.
            let _ = self.apply(call, Event::ShutDown, now, fx);
        }
        let here = |line: &&Line| line.devices.iter().any(|device| self.node_of(*device).is_none());
        fx.gone.extend(self.users.values().filter(here).map(|line| line.party.id));
    }

    fn on_call(
        &mut self,
        device: DeviceId,
        call: CallId,
        event: impl FnOnce(Actor) -> Event,
        now: Moment,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        let (user, session) = self.identity(device)?;
        let role = self.calls.get(&call).and_then(|live| live.call.role_of(user));
        let role = role.ok_or_else(|| self.missing(user, call))?;
        self.apply(call, event(Actor { role, device, session }), now, fx)
    }

    /// Why the user has no such live call.
    fn missing(&self, user: UserId, call: CallId) -> Fault {
        if self.past_role(user, call).is_some() { OVER } else { Fault::NoSuchCall }
    }

    fn identity(&self, device: DeviceId) -> Result<(UserId, SessionId), Fault> {
        self.devices.get(&device).map(|entry| (entry.user, entry.session)).ok_or(Fault::NotJoined)
    }

    /// The user's side in a call that ended a moment ago, and whether it was rejected.
    fn past_role(&self, user: UserId, call: CallId) -> Option<(Role, bool)> {
        let past = self.past.get(&call)?;
        let role = if user == past.caller {
            Role::Caller
        } else if user == past.callee {
            Role::Callee
        } else {
            return None;
        };
        Some((role, past.rejected))
    }

    /// Lets `event` happen to a live call, and cleans up after one that ended.
    pub(super) fn apply(
        &mut self,
        call: CallId,
        event: Event,
        now: Moment,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        let live = self.calls.get_mut(&call).ok_or(Fault::NoSuchCall)?;
        let (passes_on, settled) = (event.passes_on(), live.call.is_settled());
        let outcome = live.call.apply(event, now).map_err(Fault::Refused)?;
        if fx.sends.is_empty() {
            fx.sends = outcome.sends;
        } else {
            fx.sends.extend(outcome.sends);
        }
        fx.records.extend(outcome.record);
        if let Some(ending) = outcome.ended {
            self.clear(call, ending.reason == EndReason::Rejected, now, fx);
            return Ok(());
        }
        live.sync_timer(call, &mut self.timers);
        match (passes_on, settled) {
            (false, _) => self.note_kept(call, fx),
            (true, false) => self.note(fx, || NodeNews::Trickled(call)),
            (true, true) => {}
        }
        Ok(())
    }

    /// The other nodes have to know of it.
    pub(super) fn note(&self, fx: &mut Effects, news: impl FnOnce() -> NodeNews) {
        if self.shared {
            fx.news.push(news());
        }
    }

    pub(super) fn note_kept(&self, call: CallId, fx: &mut Effects) {
        self.note(fx, || NodeNews::Changed(call));
    }

    fn clear(&mut self, id: CallId, rejected: bool, now: Moment, fx: &mut Effects) {
        let Some(LiveCall { call, timer, .. }) = self.calls.remove(&id) else { return };
        self.drop_call_timer(id, timer);
        let [caller, callee] = [Role::Caller, Role::Callee].map(|role| call.party(role).id);
        self.note(fx, || NodeNews::Over(PastCard { call: id, caller, callee, rejected }));
        self.remember(id, PastCall { caller, callee, rejected }, now);
        self.release(id, [caller, callee], now, fx);
    }

    /// The two are not in the call any more.
    pub(super) fn release(&mut self, call: CallId, parties: [UserId; 2], now: Moment, fx: &mut Effects) {
        for user in parties {
            // What was heard meanwhile of a call elsewhere left the line alone.
            let other = self.call_elsewhere(user);
            if let Some(line) = self.users.get_mut(&user)
                && line.call == Some(call)
            {
                line.call = other;
                self.cut_expired_devices(user, now, fx);
                self.forget_what_is_idle(user);
            }
        }
    }

    fn set_call(&mut self, user: UserId, call: Option<CallId>) {
        if let Some(line) = self.users.get_mut(&user) {
            line.call = call;
        }
    }

    pub(super) fn remember(&mut self, call: CallId, past: PastCall, now: Moment) {
        self.past.insert(call, past);
        self.timers.insert((now.mono + FORGET_AFTER, Timer::Forget(call)));
    }
}

const OVER: Fault = Fault::Refused(Refusal::State(Obstacle::Over));

/// What dialling means to somebody who is in a call already.
fn dial_in_call(call: &Call, caller: UserId, to: UserId, device: DeviceId) -> Result<Dialled, Fault> {
    let with_callee = call.role_of(to).is_some();
    match call.role_of(caller) {
        Some(Role::Caller) if with_callee && call.is_dialled_by(device) => Ok(Dialled::Again(call.id())),
        Some(Role::Callee) if with_callee && call.is_pending() => Ok(Dialled::Glare(call.id())),
        Some(Role::Caller | Role::Callee) | None => Err(Fault::Refused(Refusal::State(Obstacle::InCall))),
    }
}
