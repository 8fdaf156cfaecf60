//! Devices come and go.

use super::{
    Call, CallId, Cut, Device, DeviceId, Duration, Effects, Fault, Line, NodeNews, Party, SessionId,
    Switchboard, UserId,
};
use crate::domain::call::{Actor, Event};
use crate::domain::presence::PresenceMode;
use crate::domain::time::Moment;

/// Where a device that joins gets its call back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It has it, if there is one, and is told that it has joined.
    Done,
    /// From another node, which its call lives on; only then it may be told: [`Switchboard::welcome`].
    Elsewhere,
}

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

/// That a device has left, for a call that hears of it later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Departure {
    device: DeviceId,
    user: UserId,
    session: SessionId,
    deliberate: bool,
}

impl Switchboard {
    /// Admits a device: it is told who is here, gets its call back, and is rung if its user is being called.
    /// Joining again changes the presence mode.
    pub(crate) fn join(&mut self, joining: Joining, now: Moment, fx: &mut Effects) -> Result<Entry, Fault> {
        let Joining { device, session, user, token_expires, presence, resume } = joining;
        if self.closing {
            return Err(Fault::Unavailable);
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
            None => self.add_device(device, session, &user, token_expires, fx)?,
        }
        self.presence.listen(device, presence);
        if self.home_of_user(user.id).is_some() {
            return Ok(Entry::Elsewhere);
        }
        let mut after = Effects::default();
        let active_call = self.come_back(device, resume, now, &mut after);
        self.welcome(device, active_call, now, fx);
        fx.append(after);
        Ok(Entry::Done)
    }

    fn add_device(
        &mut self,
        device: DeviceId,
        session: SessionId,
        user: &Party,
        token_expires: Duration,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        if self.users.get(&user.id).is_some_and(|line| line.devices.len() >= DEVICES_PER_USER) {
            return Err(Fault::TooManyDevices);
        }
        let entry = Device { user: user.id, session, token_expires, timer: None, warned: false, node: None };
        self.insert_device(device, entry, user);
        self.note(fx, || NodeNews::Came(device));
        Ok(())
    }

    pub(super) fn insert_device(&mut self, device: DeviceId, entry: Device, user: &Party) {
        let line = self.users.entry(user.id).or_insert_with(|| Line::new(user.clone()));
        line.devices.push(device);
        if !line.sessions.contains(&entry.session) {
            line.sessions.push(entry.session);
            self.sessions.insert(entry.session, user.id);
        }
        self.devices.insert(device, entry);
        self.presence.set_online(user.clone(), device);
    }

    /// A device is gone: on purpose, or because its connection broke.
    pub(crate) fn leave(&mut self, device: DeviceId, deliberate: bool, now: Moment, fx: &mut Effects) {
        if let Some(departure) = self.departure(device, deliberate) {
            self.hear_of(departure, now, fx);
            self.remove_device(device, deliberate, fx);
        }
    }

    /// A device is gone while it is not sure that the calls here are this node's: they are to [hear of it](Self::hear_of) when it is.
    pub(crate) fn leave_unheard(
        &mut self,
        device: DeviceId,
        deliberate: bool,
        fx: &mut Effects,
    ) -> Option<Departure> {
        let departure = self.departure(device, deliberate)?;
        self.remove_device(device, deliberate, fx);
        Some(departure)
    }

    fn departure(&self, device: DeviceId, deliberate: bool) -> Option<Departure> {
        let Device { user, session, .. } = *self.devices.get(&device)?;
        Some(Departure { device, user, session, deliberate })
    }

    /// The call of its user hears of a departure.
    pub(crate) fn hear_of(&mut self, departure: Departure, now: Moment, fx: &mut Effects) {
        let Departure { device, user, session, deliberate } = departure;
        let role = self.call_of(user).and_then(|call| Some((call.id(), call.role_of(user)?)));
        if let Some((call, role)) = role {
            let by = Actor { role, device, session };
            let event = if deliberate { Event::Left { by } } else { Event::Dropped { by } };
            // A departure is never refused.
            let _ = self.apply(call, event, now, fx);
        }
    }

    /// Every device of the session that is connected here is cut, and what they were calling here ends.
    pub(crate) fn revoke(&mut self, session: SessionId, now: Moment, fx: &mut Effects) {
        let Some(user) = self.sessions.get(&session).copied() else { return };
        if let Some(call) = self.users.get(&user).and_then(|line| line.call) {
            // A revocation is never refused.
            let _ = self.apply(call, Event::Revoked { session }, now, fx);
        }
        for device in self.devices_of(user) {
            let is_ours = |entry: &Device| entry.session == session && entry.node.is_none();
            if self.devices.get(&device).is_some_and(is_ours) {
                self.remove_device(device, false, fx);
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

    pub(super) fn remove_device(&mut self, device: DeviceId, deliberate: bool, fx: &mut Effects) {
        self.set_token_timer(device, None);
        self.presence.forget(device);
        let Some(entry) = self.devices.remove(&device) else { return };
        let is_ours = entry.node.is_none();
        if is_ours {
            self.note(fx, || NodeNews::Went { device, deliberate });
        }
        let Some(line) = self.users.get_mut(&entry.user) else { return };
        line.devices.retain(|other| *other != device);
        if let Some(newest) = line.devices.last() {
            self.presence.set_online(line.party.clone(), *newest);
        } else {
            self.presence.set_offline(entry.user);
            // For a device of another node, that one says so.
            fx.gone.extend(is_ours.then_some(entry.user));
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
