//! Who is online: sets in, changes out.

use super::ids::{DeviceId, IdMap, IdSet, UserId};
use super::message::Party;
use super::username::Username;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// One online user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnlineUser {
    pub(crate) id: UserId,
    pub(crate) username: Username,
    /// The newest of the user's devices.
    pub(crate) device: DeviceId,
}

/// Something that many are told. Its wire form is made at most once.
#[derive(Debug, Default)]
pub(crate) struct Broadcast<T> {
    content: T,
    encoded: OnceLock<Box<RawValue>>,
}

impl<T: Serialize> Broadcast<T> {
    fn new(content: T) -> Arc<Self> {
        Arc::new(Self { content, encoded: OnceLock::new() })
    }

    /// The wire form.
    pub(crate) fn encoded(&self) -> &RawValue {
        self.encoded.get_or_init(|| {
            // Ids and names always encode.
            to_raw_value(&self.content).unwrap_or_else(|_| RawValue::NULL.to_owned())
        })
    }
}

impl<T> Deref for Broadcast<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

impl<T: PartialEq> PartialEq for Broadcast<T> {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

/// The list of online users at one instant, in the order in which they came.
pub(crate) type Roster = Broadcast<Vec<OnlineUser>>;

impl Serialize for OnlineUser {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("OnlineUser", 4)?;
        row.serialize_field("id", &self.id)?;
        row.serialize_field("username", &self.username)?;
        row.serialize_field("isOnline", &true)?;
        row.serialize_field("socketId", &self.device)?;
        row.end()
    }
}

/// What changed since the last delta.
pub(crate) type RosterDelta = Broadcast<Changes>;

/// Users who came, and users who went.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Changes {
    pub(crate) online: Vec<Arrival>,
    pub(crate) offline: Vec<UserId>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.online.is_empty() && self.offline.is_empty()
    }
}

/// A user who came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival(pub(crate) Party);

impl Serialize for Arrival {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Arrival", 3)?;
        row.serialize_field("id", &self.0.id)?;
        row.serialize_field("username", &self.0.username)?;
        row.serialize_field("isOnline", &true)?;
        row.end()
    }
}

/// Newcomers that get a delta of their own at a time.
const SINGLE_DELTAS: usize = 32;

/// How a device wants to hear of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PresenceMode {
    /// The whole list whenever it changed.
    #[default]
    Full,
    /// Only what changed.
    Delta,
    /// Only what changed about watched users.
    None,
}

/// The set of online users, those who listen, and what they have not heard yet.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    arrivals: u64,
    online: BTreeMap<u64, OnlineUser>,
    arrival_of: IdMap<UserId, u64>,
    roster: Option<Arc<Roster>>,
    full: IdSet<DeviceId>,
    delta: IdSet<DeviceId>,
    /// By ids as clients sent them.
    watchers: HashMap<UserId, IdSet<DeviceId>>,
    watching: IdMap<DeviceId, Vec<UserId>>,
    list_changed: bool,
    /// Users whose state changed since the last deltas.
    changed: IdMap<UserId, Change>,
    changes: u64,
    /// Devices that began to listen since the last deltas, and after which change: they know what was before.
    fresh: IdMap<DeviceId, u64>,
}

#[derive(Debug)]
struct Change {
    /// The state last told: whether online.
    told: bool,
    /// The number of the user's latest change.
    latest: u64,
}

impl Presence {
    /// The user is online with `device` as newest.
    pub(crate) fn set_online(&mut self, user: Party, device: DeviceId) {
        let row = OnlineUser { id: user.id, username: user.username, device };
        let known = self.arrival_of.get(&user.id).and_then(|arrival| self.online.get(arrival));
        if known == Some(&row) {
            return;
        }
        let arrival = if let Some(arrival) = self.arrival_of.get(&user.id) {
            *arrival
        } else {
            self.note_change(user.id, false);
            self.arrivals += 1;
            self.arrival_of.insert(user.id, self.arrivals);
            self.arrivals
        };
        self.online.insert(arrival, row);
        self.list_was_changed();
    }

    /// The user's last device is gone.
    pub(crate) fn set_offline(&mut self, user: UserId) {
        if let Some(arrival) = self.arrival_of.remove(&user) {
            self.online.remove(&arrival);
            self.note_change(user, true);
            self.list_was_changed();
        }
    }

    fn note_change(&mut self, user: UserId, was_online: bool) {
        self.changes += 1;
        self.changed.entry(user).or_insert(Change { told: was_online, latest: 0 }).latest = self.changes;
    }

    fn list_was_changed(&mut self) {
        self.roster = None;
        self.list_changed = true;
    }

    pub(crate) fn is_online(&self, user: UserId) -> bool {
        self.arrival_of.contains_key(&user)
    }

    pub(crate) fn count(&self) -> usize {
        self.online.len()
    }

    /// The list now; the same allocation until it changes.
    pub(crate) fn roster(&mut self) -> Arc<Roster> {
        let online = &self.online;
        Arc::clone(self.roster.get_or_insert_with(|| Broadcast::new(online.values().cloned().collect())))
    }

    /// The device listens in `mode` from now on.
    pub(crate) fn listen(&mut self, device: DeviceId, mode: PresenceMode) {
        match mode {
            PresenceMode::Full => {
                self.forget(device);
                self.full.insert(device);
            }
            PresenceMode::Delta => {
                self.forget(device);
                self.delta.insert(device);
                self.fresh.insert(device, self.changes);
            }
            PresenceMode::None => {
                self.full.remove(&device);
                self.delta.remove(&device);
            }
        }
    }

    /// Whether the device hears of everybody.
    pub(crate) fn hears_all(&self, device: DeviceId) -> bool {
        self.full.contains(&device) || self.delta.contains(&device)
    }

    /// The device listens no more.
    pub(crate) fn forget(&mut self, device: DeviceId) {
        self.full.remove(&device);
        self.delta.remove(&device);
        self.fresh.remove(&device);
        self.unwatch(device);
    }

    /// Replaces the set of users the device hears of. Who hears of everybody anyway needs none.
    pub(crate) fn watch(&mut self, device: DeviceId, users: Vec<UserId>) {
        self.unwatch(device);
        if self.full.contains(&device) || self.delta.contains(&device) {
            return;
        }
        for user in &users {
            self.watchers.entry(*user).or_default().insert(device);
        }
        self.watching.insert(device, users);
        self.fresh.insert(device, self.changes);
    }

    fn unwatch(&mut self, device: DeviceId) {
        for user in self.watching.remove(&device).unwrap_or_default() {
            if let Some(watchers) = self.watchers.get_mut(&user) {
                watchers.remove(&device);
                if watchers.is_empty() {
                    self.watchers.remove(&user);
                }
            }
        }
    }

    /// Whether somebody has something to hear.
    pub(crate) fn has_news(&self) -> bool {
        self.list_changed || !self.changed.is_empty()
    }

    /// Who is to get the list, if it changed since the last time.
    pub(crate) fn take_list(&mut self) -> Option<Vec<DeviceId>> {
        std::mem::take(&mut self.list_changed).then(|| self.full.iter().copied().collect())
    }

    /// What changed since the last deltas, and for whom. A user who came and went in between is no news, but to those
    /// who began to listen in between.
    pub(crate) fn take_deltas(&mut self) -> Vec<(Arc<RosterDelta>, Vec<DeviceId>)> {
        let (changed, mut fresh) = (std::mem::take(&mut self.changed), std::mem::take(&mut self.fresh));
        let is_storm = fresh.len() > SINGLE_DELTAS;
        if is_storm {
            // Too many to tell each only what it does not know: all are told everything that happened, which does no harm.
            fresh.clear();
        }
        let mut all = Changes::default();
        let mut single: IdMap<DeviceId, Changes> = IdMap::default();
        for (user, change) in changed {
            let now = self.arrival_of.get(&user).and_then(|arrival| self.online.get(arrival));
            let add = |delta: &mut Changes| match now {
                Some(row) => {
                    delta.online.push(Arrival(Party { id: row.id, username: row.username.clone() }));
                }
                None => delta.offline.push(user),
            };
            let is_news = is_storm || now.is_some() != change.told;
            if is_news {
                add(&mut all);
            }
            let watchers = self.watchers.get(&user).into_iter().flatten();
            let newcomers = fresh.keys().filter(|device| self.delta.contains(*device));
            for device in watchers.chain(newcomers) {
                if fresh.get(device).map_or(is_news, |since| change.latest > *since) {
                    add(single.entry(*device).or_default());
                }
            }
        }
        let mut deltas: Vec<_> =
            single.into_iter().map(|(device, delta)| (Broadcast::new(delta), vec![device])).collect();
        let established: Vec<_> =
            self.delta.iter().filter(|device| !fresh.contains_key(device)).copied().collect();
        if !all.is_empty() && !established.is_empty() {
            deltas.push((Broadcast::new(all), established));
        }
        deltas
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::party;

    #[test]
    fn a_user_has_one_row_with_the_newest_device() {
        let (mut presence, ann) = (Presence::default(), party("ann"));
        let (first, second) = (DeviceId::new(), DeviceId::new());
        presence.set_online(ann.clone(), first);
        presence.set_online(ann.clone(), second);
        let roster = presence.roster();
        assert_eq!(**roster, [OnlineUser { id: ann.id, username: ann.username, device: second }]);
    }

    #[test]
    fn the_list_goes_to_full_listeners_once_a_change() {
        let (mut presence, ann, listener) = (Presence::default(), party("ann"), DeviceId::new());
        presence.listen(listener, PresenceMode::Full);
        assert!(presence.take_list().is_none());
        presence.set_online(ann, DeviceId::new());
        assert_eq!(presence.take_list(), Some(vec![listener]));
        assert_eq!(presence.roster().len(), 1);
        assert!(presence.take_list().is_none());
    }

    #[test]
    fn a_user_who_came_and_went_between_two_deltas_is_no_news() {
        let (mut presence, ann, bob) = (Presence::default(), party("ann"), party("bob"));
        presence.listen(DeviceId::new(), PresenceMode::Delta);
        presence.take_deltas();
        presence.set_online(ann.clone(), DeviceId::new());
        presence.set_offline(ann.id);
        presence.set_online(bob.clone(), DeviceId::new());
        let deltas = presence.take_deltas();
        assert_eq!(**deltas[0].0, Changes { online: vec![Arrival(bob.clone())], offline: vec![] });
        presence.set_offline(bob.id);
        assert_eq!(**presence.take_deltas()[0].0, Changes { online: vec![], offline: vec![bob.id] });
    }

    #[test]
    fn who_begins_to_listen_hears_what_changed_since_and_not_what_they_saw() {
        let (mut presence, ann, bob) = (Presence::default(), party("ann"), party("bob"));
        presence.set_online(ann.clone(), DeviceId::new());
        presence.set_online(bob.clone(), DeviceId::new());
        let (listener, watcher) = (DeviceId::new(), DeviceId::new());
        presence.listen(listener, PresenceMode::Delta);
        presence.watch(watcher, vec![ann.id, bob.id]);
        presence.set_offline(ann.id);
        let mut deltas = presence.take_deltas();
        deltas.sort_by_key(|(_, hearers)| hearers[0] != listener);
        let ann_went = Changes { online: vec![], offline: vec![ann.id] };
        assert_eq!(deltas.len(), 2);
        assert_eq!(
            (&**deltas[0].0, &deltas[0].1),
            (&ann_went, &vec![listener]),
            "and nothing of bob, who was there"
        );
        assert_eq!((&**deltas[1].0, &deltas[1].1), (&ann_went, &vec![watcher]));
    }

    #[test]
    fn a_watcher_hears_only_of_the_watched() {
        let (mut presence, ann, bob, watcher) =
            (Presence::default(), party("ann"), party("bob"), DeviceId::new());
        presence.listen(watcher, PresenceMode::None);
        presence.watch(watcher, vec![ann.id]);
        presence.set_online(ann.clone(), DeviceId::new());
        presence.set_online(bob.clone(), DeviceId::new());
        let deltas = presence.take_deltas();
        assert_eq!(deltas.len(), 1);
        assert_eq!(
            (deltas[0].0.online.clone(), deltas[0].1.clone()),
            (vec![Arrival(ann.clone())], vec![watcher])
        );
        presence.watch(watcher, vec![]);
        presence.set_offline(ann.id);
        assert!(presence.take_deltas().is_empty());
    }

    #[test]
    fn a_device_that_left_hears_nothing() {
        let (mut presence, listener) = (Presence::default(), DeviceId::new());
        presence.listen(listener, PresenceMode::Delta);
        presence.forget(listener);
        presence.set_online(party("ann"), DeviceId::new());
        assert!(presence.take_deltas().is_empty());
        assert_eq!(presence.take_list(), Some(vec![]));
    }
}
