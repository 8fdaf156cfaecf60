//! The only way out to a client, and in the order in which things happened.
//!
//! A message is queued on its device's line while the lock of the live state is held, and goes out afterwards; one
//! sender at a time empties a line, so the order of the lock is the order on the wire. When socketioxide's buffer is
//! full the rest waits here; a client that lets too much pile up has stopped reading and is cut.

use super::outbound::{self, Failure, Reply};
use crate::domain::ids::{DeviceId, IdMap};
use crate::domain::message::Message;
use crate::domain::presence::OnlineUser;
use crate::domain::switchboard::Cut;
use crate::live::{Sink, Way};
use crate::server;
use socketioxide::socket::Socket;
use socketioxide::{SendError, SocketError, TransportType};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

/// What may wait for a slow reader, in bytes.
const WAITING_LIMIT: usize = 4 * 1024 * 1024;
/// socketioxide does not tell when its buffer has room again, so the line looks again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How often a socket may be found not yet connected before it counts as gone.
const PATIENCE: u32 = 200;
/// A last packet gets this long to leave before the connection is closed under a client that stays.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Something for one client.
#[derive(Debug)]
pub(super) enum Item {
    Message(Message),
    Ack(i64, Reply),
    /// A failure nobody asked an acknowledgement for.
    EventError {
        event: String,
        failure: Failure,
        call: Option<String>,
    },
    JoinError(Failure),
    Pong,
    /// The end: a disconnect packet, then the connection.
    Cut(&'static str),
}

impl Item {
    /// About what it holds in memory.
    fn size(&self) -> usize {
        let more = match self {
            // A list that nobody else shares any more, perhaps.
            Self::Message(Message::Joined { online, .. }) => online.len() * size_of::<OnlineUser>(),
            Self::Message(message) => message.media_size(),
            Self::Ack(..) | Self::EventError { .. } | Self::JoinError(_) => 128,
            Self::Pong | Self::Cut(_) => 0,
        };
        size_of::<Self>() + more
    }
}

/// One client's way out.
pub(super) struct Line {
    device: DeviceId,
    socket: Weak<Socket>,
    tcp: server::Connection,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// The size of the items.
    bytes: usize,
    /// The client let too much pile up.
    overflowed: bool,
    /// Somebody is sending; it will find what is added meanwhile.
    busy: bool,
    /// Something has gone out, so a socket that is not connected is gone rather than new.
    opened: bool,
    impatience: u32,
    /// Events of this client that are being handled: their answers go out before its end does.
    handling: u32,
    /// Holdings: nothing goes out for now.
    holdings: u32,
}

/// While it lives, nothing goes out.
pub(super) struct Holding(Arc<Line>);

impl Drop for Holding {
    fn drop(&mut self) {
        {
            let mut queue = self.0.queue();
            queue.holdings = queue.holdings.saturating_sub(1);
        }
        self.0.let_out();
    }
}

/// While it lives, the line is not cut.
pub(super) struct Handling(Arc<Line>);

impl Drop for Handling {
    fn drop(&mut self) {
        let something_waits = {
            let mut queue = self.0.queue();
            queue.handling = queue.handling.saturating_sub(1);
            queue.handling == 0 && !queue.items.is_empty()
        };
        if something_waits {
            self.0.let_out();
        }
    }
}

impl Queue {
    /// What goes out next, by the caller, who is the only one to send until there is nothing.
    fn take(&mut self) -> Option<Item> {
        let (may_go, may_end) = (self.holdings == 0, self.handling == 0);
        let item = self.items.pop_front_if(|item| may_go && (may_end || !matches!(item, Item::Cut(_))));
        self.bytes = self.bytes.saturating_sub(item.as_ref().map_or(0, Item::size));
        self.busy = item.is_some();
        item
    }
}

/// A client over its rate that does not read either is told once, not for each event.
fn is_refusal_of_rate(item: &Item) -> bool {
    matches!(item, Item::EventError { failure, .. } if failure.is_rate_limited())
}

/// What became of an attempt to send.
enum Sent {
    Yes,
    NoRoom(Item),
    Gone,
}

impl Line {
    pub(super) fn new(device: DeviceId, socket: &Arc<Socket>, tcp: server::Connection) -> Arc<Self> {
        Arc::new(Self { device, socket: Arc::downgrade(socket), tcp, queue: Mutex::default() })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends after what is queued already.
    pub(super) fn send(self: &Arc<Self>, item: Item) {
        self.push(item);
        self.let_out();
    }

    /// An event of this client is being handled: what it causes may be the client's own end, and comes after its answer.
    pub(super) fn begin_handling(self: &Arc<Self>) -> Handling {
        self.queue().handling += 1;
        Handling(Arc::clone(self))
    }

    /// What is sent from now on waits.
    pub(super) fn hold(self: &Arc<Self>) -> Holding {
        self.queue().holdings += 1;
        Holding(Arc::clone(self))
    }

    /// Whether the socket is still connected.
    pub(super) fn is_alive(&self) -> bool {
        self.socket.upgrade().is_some_and(|socket| socket.connected())
    }

    /// Counts a refused join or CONNECT of the connection.
    pub(super) fn count_refusal(&self) -> u32 {
        self.tcp.count_refusal()
    }

    fn push(&self, item: Item) {
        let mut queue = self.queue();
        let repeats = is_refusal_of_rate(&item) && queue.items.back().is_some_and(is_refusal_of_rate);
        if queue.overflowed || repeats {
            return;
        }
        if matches!(item, Item::Message(Message::UsersUpdated(_))) {
            let replaced = |older: &Item| matches!(older, Item::Message(Message::UsersUpdated(_)));
            let freed: usize = queue.items.iter().filter(|older| replaced(older)).map(Item::size).sum();
            queue.bytes = queue.bytes.saturating_sub(freed);
            queue.items.retain(|older| !replaced(older));
        }
        queue.bytes += item.size();
        // Nothing follows the end.
        let end = queue.items.pop_back_if(|last| matches!(last, Item::Cut(_)));
        queue.items.push_back(item);
        queue.items.extend(end);
        if queue.bytes > WAITING_LIMIT {
            queue.items.clear();
            queue.overflowed = true;
        }
    }

    /// Closes whatever carries the socket, at once.
    fn hang_up(&self) {
        match self.socket.upgrade() {
            Some(socket) => self.tcp.end_session(socket.id.as_str()),
            None => self.tcp.close(),
        }
    }

    /// Hears the client a little later: it sends more than it may.
    pub(super) fn hold_back(&self) {
        if let Some(socket) = self.socket.upgrade() {
            self.tcp.hold_back(socket.id.as_str());
        }
    }

    /// Closes whatever carries the session, after a while.
    pub(super) fn hang_up_after(&self, sid: &str, delay: Duration) {
        self.tcp.end_session_after(sid, delay);
    }

    /// Sends what is queued, unless somebody does already.
    fn let_out(self: &Arc<Self>) {
        let first = {
            let mut queue = self.queue();
            if queue.overflowed {
                drop(queue);
                tracing::warn!(device = %self.device, "client does not read; closing its connection");
                return self.hang_up();
            }
            if queue.busy { None } else { queue.take() }
        };
        if !self.send_from(first) {
            let line = Arc::clone(self);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    let first = line.queue().take();
                    if line.send_from(first) {
                        return;
                    }
                }
            });
        }
    }

    /// Sends `item`, which was taken from the queue, and what follows it. False: there is no room, and the line stays busy.
    fn send_from(&self, mut item: Option<Item>) -> bool {
        while let Some(next) = item {
            let sent = self.attempt(next);
            let mut queue = self.queue();
            item = match sent {
                Sent::Yes => {
                    (queue.opened, queue.impatience) = (true, 0);
                    queue.take()
                }
                Sent::NoRoom(item) => {
                    queue.bytes += item.size();
                    queue.items.push_front(item);
                    return false;
                }
                Sent::Gone => {
                    queue.items.clear();
                    (queue.bytes, queue.busy) = (0, false);
                    None
                }
            };
        }
        true
    }

    fn attempt(&self, item: Item) -> Sent {
        let Some(socket) = self.socket.upgrade() else { return Sent::Gone };
        let result = match &item {
            Item::Message(message) => outbound::emit(&socket, message),
            Item::Ack(id, reply) => outbound::acknowledge(&socket, *id, reply),
            Item::EventError { event, failure, call } => {
                outbound::emit_event_error(&socket, event, failure, call.as_deref())
            }
            Item::JoinError(failure) => outbound::emit_join_error(&socket, failure),
            Item::Pong => outbound::emit_pong(&socket),
            Item::Cut(_) => Arc::clone(&socket).disconnect().map_err(SendError::Socket),
        };
        match (result, item) {
            (Ok(()), Item::Cut(why)) => {
                tracing::info!(device = %self.device, why, "socket disconnected by the server");
                self.tcp.end_session_after(socket.id.as_str(), LAST_WORDS);
                Sent::Gone
            }
            (Ok(()), _) => Sent::Yes,
            (Err(SendError::Socket(SocketError::InternalChannelFull)), item) => Sent::NoRoom(item),
            (Err(SendError::Socket(SocketError::Closed)), item) => self.not_connected(item),
            (Err(SendError::Serialize(error)), _) => {
                tracing::error!(device = %self.device, %error, "cannot encode a message");
                Sent::Yes
            }
        }
    }

    /// socketioxide counts a socket as connected a moment after the client may have been told so.
    fn not_connected(&self, item: Item) -> Sent {
        let mut queue = self.queue();
        queue.impatience += 1;
        if queue.opened || queue.impatience > PATIENCE { Sent::Gone } else { Sent::NoRoom(item) }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("device", &self.device).finish_non_exhaustive()
    }
}

/// The lines of every connected socket.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    lines: RwLock<IdMap<DeviceId, Arc<Line>>>,
}

impl Outbox {
    pub(super) fn add(&self, line: Arc<Line>) {
        self.lines.write().unwrap_or_else(PoisonError::into_inner).insert(line.device, line);
    }

    pub(super) fn remove(&self, device: DeviceId) {
        self.lines.write().unwrap_or_else(PoisonError::into_inner).remove(&device);
    }

    pub(super) fn has(&self, device: DeviceId) -> bool {
        self.line(device).is_some()
    }

    /// The devices whose socket is not connected.
    pub(super) fn dead(&self) -> Vec<DeviceId> {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        lines.values().filter(|line| !line.is_alive()).map(|line| line.device).collect()
    }

    /// The connected sockets, by WebSocket and by long-polling.
    pub(crate) fn transports(&self) -> [usize; 2] {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        let sockets = lines.values().filter_map(|line| line.socket.upgrade());
        let (mut websocket, mut polling) = (0, 0);
        for socket in sockets.filter(|socket| socket.connected()) {
            match socket.transport_type() {
                TransportType::Websocket => websocket += 1,
                TransportType::Polling => polling += 1,
            }
        }
        [websocket, polling]
    }

    fn line(&self, device: DeviceId) -> Option<Arc<Line>> {
        self.lines.read().unwrap_or_else(PoisonError::into_inner).get(&device).cloned()
    }
}

impl Sink for Outbox {
    fn way(&self, to: DeviceId) -> Option<Arc<dyn Way>> {
        Some(self.line(to)?)
    }
}

impl Way for Line {
    fn post(&self, message: Message) {
        self.push(Item::Message(message));
    }

    fn cut(&self, why: Cut) {
        self.push(Item::Cut(match why {
            Cut::TokenExpired => "token expired",
            Cut::SessionRevoked => "session revoked",
        }));
    }

    fn flush(self: Arc<Self>) {
        self.let_out();
    }
}
