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
        if self.closing {
            return Err(Fault::Closing);
        }
        match self.devices.get_mut(&device) {
            Some(known) if (known.user, known.session) != (user.id, session) => {
                return Err(Fault::OtherIdentity);
            }
            Some(known) if known.token_expires < token_expires => {
                known.token_expires = token_expires;
                known.warned = false;
            }
            Some(_) => {}
            None => self.add_device(device, session, &user, token_expires)?,
        }
        let call = self.users.get(&user.id).and_then(|line| line.call);
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
            // A device that lost its part in the call to this one has no excuse for an expired token any more.
            self.cut_expired_devices(user.id, now, fx);
        }
        self.token_is_due(device, now, fx);
        Ok(())
    }

    fn add_device(
        &mut self,
        device: DeviceId,
        session: SessionId,
        user: &Party,
        token_expires: Duration,
    ) -> Result<(), Fault> {
        let new_line = || Line { party: user.clone(), devices: vec![], sessions: vec![], call: None };
        let line = self.users.entry(user.id).or_insert_with(new_line);
        if line.devices.len() >= DEVICES_PER_USER {
            return Err(Fault::TooManyDevices);
        }
        line.devices.push(device);
        if !line.sessions.contains(&session) {
            line.sessions.push(session);
            self.sessions.insert(session, user.id);
        }
        let entry = Device { user: user.id, session, token_expires, timer: None, warned: false };
        self.devices.insert(device, entry);
        self.presence.set_online(user.clone(), device);
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
        let Some(user) = self.sessions.get(&session).copied() else { return };
        if let Some(call) = self.users.get(&user).and_then(|line| line.call) {
            // A revocation is never refused.
            let _ = self.apply(call, Event::Revoked { session }, now, fx);
        }
        for device in self.devices_of(user) {
            if self.devices.get(&device).is_some_and(|entry| entry.session == session) {
                self.remove_device(device, fx);
                fx.cuts.push((device, Cut::SessionRevoked));
            }
        }
    }

    pub(super) fn devices_of(&self, user: UserId) -> Vec<DeviceId> {
        self.users.get(&user).map(|line| line.devices.clone()).unwrap_or_default()
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
        }
        self.forget_what_is_idle(entry.user);
    }

    /// Forgets sessions that no device of the user has, and a user without devices: unless a call waits for them.
    pub(super) fn forget_what_is_idle(&mut self, user: UserId) {
        let Some(line) = self.users.get_mut(&user) else { return };
        if line.call.is_some() {
            return;
        }
        let devices = &self.devices;
        let is_here = |session: &SessionId| {
            line.devices
                .iter()
                .any(|device| devices.get(device).is_some_and(|entry| entry.session == *session))
        };
        for gone in line.sessions.extract_if(.., |session| !is_here(session)) {
            self.sessions.remove(&gone);
        }
        if line.devices.is_empty() {
            self.users.remove(&user);
        }
    }

    pub(super) fn call_of(&self, user: UserId) -> Option<&Call> {
        self.users.get(&user)?.call.and_then(|id| self.calls.get(&id)).map(|live| &live.call)
    }
}
