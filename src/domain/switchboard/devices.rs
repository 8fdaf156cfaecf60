//! Devices come and go.

use super::{
    Call, CallId, Cut, Device, DeviceId, Duration, Effects, Fault, Line, Message, Party, SessionId,
    Switchboard, UserId,
};
use crate::domain::call::{Actor, Event};
use crate::domain::presence::PresenceMode;
use crate::domain::time::Moment;

/// Devices a user may have joined at once.
const DEVICES_PER_USER: usize = 8;

/// An admitted connection that enters presence.
#[derive(Debug, Clone)]
pub(crate) struct Joining {
    pub(crate) device: DeviceId,
    pub(crate) session: SessionId,
    pub(crate) user: Party,
    /// On the monotonic clock.
    pub(crate) token_expires: Duration,
    pub(crate) presence: PresenceMode,
    /// A call to take over from another device of the session.
    pub(crate) resume: Option<CallId>,
}

impl Switchboard {
    /// Admits a device: it is told who is here, gets its call back, and is rung if its user is being called.
    /// Joining again changes the presence mode.
    pub(crate) fn join(&mut self, joining: Joining, now: Moment, fx: &mut Effects) -> Result<(), Fault> {
        let Joining { device, session, user, token_expires, presence, resume } = joining;
        let line = self.users.entry(user.id).or_insert_with(|| Line {
            party: user.clone(),
            devices: vec![],
            call: None,
        });
        let is_new = !line.devices.contains(&device);
        if is_new {
            if line.devices.len() >= DEVICES_PER_USER {
                return Err(Fault::TooManyDevices);
            }
            line.devices.push(device);
            let entry = Device { user: user.id, session, token_expires, timer: None, warned: false };
            self.devices.insert(device, entry);
            self.presence.set_online(user.clone(), device);
        }
        let call = line.call;
        self.presence.listen(device, presence);
        let outcome = call
            .and_then(|id| self.calls.get_mut(&id))
            .and_then(|live| {
                let by = Actor { role: live.call.role_of(user.id)?, device, session };
                live.call.apply(Event::Joined { by, resume: resume == Some(live.call.id()) }, now).ok()
            })
            .unwrap_or_default();
        let online = match presence {
            PresenceMode::Full | PresenceMode::Delta => self.presence.roster(),
            PresenceMode::None => std::sync::Arc::default(),
        };
        fx.sends.push((device, Message::Joined { socket_id: device, online, active_call: outcome.resumed }));
        fx.sends.extend(outcome.sends);
        if let Some(call) = call {
            self.sync_call_timer(call);
        }
        if is_new {
            self.token_is_due(device, now, fx);
        }
        Ok(())
    }

    /// A device is gone: on purpose, or because its connection broke.
    pub(crate) fn leave(&mut self, device: DeviceId, deliberate: bool, now: Moment, fx: &mut Effects) {
        let Some(entry) = self.devices.get(&device) else { return };
        let (user, session) = (entry.user, entry.session);
        let role = self.call_of(user).and_then(|call| Some((call.id(), call.role_of(user)?)));
        if let Some((call, role)) = role {
            let by = Actor { role, device, session };
            let event = if deliberate { Event::Left { by } } else { Event::Dropped { by } };
            // A departure is never refused.
            let _ = self.apply(call, event, now, fx);
        }
        self.remove_device(device, fx);
    }

    /// Every device of the session is cut, and what they were calling ends.
    pub(crate) fn revoke(&mut self, session: SessionId, now: Moment, fx: &mut Effects) {
        for call in self.call_ids() {
            // A revocation is never refused.
            let _ = self.apply(call, Event::Revoked { session }, now, fx);
        }
        let devices = self.devices.iter().filter(|(_, device)| device.session == session);
        for device in devices.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.remove_device(device, fx);
            fx.cuts.push((device, Cut::SessionRevoked));
        }
    }

    /// The device has a newer token.
    pub(crate) fn renew_token(
        &mut self,
        device: DeviceId,
        expires: Duration,
        now: Moment,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        let entry = self.devices.get_mut(&device).ok_or(Fault::NotJoined)?;
        entry.token_expires = expires;
        entry.warned = false;
        self.token_is_due(device, now, fx);
        Ok(())
    }

    /// The device hears of these users from now on; returns which of them are online.
    pub(crate) fn watch(
        &mut self,
        device: DeviceId,
        users: Vec<UserId>,
    ) -> Result<Vec<(UserId, bool)>, Fault> {
        if !self.devices.contains_key(&device) {
            return Err(Fault::NotJoined);
        }
        let states = users.iter().map(|user| (*user, self.is_online(*user))).collect();
        self.presence.watch(device, users);
        Ok(states)
    }

    pub(super) fn remove_device(&mut self, device: DeviceId, fx: &mut Effects) {
        self.set_token_timer(device, None);
        self.presence.forget(device);
        let Some(entry) = self.devices.remove(&device) else { return };
        let Some(line) = self.users.get_mut(&entry.user) else { return };
        line.devices.retain(|other| *other != device);
        if let Some(newest) = line.devices.last() {
            self.presence.set_online(line.party.clone(), *newest);
        } else {
            self.presence.set_offline(entry.user);
            fx.gone.push(entry.user);
            self.forget_idle_user(entry.user);
        }
    }

    pub(super) fn forget_idle_user(&mut self, user: UserId) {
        if self.users.get(&user).is_some_and(|line| line.devices.is_empty() && line.call.is_none()) {
            self.users.remove(&user);
        }
    }

    pub(super) fn call_of(&self, user: UserId) -> Option<&Call> {
        self.users.get(&user)?.call.and_then(|id| self.calls.get(&id)).map(|live| &live.call)
    }
}
