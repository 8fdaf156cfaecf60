//! Deadlines, earliest first: one place for ring timeouts, graces, token expiries and what may be forgotten.

use super::{CallId, Cut, DeviceId, Duration, Effects, LiveCall, Message, Switchboard, UserId};
use crate::domain::call::Event;
use crate::domain::time::Moment;
use std::collections::BTreeSet;

/// How long before its token expires a device is told.
const EXPIRY_WARNING: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Call(CallId),
    Token(DeviceId),
    Forget(CallId),
}

impl LiveCall {
    /// Keeps its entry in step with its own next deadline.
    pub(super) fn sync_timer(&mut self, id: CallId, timers: &mut BTreeSet<(Duration, Timer)>) {
        let next = self.call.deadline();
        if next != self.timer {
            if let Some(at) = std::mem::replace(&mut self.timer, next) {
                timers.remove(&(at, Timer::Call(id)));
            }
            timers.extend(next.map(|at| (at, Timer::Call(id))));
        }
    }
}

impl Switchboard {
    /// When [`Switchboard::tick`] has something to do next, on the monotonic clock.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Lets everything happen that is due.
    pub(crate) fn tick(&mut self, now: Moment, fx: &mut Effects) {
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= now.mono
        {
            self.timers.pop_first();
            match timer {
                Timer::Call(call) => {
                    if let Some(live) = self.calls.get_mut(&call) {
                        live.timer = None;
                    }
                    // A tick is never refused.
                    let _ = self.apply(call, Event::Tick, now, fx);
                }
                Timer::Token(device) => self.token_is_due(device, now, fx),
                Timer::Forget(call) => {
                    self.past.remove(&call);
                }
            }
        }
    }

    /// [`LiveCall::sync_timer`] of the call, if it is live.
    pub(super) fn sync_call_timer(&mut self, call: CallId) {
        if let Some(live) = self.calls.get_mut(&call) {
            live.sync_timer(call, &mut self.timers);
        }
    }

    pub(super) fn drop_call_timer(&mut self, call: CallId, timer: Option<Duration>) {
        if let Some(at) = timer {
            self.timers.remove(&(at, Timer::Call(call)));
        }
    }

    pub(super) fn set_token_timer(&mut self, device: DeviceId, at: Option<Duration>) {
        if let Some(entry) = self.devices.get_mut(&device) {
            if let Some(old) = std::mem::replace(&mut entry.timer, at) {
                self.timers.remove(&(old, Timer::Token(device)));
            }
            self.timers.extend(at.map(|at| (at, Timer::Token(device))));
        }
    }

    /// Warns of an expiry, or cuts the device; one in a call is cut at the call's end.
    pub(super) fn token_is_due(&mut self, device: DeviceId, now: Moment, fx: &mut Effects) {
        let Some(entry) = self.devices.get_mut(&device) else { return };
        let left = entry.token_expires.saturating_sub(now.mono);
        if left.is_zero() {
            self.set_token_timer(device, None);
            self.cut_if_expired(device, now, fx);
        } else if left <= EXPIRY_WARNING {
            if !entry.warned {
                entry.warned = true;
                fx.sends.push((device, Message::TokenExpiring { left }));
            }
            let expires = entry.token_expires;
            self.set_token_timer(device, Some(expires));
        } else {
            let warning = entry.token_expires.saturating_sub(EXPIRY_WARNING);
            self.set_token_timer(device, Some(warning));
        }
    }

    pub(super) fn cut_expired_devices(&mut self, user: UserId, now: Moment, fx: &mut Effects) {
        for device in self.devices_of(user) {
            self.cut_if_expired(device, now, fx);
        }
    }

    fn cut_if_expired(&mut self, device: DeviceId, now: Moment, fx: &mut Effects) {
        let Some(entry) = self.devices.get(&device) else { return };
        let in_call = self.call_of(entry.user).is_some_and(|call| call.involves(device))
            || self.involves_elsewhere(entry.user, device);
        if entry.token_expires <= now.mono && !in_call {
            self.remove_device(device, false, fx);
            fx.cuts.push((device, Cut::TokenExpired));
        }
    }
}
