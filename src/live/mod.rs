//! The switchboard at work: the pure state behind one short lock, its deadlines served, its effects carried out.
//!
//! Every change that others hear of goes through [`Live::transition`]: lock, read the clock, let the rules decide, queue what they
//! say (history to the journal, messages to the sink) in the order in which the lock was held, unlock, and only
//! then let the messages go out. Nothing here awaits under the lock.

mod announcer;
mod calls;
mod log;
mod nodes;

pub(crate) use calls::{Dial, Reply, Settled};
pub(crate) use nodes::Nodes;

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::domain::call::{CallRecord, Rules};
use crate::domain::ids::{CallId, DeviceId, IdMap, IdSet, NodeId, SessionId, UserId};
use crate::domain::message::Message;
use crate::domain::presence::Roster;
use crate::domain::rate::Rate;
use crate::domain::switchboard::{CallStates, Cut, Effects, Entry, Fault, Joining, Switchboard};
use crate::domain::time::Moment;
use crate::error::{Error, Result};
use crate::store::journal::{Journal, Lag, Ticket};
use crate::telemetry::metrics;
use calls::CallRates;
use nodes::{AskedFor, Count, Echoes, Questions};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Where messages go: the socket layer. Called under the lock: nothing but [`Way::flush`] may take long.
pub(crate) trait Sink: Send + Sync {
    /// The way to a device, as long as it is connected.
    fn way(&self, to: DeviceId) -> Option<Arc<dyn Way>>;
}

/// The way to one device.
pub(crate) trait Way: Send + Sync {
    /// Queues a message.
    fn post(&self, message: Message);

    /// Queues the end of the connection, after what was posted.
    fn cut(&self, why: Cut);

    /// Lets go out what is queued. Called without the lock.
    fn flush(self: Arc<Self>);
}

/// The ways that a transition has used, each once in a row.
struct Touched<'a> {
    sink: &'a dyn Sink,
    ways: Vec<(DeviceId, Arc<dyn Way>)>,
}

impl Touched<'_> {
    fn way(&mut self, to: DeviceId) -> Option<&dyn Way> {
        if self.ways.last().is_none_or(|(last, _)| *last != to) {
            self.ways.push((to, self.sink.way(to)?));
        }
        self.ways.last().map(|(_, way)| &**way)
    }
}

/// Live state, shared by both transports.
pub(crate) struct Live {
    state: Mutex<Switchboard>,
    clock: Clock,
    journal: Journal,
    sink: Arc<dyn Sink>,
    call_rates: CallRates,
    metrics: metrics::Calls,
    deadline_moved: Notify,
    presence_changed: [Notify; 2],
    node: NodeId,
    /// None: this server is alone.
    cluster: Option<Arc<Cluster>>,
    questions: Questions,
    echoes: Echoes,
    counted: OnceLock<Count>,
    /// Nodes that have said what is on them.
    heard_of: Mutex<IdSet<NodeId>>,
    met: Notify,
    /// Calls that turned out to be another node's since the last beat.
    lost: AtomicUsize,
    /// Calls that this node has asked to take over, until it knows what became of that.
    asked_for: Mutex<IdMap<CallId, AskedFor>>,
    /// Calls whose people Redis had in another call, and in which.
    contested: Mutex<IdMap<CallId, CallId>>,
}

impl Live {
    pub(crate) fn new(
        node: NodeId,
        clock: Clock,
        rules: Rules,
        call_rate: Option<Rate>,
        journal: Journal,
        sink: Arc<dyn Sink>,
        metrics: metrics::Calls,
    ) -> Self {
        Self {
            state: Mutex::new(Switchboard::new(rules)),
            clock,
            journal,
            sink,
            call_rates: CallRates::new(call_rate),
            metrics,
            deadline_moved: Notify::new(),
            presence_changed: [Notify::new(), Notify::new()],
            node,
            cluster: None,
            questions: Questions::default(),
            echoes: Echoes::default(),
            counted: OnceLock::new(),
            heard_of: Mutex::default(),
            met: Notify::new(),
            lost: AtomicUsize::new(0),
            asked_for: Mutex::default(),
            contested: Mutex::default(),
        }
    }

    /// This node's way to the others, if there may be others.
    pub(crate) fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// As one of several.
    pub(crate) fn among(mut self, cluster: Arc<Cluster>) -> Self {
        self.lock().share();
        self.cluster = Some(cluster);
        self
    }

    /// One that nobody is in, for tests of what stands on top.
    #[cfg(test)]
    pub(crate) fn idle() -> Self {
        struct Nowhere;
        impl Sink for Nowhere {
            fn way(&self, _: DeviceId) -> Option<Arc<dyn Way>> {
                None
            }
        }
        let rules = Rules { ring_timeout: Duration::from_mins(1), reconnect_grace: Duration::from_secs(15) };
        let calls = metrics::Calls::unread();
        Self::new(NodeId::new(), Clock::machine(), rules, None, Journal::new(1), Arc::new(Nowhere), calls)
    }

    fn lock(&self) -> MutexGuard<'_, Switchboard> {
        // A panic under the lock cannot leave a half-made transition that matters more than going on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `change` happen, and carries out its effects.
    fn transition<T>(&self, change: impl FnOnce(&mut Switchboard, Moment, &mut Effects) -> T) -> T {
        self.carry_out(change, Journal::record).0
    }

    /// As [`Live::transition`], for somebody who waits for the last history row that changed.
    fn transition_with_ticket<T>(
        &self,
        change: impl FnOnce(&mut Switchboard, Moment, &mut Effects) -> T,
    ) -> (T, Option<Ticket>) {
        self.carry_out(change, Journal::record_awaited)
    }

    /// Gives what `record` gave for the last row.
    fn carry_out<T, R>(
        &self,
        change: impl FnOnce(&mut Switchboard, Moment, &mut Effects) -> T,
        record: impl Fn(&Journal, CallRecord, Moment) -> R,
    ) -> (T, Option<R>) {
        let mut effects = Effects::default();
        let mut state = self.lock();
        let now = self.clock.now();
        let deadline = state.next_deadline();
        let result = change(&mut state, now, &mut effects);
        let mut recorded = None;
        for row in &effects.records {
            recorded = Some(record(&self.journal, row.clone(), now));
        }
        self.journal.saw(&effects.gone, now.wall);
        self.tell_nodes(&state, &effects.news, false, now);
        let ways = Vec::with_capacity(effects.sends.len() + effects.cuts.len());
        let mut touched = Touched { sink: &*self.sink, ways };
        for (device, message) in effects.sends {
            match touched.way(device) {
                Some(way) => way.post(message),
                None => self.send_away(&state, device, message),
            }
        }
        self.tell_nodes(&state, &effects.news, true, now);
        for (device, why) in effects.cuts {
            if let Some(way) = touched.way(device) {
                way.cut(why);
            }
        }
        let deadline_moved = state.next_deadline() != deadline;
        let presence_changed = state.presence().has_news();
        drop(state);
        for row in &effects.records {
            log::call(row);
            self.metrics.changed(row);
        }
        if deadline_moved {
            self.deadline_moved.notify_one();
        }
        if presence_changed {
            self.presence_changed.iter().for_each(Notify::notify_one);
        }
        for (_, way) in touched.ways {
            way.flush();
        }
        (result, recorded)
    }

    /// Serves deadlines for as long as it is polled.
    pub(crate) async fn serve_deadlines(&self) {
        loop {
            let next = self.lock().next_deadline();
            let due = async {
                match next {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {
                    // A node that stood still may find that its calls are others' by now.
                    if let Some(cluster) = &self.cluster {
                        cluster.may_judge_soon().await;
                    }
                    self.transition(Switchboard::tick);
                }
                () = self.deadline_moved.notified() => {}
            }
        }
    }

    /// A device enters presence.
    pub(crate) fn join(&self, joining: Joining) -> Result<Entry> {
        log::join(&joining);
        Ok(self.transition(|state, now, fx| state.join(joining, now, fx))?)
    }

    /// A device is gone, on purpose or not.
    pub(crate) fn leave(self: &Arc<Self>, device: DeviceId, deliberate: bool) {
        if self.may_judge() {
            return self.transition(|state, now, fx| state.leave(device, deliberate, now, fx));
        }
        if let Some(departure) = self.transition(|state, _, fx| state.leave_unheard(device, deliberate, fx)) {
            self.when_sure(move |live| live.transition(|state, now, fx| state.hear_of(departure, now, fx)));
        }
    }

    /// The device has a newer token, which expires at `expires` on the monotonic clock.
    pub(crate) fn renew_token(&self, device: DeviceId, expires: Duration) -> Result<()> {
        Ok(self.transition(|state, now, fx| state.renew_token(device, expires, now, fx))?)
    }

    /// The device hears of these users from now on; returns which of them are online.
    pub(crate) fn watch(&self, device: DeviceId, users: Vec<UserId>) -> Result<Vec<(UserId, bool)>> {
        Ok(self.lock().watch(device, users)?)
    }

    /// Cuts every socket of the session and ends its calls.
    pub(crate) fn end_session(self: &Arc<Self>, session: SessionId) {
        self.when_sure(move |live| live.transition(|state, now, fx| state.revoke(session, now, fx)));
    }

    /// Ends every call, and notes when everybody was last seen.
    pub(crate) fn shut_down(&self) {
        self.transition(Switchboard::shut_down);
    }

    /// The sessions that have a joined socket here, or a call.
    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        self.lock().sessions()
    }

    /// Whether the session has a joined socket, or a call that waits for one.
    pub(crate) fn has_session(&self, session: SessionId) -> bool {
        self.lock().has_session(session)
    }

    /// The devices that are joined here.
    pub(crate) fn devices(&self) -> Vec<DeviceId> {
        self.lock().devices()
    }

    pub(crate) fn is_online(&self, user: UserId) -> bool {
        self.lock().is_online(user)
    }

    /// In the order in which they came.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        self.lock().presence().roster()
    }

    pub(crate) fn active_users(&self) -> usize {
        self.lock().online_count()
    }

    pub(crate) fn active_calls(&self) -> usize {
        self.lock().call_count()
    }

    /// The users who are connected to this node, and the calls that live on it.
    pub(crate) fn here(&self) -> (usize, usize) {
        let state = self.lock();
        (state.users_here(), state.call_ids().len())
    }

    pub(crate) fn device_count(&self) -> usize {
        self.lock().device_count()
    }

    /// The calls that live here, by their state.
    pub(crate) fn calls_by_state(&self) -> CallStates {
        self.lock().calls_by_state()
    }

    /// What time it is, to tell later how long something took.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Whether this server is the one that owns the history of its database.
    pub(crate) fn owns_history(&self) -> bool {
        self.journal.owns_history()
    }

    /// How far what is on record lags behind what happened.
    pub(crate) fn history_lag(&self) -> Lag {
        self.journal.lag(self.clock.now())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        use crate::domain::call::Refusal;
        match fault {
            Fault::NotJoined => Self::NotJoined,
            Fault::OtherIdentity => Self::IdentityMismatch,
            Fault::Unavailable => Self::unavailable(),
            Fault::NoSuchCall => Self::NotFound("There is no such call"),
            Fault::SelfCall => Self::SelfCall,
            Fault::TooManyDevices => Self::RateLimited { retry_after: Duration::from_secs(10) },
            Fault::Refused(Refusal::State(obstacle)) => Self::InvalidState(obstacle.sentence()),
            Fault::Refused(Refusal::TooManyHeld) => Self::RateLimited { retry_after: Duration::from_secs(1) },
        }
    }
}
