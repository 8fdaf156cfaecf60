//! Several servers as one. Each is a node; what they tell each other goes through Redis, and what the next has to know if one of them
//! dies is kept there.
//!
//! A call lives on one node, its home: the one on which it was dialled, or the one that took it over. There the same switchboard
//! judges it that serves a server which is alone, in memory, under one lock. Redis makes sure that nobody is in two calls (a call
//! is claimed for both of its people at once before it rings) and that a call has one home (each change is a compare-and-set on
//! it, and so is a take-over). What a device on another node wants of a call is sent to the call's home, and answered from there.
//!
//! Each node has an inbox, a stream. Letters of one node to another carry numbers: one that comes twice is dropped, and one that is
//! missing makes the receiver ask for all that the sender has. So Redis may restart, empty, or be away for a while: what is local
//! goes on, the rest goes on when it is back.

mod doubt;
mod incoming;
mod keys;
mod letter;
mod members;
mod outgoing;
mod redis_link;

pub(crate) use doubt::Pulse;
pub(crate) use incoming::Incoming;
pub(crate) use letter::{Ask, Counted, Letter, News, Told};
pub(crate) use members::Members;
pub(crate) use outgoing::{Adoption, Claimed, Outgoing};
pub(crate) use redis_link::is_address;

use crate::clock::Clock;
use crate::domain::call::Call;
use crate::domain::ids::{CallId, IdMap, IdSet, NodeId};
use crate::domain::time::Moment;
use doubt::Doubt;
use members::ALIVE;
use outgoing::Step;
use redis::aio::MultiplexedConnection;
use redis_link::{Link, Script};
use secrecy::SecretString;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

/// Steps that may wait while Redis is away. What comes after is lost, and made up for when it is back.
const CAPACITY: usize = 20_000;
/// Of their letters.
const CAPACITY_BYTES: usize = 64 * 1024 * 1024;
/// News that may wait to be heeded.
const NEWS: usize = 1024;
/// How long after Redis was away it is clear which calls live.
const SETTLED: Duration = Duration::from_secs(15);
/// How long a node that goes may still write what happened on it.
const LEAVING: Duration = Duration::from_mins(1);
/// Nodes that go within this time go together.
const TOGETHER: Duration = Duration::from_millis(300);
/// How long the others may take to take over the calls of a node that goes.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long the inbox of a node that is gone stays, for others to write to who do not know yet.
const INBOX_STAYS: Duration = Duration::from_mins(1);

/// This node's way to the others.
pub(crate) struct Cluster {
    me: NodeId,
    link: Link,
    desk: Mutex<Desk>,
    work: Notify,
    /// Redis answered last time.
    up: AtomicBool,
    /// Something was lost on the way out, or Redis was away.
    behind: AtomicBool,
    unsettled: Mutex<Option<Instant>>,
    /// Steps that are on their way.
    sending: AtomicUsize,
    leaving: AtomicBool,
    doubt: Arc<Doubt>,
    pub(crate) counts: Counts,
}

/// What has gone through.
#[derive(Default)]
pub(crate) struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
    missed: AtomicU64,
    adopted: AtomicU64,
}

impl Counts {
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// A call was taken over.
    pub(crate) fn has_adopted(&self) {
        self.adopted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn adopted(&self) -> u64 {
        self.adopted.load(Ordering::Relaxed)
    }
}

/// What waits to go out.
#[derive(Default)]
struct Desk {
    steps: VecDeque<Step>,
    /// The number of the last letter to each node.
    numbers: IdMap<NodeId, u64>,
    peers: IdSet<NodeId>,
    /// Those that went on purpose: what they say last makes them no peers again.
    departed: IdSet<NodeId>,
    /// Of the letters among the steps.
    bytes: usize,
}

/// What has to run for as long as the node lives.
pub(crate) struct Tasks {
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    pub(crate) members: Members,
    pub(crate) pulse: Pulse,
    pub(crate) news: mpsc::Receiver<News>,
}

impl Cluster {
    /// Enters the cluster at `url`.
    pub(crate) async fn enter(
        url: &SecretString,
        me: NodeId,
        clock: Clock,
    ) -> Result<(Arc<Self>, Tasks), redis::RedisError> {
        let link = Link::to(url)?;
        let mut connection = link.connect().await?;
        let keys = [keys::NODES.into(), keys::node(me), keys::inbox(me)];
        let arguments = [keys::PREFIX.into(), me.to_string(), ALIVE.as_millis().to_string()];
        let swept: u64 = link.run(&mut connection, Script::Enter, &keys, &arguments).await?;
        if swept > 0 {
            tracing::info!(nodes = swept, "what dead nodes left in Redis is swept away");
        }
        let cluster = Arc::new(Self {
            me,
            link,
            desk: Mutex::default(),
            work: Notify::new(),
            up: AtomicBool::new(true),
            behind: AtomicBool::new(false),
            unsettled: Mutex::default(),
            sending: AtomicUsize::new(0),
            leaving: AtomicBool::new(false),
            doubt: Arc::default(),
            counts: Counts::default(),
        });
        let (heard, news) = mpsc::channel(NEWS);
        let tasks = Tasks {
            outgoing: Outgoing::new(Arc::clone(&cluster), heard.clone(), clock),
            incoming: Incoming::new(Arc::clone(&cluster), heard.clone()),
            members: Members::new(Arc::clone(&cluster), heard, connection),
            pulse: Pulse::of(&cluster.doubt),
            news,
        };
        Ok((cluster, tasks))
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Every change under the lock is complete in itself.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether Redis answers, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Redis answers again, or does not any more.
    fn set_up(&self, up: bool) {
        let was = self.up.swap(up, Ordering::Relaxed);
        if !up {
            *self.unsettled() = Some(Instant::now());
        }
        if was && !up {
            self.behind.store(true, Ordering::Relaxed);
            tracing::warn!("Redis is away: what is on this node goes on, calls with others wait");
        } else if up && !was {
            tracing::info!("Redis answers again");
        }
    }

    /// Whether the others take this node for alive and the calls that are here are its own, as far as it can know: one that was frozen
    /// for long may have been taken for dead, and finds out at its next beat.
    pub(crate) fn may_judge(&self) -> bool {
        self.doubt.is_over()
    }

    /// Waits until it may.
    pub(crate) async fn may_judge_soon(&self) {
        while !self.may_judge() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The other nodes that are alive, as far as is known.
    pub(crate) fn peers(&self) -> IdSet<NodeId> {
        self.desk().peers.clone()
    }

    /// What waits to go out.
    pub(crate) fn backlog(&self) -> usize {
        self.desk().steps.len() + self.sending.load(Ordering::Relaxed)
    }

    /// From now on the node hears of everything, and first of what is here.
    pub(crate) fn greet(&self, node: NodeId, here: Letter) {
        if node != self.me {
            self.desk().peers.insert(node);
            self.post(node, here);
        }
    }

    /// Whether the node has been greeted, or has gone on purpose.
    pub(crate) fn knows(&self, node: NodeId) -> bool {
        let desk = self.desk();
        desk.peers.contains(&node) || desk.departed.contains(&node)
    }

    /// Whether the node reads its inbox, as far as is known.
    fn is_read_by(&self, node: NodeId) -> bool {
        node == self.me || self.desk().peers.contains(&node)
    }

    /// The node goes on purpose.
    pub(crate) fn see_off(&self, node: NodeId) {
        self.desk().departed.insert(node);
    }

    /// Something was lost on the way out, or is not known to have arrived.
    pub(crate) fn fall_behind(&self) {
        self.behind.store(true, Ordering::Relaxed);
    }

    /// It is clear which calls are this node's, though it was taken for dead.
    pub(crate) fn is_settled(&self) {
        self.take(Step::Settled);
    }

    /// The node hears of nothing any more.
    pub(crate) fn forget(&self, node: NodeId) {
        let mut desk = self.desk();
        desk.peers.remove(&node);
        desk.steps.retain(|step| !matches!(step, Step::Letter { to, .. } if *to == node));
        desk.bytes = desk.steps.iter().map(Step::size).sum();
    }

    /// Tells one node.
    pub(crate) fn post(&self, to: NodeId, letter: Letter) {
        let mut desk = self.desk();
        self.put_letter(&mut desk, to, Arc::new(letter));
        drop(desk);
        self.work.notify_one();
    }

    /// Tells every other node.
    pub(crate) fn broadcast(&self, letter: Letter) {
        let letter = Arc::new(letter);
        let mut desk = self.desk();
        let peers: Vec<_> = desk.peers.iter().copied().collect();
        for peer in peers {
            self.put_letter(&mut desk, peer, Arc::clone(&letter));
        }
        drop(desk);
        self.work.notify_one();
    }

    fn put_letter(&self, desk: &mut Desk, to: NodeId, letter: Arc<Letter>) {
        let number = desk.numbers.entry(to).or_default();
        // Counted even if there is no room for it: the receiver finds out.
        *number += 1;
        let number = *number;
        self.put(desk, Step::Letter { to, number, letter });
    }

    fn put(&self, desk: &mut Desk, step: Step) {
        let has_room = desk.steps.len() < CAPACITY && desk.bytes + step.size() <= CAPACITY_BYTES;
        // The end of a call is told again by nobody.
        if has_room || matches!(step, Step::Over { .. }) {
            desk.bytes += step.size();
            desk.steps.push_back(step);
        } else {
            self.behind.store(true, Ordering::Relaxed);
        }
    }

    fn take(&self, step: Step) {
        self.put(&mut self.desk(), step);
        self.work.notify_one();
    }

    /// Waits until what was said so far is where the others read it, unless Redis is away.
    pub(crate) async fn flushed(&self) {
        let (flushed, done) = oneshot::channel();
        self.take(Step::Mark { flushed });
        // Dropped, if Redis does not answer.
        let _ = done.await;
    }

    /// Tells this node itself, in its turn among what the others tell it.
    pub(crate) fn echo(&self, number: u64) {
        self.post(self.me, Letter::Echo(number));
    }

    /// Claims a call for its two people. Nobody answers if Redis is away.
    ///
    /// `again`: it was claimed before.
    pub(crate) fn claim(&self, call: Call, taken: Moment, again: bool) -> oneshot::Receiver<Claimed> {
        let (answer, answered) = oneshot::channel();
        self.take(Step::Claim { call: Box::new(call), taken, again, answer });
        answered
    }

    /// The call stands so from now on.
    pub(crate) fn keep(&self, call: Call, taken: Moment) {
        self.take(Step::Keep { call: Box::new(call), taken });
    }

    /// The call is over.
    pub(crate) fn over(&self, call: CallId) {
        self.take(Step::Over { call });
    }

    /// Takes over a call from a node that is gone, unless somebody else was faster.
    pub(crate) fn adopt(&self, call: CallId, from: NodeId) -> oneshot::Receiver<Adoption> {
        let (answer, answered) = oneshot::channel();
        self.take(Step::Adopt { call, from, answer });
        answered
    }

    /// This node goes on purpose. Whether there are others that stay.
    pub(crate) async fn begin_to_leave(&self) -> Result<bool, redis::RedisError> {
        self.leaving.store(true, Ordering::Relaxed);
        let mut connection = self.link.connect().await?;
        let mut mark = redis::cmd("SET");
        mark.arg(keys::leaving(self.me)).arg(1).arg("EX").arg(LEAVING.as_secs());
        mark.exec_async(&mut connection).await?;
        // Who goes at the same time has said so by then.
        tokio::time::sleep(TOGETHER).await;
        let arguments = [keys::PREFIX.into(), self.me.to_string()];
        let others: u64 =
            self.link.run(&mut connection, Script::Others, &[keys::NODES.into()], &arguments).await?;
        Ok(others > 0)
    }

    /// Tells the others to take over the calls of this node, and returns those that nobody took within `limit`.
    pub(crate) async fn leave(&self, limit: Duration) -> Result<Vec<CallId>, redis::RedisError> {
        self.broadcast(Letter::Leaving);
        self.flushed().await;
        let mut connection = self.link.connect().await?;
        self.forget_me(&mut connection).await?;
        let deadline = Instant::now() + limit.min(PATIENCE);
        loop {
            let left = self.link.members(&keys::calls(self.me)).await?;
            if left.is_empty() || Instant::now() >= deadline {
                return Ok(left);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn forget_me(&self, connection: &mut MultiplexedConnection) -> redis::RedisResult<()> {
        let me = self.me;
        let keys = [keys::NODES.into(), keys::node(me), keys::calls(me), keys::inbox(me)];
        let arguments = [me.to_string(), INBOX_STAYS.as_secs().to_string()];
        self.link.run::<u64>(connection, Script::Leave, &keys, &arguments).await.map(drop)
    }

    /// Nothing is on this node any more.
    pub(crate) async fn say_goodbye(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        let goodbye = async {
            let mut connection = self.link.connect().await?;
            self.forget_me(&mut connection).await
        };
        if let Err(error) = goodbye.await {
            tracing::debug!(%error, "the others find out by themselves that this node is gone");
        }
    }

    /// The calls that Redis has for this node.
    pub(crate) async fn calls_of_mine(&self) -> Result<Vec<CallId>, redis::RedisError> {
        self.link.members(&keys::calls(self.me)).await
    }

    /// Of calls and the nodes that wrote them down last, those that nobody can write to their end; none: nobody can tell now.
    pub(crate) async fn dead_among(
        &self,
        calls: &[(CallId, NodeId)],
    ) -> Result<Option<Vec<CallId>>, redis::RedisError> {
        if calls.is_empty() {
            return Ok(Some(Vec::new()));
        }
        // After Redis was away, nodes have to claim their calls again first.
        if !self.is_up() || self.unsettled().is_some_and(|since| since.elapsed() < SETTLED) {
            return Ok(None);
        }
        let mut connection = self.link.connect().await?;
        let pairs = calls.iter().flat_map(|(call, node)| [call.to_string(), node.to_string()]);
        let arguments: Vec<_> =
            [keys::PREFIX.to_owned(), self.me.to_string()].into_iter().chain(pairs).collect();
        let dead: Option<Vec<String>> =
            self.link.run(&mut connection, Script::Dead, &[keys::NODES.into()], &arguments).await?;
        Ok(dead.map(|dead| dead.iter().filter_map(|id| redis_link::id_of(id)).collect()))
    }

    /// When Redis was found to be away, or to have forgotten this node, last.
    fn unsettled(&self) -> MutexGuard<'_, Option<Instant>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
