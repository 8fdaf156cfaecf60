//! What a node knows of the others: whose devices are there, and which calls live there.
//!
//! Every node has everybody's devices in its switchboard, its own and the others'. A call lives on one node, its home, whose
//! switchboard alone judges it; the others know that it is live, whose it is, and where.

use super::{
    Call, CallId, Device, DeviceId, Duration, Effects, Fault, Line, LiveCall, Message, Missed, Switchboard,
    UserId,
};
use crate::domain::call::{Actor, Event, Role};
use crate::domain::ids::{IdSet, NodeId, SessionId};
use crate::domain::media::{Candidate, Description, MediaState};
use crate::domain::message::{ActiveCall, Party};
use crate::domain::time::Moment;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a device asks of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Act {
    Accept { call: CallId, answer: Description },
    Reject { call: CallId },
    End { call: CallId },
    Candidate { to: UserId, call: Option<CallId>, candidate: Candidate },
    Renegotiate { call: CallId, description: Description },
    ChangeMedia { call: CallId, media: MediaState },
}

impl Act {
    /// The bytes of the description or candidate that it carries.
    pub(crate) fn media_size(&self) -> usize {
        match self {
            Self::Accept { answer: description, .. } | Self::Renegotiate { description, .. } => {
                description.size()
            }
            Self::Candidate { candidate, .. } => candidate.size(),
            Self::Reject { .. } | Self::End { .. } | Self::ChangeMedia { .. } => 0,
        }
    }

    /// The call that it names.
    fn call(&self) -> Option<CallId> {
        match self {
            Self::Accept { call, .. }
            | Self::Reject { call }
            | Self::End { call }
            | Self::Renegotiate { call, .. }
            | Self::ChangeMedia { call, .. } => Some(*call),
            Self::Candidate { call, .. } => *call,
        }
    }
}

/// A joined device, as its node tells the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceCard {
    pub(crate) device: DeviceId,
    pub(crate) session: SessionId,
    pub(crate) user: Party,
}

/// A live call, as its home tells the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallCard {
    pub(crate) call: CallId,
    pub(crate) caller: Party,
    pub(crate) callee: Party,
    /// Those that take part.
    pub(crate) devices: Vec<DeviceId>,
}

/// A call that is over, as its home tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PastCard {
    pub(crate) call: CallId,
    pub(crate) caller: UserId,
    pub(crate) callee: UserId,
    pub(crate) rejected: bool,
}

/// A call whose home is another node.
#[derive(Debug)]
pub(super) struct Foreign {
    home: NodeId,
    caller: UserId,
    callee: UserId,
    devices: Vec<DeviceId>,
}

impl Switchboard {
    /// There are other nodes, or may be: they are to be told what happens.
    pub(crate) fn share(&mut self) {
        self.shared = true;
    }

    /// Nothing new begins, and no call goes on: others take them over.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// Whether nothing new begins any more.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Lets a device act on a call that lives here.
    pub(crate) fn act(
        &mut self,
        device: DeviceId,
        act: Act,
        now: Moment,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        if self.closing && self.shared {
            return Err(Fault::Unavailable);
        }
        match act {
            Act::Accept { call, answer } => self.accept(device, call, answer, now, fx),
            Act::Reject { call } => self.reject(device, call, now, fx),
            Act::End { call } => self.end(device, call, now, fx),
            Act::Candidate { to, call, candidate } => self.candidate(device, to, call, candidate, now, fx),
            Act::Renegotiate { call, description } => self.renegotiate(device, call, description, now, fx),
            Act::ChangeMedia { call, media } => self.change_media(device, call, media, now, fx),
        }
    }

    /// The node that is to judge an act of the device, if it is another one.
    pub(crate) fn home_of_act(&self, device: DeviceId, act: &Act) -> Option<NodeId> {
        let user = self.devices.get(&device)?.user;
        let call = act.call().or_else(|| self.users.get(&user)?.call)?;
        let foreign = self.foreign.get(&call)?;
        (user == foreign.caller || user == foreign.callee).then_some(foreign.home)
    }

    /// The node on which the call of the device's user lives, if it is another one.
    pub(crate) fn home_of_call_of(&self, device: DeviceId) -> Option<NodeId> {
        self.home_of_user(self.devices.get(&device)?.user)
    }

    pub(super) fn home_of_user(&self, user: UserId) -> Option<NodeId> {
        let call = self.users.get(&user)?.call?;
        self.foreign.get(&call).map(|foreign| foreign.home)
    }

    /// The node that a device is connected to, if it is another one.
    pub(crate) fn node_of(&self, device: DeviceId) -> Option<NodeId> {
        self.devices.get(&device)?.node
    }

    /// Whether the call, living elsewhere, has a part for the device.
    pub(super) fn involves_elsewhere(&self, user: UserId, device: DeviceId) -> bool {
        let call = self.users.get(&user).and_then(|line| line.call);
        call.and_then(|call| self.foreign.get(&call)).is_some_and(|foreign| foreign.devices.contains(&device))
    }

    /// What is here: devices that are connected to this node, and calls that live on it.
    pub(crate) fn cards(&self) -> (Vec<DeviceCard>, Vec<CallCard>) {
        let devices = self.users.values().flat_map(|line| &line.devices);
        let devices = devices.filter_map(|device| self.device_card(*device)).collect();
        (devices, self.calls.keys().filter_map(|call| self.call_card(*call)).collect())
    }

    /// A device that is connected to this node.
    pub(crate) fn device_card(&self, device: DeviceId) -> Option<DeviceCard> {
        let entry = self.devices.get(&device).filter(|entry| entry.node.is_none())?;
        let user = self.users.get(&entry.user)?.party.clone();
        Some(DeviceCard { device, session: entry.session, user })
    }

    /// A call that lives on this node. Of one that is not placed yet nobody hears: it may never be.
    pub(crate) fn call_card(&self, call: CallId) -> Option<CallCard> {
        let live = &self.calls.get(&call).filter(|live| live.placed)?.call;
        let [caller, callee] = [Role::Caller, Role::Callee].map(|role| live.party(role).clone());
        Some(CallCard { call, caller, callee, devices: live.devices() })
    }

    /// The whole of a call that lives on this node.
    pub(crate) fn copy_of(&self, call: CallId) -> Option<Call> {
        self.calls.get(&call).map(|live| live.call.clone())
    }

    /// A device is connected to another node.
    pub(crate) fn device_came(&mut self, node: NodeId, card: DeviceCard, now: Moment, fx: &mut Effects) {
        let DeviceCard { device, session, user } = card;
        if self.devices.contains_key(&device) {
            return;
        }
        let entry = Device {
            user: user.id,
            session,
            token_expires: Duration::MAX,
            timer: None,
            warned: false,
            node: Some(node),
        };
        self.insert_device(device, entry, &user);
        // It never left, but this node did not hear of it for a while, and gave its place up for lost.
        let lost = self.call_of(user.id).filter(|call| call.waits_for(device));
        if let Some((call, role)) = lost.and_then(|call| Some((call.id(), call.role_of(user.id)?))) {
            let by = Actor { role, device, session };
            // Coming back is never refused.
            let _ = self.apply(call, Event::Joined { by, resume: true }, now, fx);
        }
    }

    /// Every device of the node is gone without a word.
    pub(crate) fn node_gone(&mut self, node: NodeId, now: Moment, fx: &mut Effects) {
        for device in self.devices_on(node) {
            self.device_lost(device, now, fx);
        }
    }

    /// What the node has, all of it: what else was known of it is no longer so.
    pub(crate) fn node_has(
        &mut self,
        node: NodeId,
        devices: Vec<DeviceCard>,
        calls: Vec<CallCard>,
        now: Moment,
        fx: &mut Effects,
    ) {
        let there: IdSet<_> = devices.iter().map(|card| card.device).collect();
        for gone in self.devices_on(node).into_iter().filter(|device| !there.contains(device)) {
            self.device_lost(gone, now, fx);
        }
        for card in devices {
            let device = card.device;
            let is_new = !self.devices.contains_key(&device);
            self.device_came(node, card, now, fx);
            if is_new && self.is_called(device) {
                // It may have been rung before it was out of sight.
                let _ = self.come_back(device, None, now, fx);
            }
        }
        let live: IdSet<_> = calls.iter().map(|card| card.call).collect();
        let ended =
            self.foreign.iter().filter(|(call, foreign)| foreign.home == node && !live.contains(*call));
        let ended: Vec<_> = ended.map(|(call, of)| (*call, of.caller, of.callee)).collect();
        for (call, caller, callee) in ended {
            self.call_is_over(PastCard { call, caller, callee, rejected: false }, now, fx);
        }
        for card in calls {
            self.call_lives(node, card, now, fx);
        }
    }

    /// Whether the device's user is being called, by a call that rings and lives here.
    fn is_called(&self, device: DeviceId) -> bool {
        let user = self.devices.get(&device).map(|entry| entry.user);
        user.and_then(|user| {
            Some(self.call_of(user)?.is_pending() && self.call_of(user)?.role_of(user)? == Role::Callee)
        })
        .unwrap_or(false)
    }

    fn devices_on(&self, node: NodeId) -> Vec<DeviceId> {
        let on = self.devices.iter().filter(|(_, entry)| entry.node == Some(node));
        on.map(|(device, _)| *device).collect()
    }

    /// Nobody else can tell when its user was last seen.
    fn device_lost(&mut self, device: DeviceId, now: Moment, fx: &mut Effects) {
        let user = self.devices.get(&device).map(|entry| entry.user);
        self.leave(device, false, now, fx);
        fx.gone.extend(user.filter(|user| !self.is_online(*user)));
    }

    /// A call lives on another node, which says so.
    pub(crate) fn call_lives(&mut self, home: NodeId, card: CallCard, now: Moment, fx: &mut Effects) {
        let CallCard { call, caller, callee, devices } = card;
        if self.calls.contains_key(&call) {
            // Both of us think so, and Redis knows: it tells whoever is wrong.
            return self.note_kept(call, fx);
        }
        let parties = [caller.id, callee.id];
        for party in [caller, callee] {
            let is_elsewhere = |other: CallId| {
                other != call && (self.calls.contains_key(&other) || self.foreign.contains_key(&other))
            };
            if !self.users.get(&party.id).and_then(|line| line.call).is_some_and(is_elsewhere) {
                self.line_of(&party).call = Some(call);
            }
        }
        self.foreign.insert(call, Foreign { home, caller: parties[0], callee: parties[1], devices });
        // Who rang in vain has no excuse for an expired token any more.
        for user in parties {
            self.cut_expired_devices(user, now, fx);
        }
    }

    /// A call that lived on another node is over.
    pub(crate) fn call_is_over(&mut self, card: PastCard, now: Moment, fx: &mut Effects) {
        let PastCard { call, caller, callee, rejected } = card;
        if self.calls.contains_key(&call) {
            return self.note_kept(call, fx);
        }
        self.foreign.remove(&call);
        self.remember(call, super::PastCall { caller, callee, rejected }, now);
        self.release(call, [caller, callee], now, fx);
    }

    /// A call of another node that is nowhere any more.
    pub(crate) fn forget_foreign(&mut self, call: CallId, now: Moment, fx: &mut Effects) {
        if let Some(Foreign { caller, callee, .. }) = self.foreign.get(&call) {
            let card = PastCard { call, caller: *caller, callee: *callee, rejected: false };
            self.call_is_over(card, now, fx);
        }
    }

    /// The call is no longer judged here: another node has it.
    pub(crate) fn lose(&mut self, call: CallId) {
        if let Some(LiveCall { timer, .. }) = self.calls.remove(&call) {
            self.drop_call_timer(call, timer);
        }
    }

    /// The call is not this node's: somebody else got one of the two first, or has it. No trace of it stays here.
    pub(crate) fn retract(&mut self, call: CallId, now: Moment, fx: &mut Effects) {
        let Some(live) = self.calls.get(&call) else { return };
        let parties = [Role::Caller, Role::Callee].map(|role| live.call.party(role).id);
        self.lose(call);
        self.release(call, parties, now, fx);
    }

    /// A call of the user on another node.
    pub(super) fn call_elsewhere(&self, user: UserId) -> Option<CallId> {
        let mut of_user = self.foreign.iter().filter(|(_, of)| of.caller == user || of.callee == user);
        of_user.next().map(|(call, _)| *call)
    }

    /// Whether the call is placed, if it lives here.
    pub(crate) fn is_placed(&self, call: CallId) -> Option<bool> {
        self.calls.get(&call).map(|live| live.placed)
    }

    /// Whether the call is over, for as long as that is remembered.
    pub(crate) fn is_past(&self, call: CallId) -> bool {
        self.past.contains_key(&call)
    }

    /// The call is placed for everybody: it goes on record.
    pub(crate) fn confirm(&mut self, call: CallId, fx: &mut Effects) {
        if let Some(live) = self.calls.get_mut(&call) {
            live.placed = true;
            fx.records.push(live.call.record());
        }
        self.note_kept(call, fx);
    }

    /// The callee was somebody else's first: the call goes on record as missed.
    pub(crate) fn miss(&mut self, missed: Missed, now: Moment, fx: &mut Effects) {
        self.record_missed(missed, now, fx);
    }

    /// Takes over a call of a node that is gone. Devices that went with it have their grace from now on.
    pub(crate) fn adopt(&mut self, call: Call, now: Moment, fx: &mut Effects) {
        let id = call.id();
        if self.calls.contains_key(&id) {
            return;
        }
        let parties = [Role::Caller, Role::Callee].map(|role| call.party(role).clone());
        self.foreign.remove(&id);
        let gone: Vec<_> =
            call.devices().into_iter().filter(|device| !self.devices.contains_key(device)).collect();
        fx.records.push(call.record());
        self.calls.insert(id, LiveCall { call, timer: None, placed: true, claimed: true });
        for party in &parties {
            self.line_of(party).call = Some(id);
        }
        self.sync_call_timer(id);
        self.note_kept(id, fx);
        for device in gone {
            let _ = self.apply(id, Event::Missing { device }, now, fx);
        }
        if self.closing {
            // It was asked for before this node began to go, and nobody ends it any more.
            let _ = self.apply(id, Event::ShutDown, now, fx);
        }
    }

    /// Redis has the call for its two.
    pub(crate) fn set_claimed(&mut self, call: CallId) {
        if let Some(live) = self.calls.get_mut(&call) {
            live.claimed = true;
        }
    }

    /// Redis has the call, as it stood when it was claimed: what changed meanwhile was not kept there.
    pub(crate) fn is_kept_again(&mut self, call: CallId, fx: &mut Effects) {
        if self.is_placed(call) == Some(true) && !self.is_claimed(call) {
            self.set_claimed(call);
            self.note_kept(call, fx);
        }
    }

    pub(crate) fn is_claimed(&self, call: CallId) -> bool {
        self.calls.get(&call).is_some_and(|live| live.claimed)
    }

    /// Ends the calls that nobody else can take over: those that Redis does not have, and those whose caller still waits to hear
    /// that they ring.
    pub(crate) fn end_what_cannot_move(&mut self, now: Moment, fx: &mut Effects) {
        let may_move = |live: &LiveCall| live.placed && live.claimed && !live.call.is_dialling();
        let others = self.calls.iter().filter(|(_, live)| !may_move(live));
        for call in others.map(|(call, _)| *call).collect::<Vec<_>>() {
            // Never refused.
            let _ = self.apply(call, Event::ShutDown, now, fx);
        }
    }

    /// Takes out the calls that live here, with their deadlines, for others to take over.
    pub(crate) fn take_calls(&mut self) -> Vec<Call> {
        let ids = self.call_ids();
        ids.into_iter()
            .filter_map(|id| {
                let LiveCall { call, timer, .. } = self.calls.remove(&id)?;
                self.drop_call_timer(id, timer);
                Some(call)
            })
            .collect()
    }

    /// Nobody has taken over the call.
    pub(crate) fn put_back(&mut self, call: Call) {
        let id = call.id();
        self.calls.insert(id, LiveCall { call, timer: None, placed: true, claimed: true });
        self.sync_call_timer(id);
    }

    /// Whether every device of the two is connected to this node.
    pub(crate) fn is_all_here(&self, call: CallId) -> bool {
        let Some(LiveCall { call, .. }) = self.calls.get(&call) else { return false };
        [Role::Caller, Role::Callee]
            .iter()
            .flat_map(|role| self.devices_of(call.party(*role).id))
            .all(|device| self.node_of(device).is_none())
    }

    /// Calls that live on none of these nodes, and the one that each lived on.
    pub(crate) fn orphans(&self, alive: &IdSet<NodeId>) -> Vec<(CallId, NodeId)> {
        let orphans = self.foreign.iter().filter(|(_, foreign)| !alive.contains(&foreign.home));
        orphans.map(|(call, foreign)| (*call, foreign.home)).collect()
    }

    /// A device that joined elsewhere comes back into a call that lives here, or is rung by it.
    pub(crate) fn come_back(
        &mut self,
        device: DeviceId,
        resume: Option<CallId>,
        now: Moment,
        fx: &mut Effects,
    ) -> Option<ActiveCall> {
        let entry = self.devices.get(&device)?;
        let (user, session) = (entry.user, entry.session);
        let call = self.call_of(user)?;
        let by = Actor { role: call.role_of(user)?, device, session };
        // The call may not have heard yet that the device is gone which has the place.
        let is_left = call.device_of(by.role).is_some_and(|device| !self.devices.contains_key(&device));
        let (id, resume) = (call.id(), is_left || resume == Some(call.id()));
        let live = self.calls.get_mut(&id)?;
        // Coming back is never refused.
        let outcome = live.call.apply(Event::Joined { by, resume }, now).ok()?;
        fx.sends.extend(outcome.sends);
        self.sync_call_timer(id);
        self.note_kept(id, fx);
        self.cut_expired_devices(user, now, fx);
        outcome.resumed
    }

    /// Tells a device that it has joined, and what it came back into.
    pub(crate) fn welcome(
        &mut self,
        device: DeviceId,
        active_call: Option<ActiveCall>,
        now: Moment,
        fx: &mut Effects,
    ) {
        if !self.devices.contains_key(&device) {
            return;
        }
        let online = if self.presence.hears_all(device) { self.presence.roster() } else { Arc::default() };
        fx.sends.push((device, Message::Joined { socket_id: device, online, active_call }));
        self.token_is_due(device, now, fx);
    }

    /// The line of a user who may be nowhere at the moment.
    fn line_of(&mut self, party: &Party) -> &mut Line {
        self.users.entry(party.id).or_insert_with(|| Line::new(party.clone()))
    }
}
