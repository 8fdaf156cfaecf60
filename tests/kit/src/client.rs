//! A Socket.IO client that keeps what it hears until the test asks for it.

use crate::transport::{Ear, Link, Transport};
use crate::{Account, PATIENCE, Server};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// Events that come whenever somebody comes or goes.
const PRESENCE: [&str; 2] = ["users_updated", "presence_delta"];

/// What was heard and not yet asked for.
#[derive(Debug, Default)]
struct Heard {
    session: Option<String>,
    connected: Option<Result<(), String>>,
    events: VecDeque<(String, Value)>,
    acks: HashMap<u64, Value>,
    /// A Socket.IO disconnect packet came.
    disconnected: bool,
    /// The connection is gone.
    closed: bool,
}

struct Inbox {
    heard: Mutex<Heard>,
    changed: Notify,
    reply: UnboundedSender<String>,
}

impl Inbox {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }
}

impl Ear for Inbox {
    fn packet(&self, packet: &str) {
        let json =
            |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| panic!("packet {packet}"));
        let mut heard = self.heard();
        match packet.as_bytes() {
            [b'0', ..] => heard.session = json(&packet[1..])["sid"].as_str().map(ToOwned::to_owned),
            b"2" => drop(self.reply.send("3".to_owned())),
            [b'4', b'0', ..] => heard.connected = Some(Ok(())),
            b"41" => heard.disconnected = true,
            [b'4', b'2', ..] => {
                let mut event = json(&packet[2..]);
                let payload = event.get_mut(1).map_or(Value::Null, Value::take);
                heard.events.push_back((event[0].as_str().unwrap().to_owned(), payload));
            }
            [b'4', b'3', ..] => {
                let body = packet.find('[').unwrap();
                let mut reply = json(&packet[body..]);
                heard.acks.insert(packet[2..body].parse().unwrap(), reply[0].take());
            }
            [b'4', b'4', ..] => {
                let body = packet.find('{').unwrap();
                heard.connected = Some(Err(json(&packet[body..])["message"].as_str().unwrap().to_owned()));
            }
            // Engine.IO's close and noop.
            b"1" | b"6" => {}
            _ => panic!("an unknown packet: {packet}"),
        }
        drop(heard);
        self.changed.notify_waiters();
    }

    fn closed(&self) {
        self.heard().closed = true;
        self.changed.notify_waiters();
    }
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The official client stays away.
    Disconnect,
    /// The official client connects again by itself.
    Close,
}

/// One connection.
pub struct Client {
    /// Of the user, once joined.
    pub id: String,
    /// The user's name, for messages of a test.
    pub name: String,
    /// Who it joined as.
    pub account: Option<Account>,
    inbox: Arc<Inbox>,
    out: Option<UnboundedSender<String>>,
    link: Link,
    last_ack: AtomicU64,
}

impl Drop for Client {
    /// The connection breaks without a word.
    fn drop(&mut self) {
        self.link.writing.abort();
        self.link.reading.abort();
    }
}

impl Client {
    /// An Engine.IO session, not yet connected to the namespace.
    pub async fn open(address: SocketAddr, transport: Transport) -> Self {
        let (out, packets) = unbounded_channel();
        let (heard, changed) = (Mutex::default(), Notify::new());
        // Weak for the reply to a ping: the writer ends when the client drops its own end.
        let (reply, mut replies) = unbounded_channel::<String>();
        let weak = out.downgrade();
        tokio::spawn(async move {
            while let Some(packet) = replies.recv().await {
                weak.upgrade().map(|out| out.send(packet));
            }
        });
        let inbox = Arc::new(Inbox { heard, changed, reply });
        let link = transport.open(address, packets, inbox.clone()).await;
        let client = Self {
            id: String::new(),
            name: "a stranger".into(),
            account: None,
            inbox,
            out: Some(out),
            link,
            last_ack: AtomicU64::new(0),
        };
        client.until("the open packet", |heard| heard.session.clone()).await;
        client
    }

    /// Connected to the namespace with `auth`; else the error's message.
    pub async fn connect(&self, auth: &Value) -> Result<(), String> {
        self.connect_raw(&auth.to_string()).await
    }

    /// The same, with `auth` as it is written.
    pub async fn connect_raw(&self, auth: &str) -> Result<(), String> {
        self.raw(&format!("40{auth}"));
        self.until("CONNECT to be answered", |heard| heard.connected.take()).await
    }

    /// Let in with `token`, and not joined.
    pub async fn connected(server: &impl Server, token: &str) -> Self {
        let client = Self::open(server.address(), Transport::WebSocket).await;
        client.connect(&json!({"token": token})).await.expect("to be let in");
        client
    }

    /// A device of the account that has joined.
    pub async fn joined(server: &impl Server, account: &Account) -> Self {
        Self::joined_by(server, account, Transport::WebSocket).await
    }

    /// A device of the account that has joined, over this transport.
    pub async fn joined_by(server: &impl Server, account: &Account, transport: Transport) -> Self {
        let mut client = Self::open(server.address(), transport).await;
        client.connect(&json!({"token": account.token})).await.expect("to be let in");
        client.join(account).await;
        client
    }

    /// The access token it joined with.
    pub fn token(&self) -> &str {
        &self.account.as_ref().unwrap().token
    }

    /// Joins; gives `join_success`.
    pub async fn join(&mut self, account: &Account) -> Value {
        self.join_with(account, &json!({})).await
    }

    /// Joins with more in the payload, as `presence` or `resume`; gives `join_success`.
    pub async fn join_with(&mut self, account: &Account, more: &Value) -> Value {
        self.id.clone_from(&account.id);
        self.name.clone_from(&account.username);
        self.account = Some(account.clone());
        let mut payload = json!({"id": account.id, "username": account.username});
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ok("join", &payload).await;
        self.expect("join_success").await
    }

    /// The Engine.IO session id, which is a credential.
    pub fn session(&self) -> String {
        self.inbox.heard().session.clone().unwrap()
    }

    /// Sends an Engine.IO packet as it is.
    pub fn raw(&self, packet: &str) {
        // A connection that has ended loses what is sent; the test sees it by what it awaits.
        let _ = self.out.as_ref().unwrap().send(packet.to_owned());
    }

    /// Emits without asking for an acknowledgement.
    pub fn emit(&self, event: &str, payload: &Value) {
        self.raw(&format!("42{}", json!([event, payload])));
    }

    /// Emits what `acknowledged` waits for.
    pub fn emit_with_ack(&self, event: &str, payload: &Value) -> u64 {
        let id = self.last_ack.fetch_add(1, Ordering::Relaxed) + 1;
        self.raw(&format!("42{id}{}", json!([event, payload])));
        id
    }

    /// Emits an event as it is written, and gives the acknowledgement.
    pub async fn ack_raw(&self, event: &str) -> Value {
        let id = self.last_ack.fetch_add(1, Ordering::Relaxed) + 1;
        self.raw(&format!("42{id}{event}"));
        self.acknowledged(id).await
    }

    /// Waits for the acknowledgement with this id.
    pub async fn acknowledged(&self, id: u64) -> Value {
        self.until("an acknowledgement", |heard| heard.acks.remove(&id)).await
    }

    /// The acknowledgement with this id, if it has come.
    pub fn ack_so_far(&self, id: u64) -> Option<Value> {
        self.inbox.heard().acks.remove(&id)
    }

    /// Emits, and gives the acknowledgement.
    pub async fn ack(&self, event: &str, payload: &Value) -> Value {
        let id = self.emit_with_ack(event, payload);
        self.until(&format!("the acknowledgement of {event}"), |heard| heard.acks.remove(&id)).await
    }

    /// Emits what must succeed.
    pub async fn ok(&self, event: &str, payload: &Value) -> Value {
        let ack = self.ack(event, payload).await;
        assert_eq!(ack["ok"], true, "{} {event} {payload}: {ack}", self.name);
        ack
    }

    /// Emits what must fail; gives the code.
    pub async fn refused(&self, event: &str, payload: &Value) -> String {
        let ack = self.ack(event, payload).await;
        assert_eq!(ack["ok"], false, "{} {event} {payload}: {ack}", self.name);
        ack["code"].as_str().unwrap().to_owned()
    }

    /// The first event of that name not asked for yet.
    pub async fn expect(&self, event: &str) -> Value {
        self.until(event, |heard| {
            let at = heard.events.iter().position(|(name, _)| name == event)?;
            heard.events.remove(at).map(|(_, payload)| payload)
        })
        .await
    }

    /// Everything that came before a heartbeat of our own returned, but presence.
    pub async fn heard(&self) -> Vec<(String, Value)> {
        self.ok("ping", &Value::Null).await;
        self.expect("pong").await;
        let events: Vec<_> = self.inbox.heard().events.drain(..).collect();
        events.into_iter().filter(|(name, _)| !PRESENCE.contains(&name.as_str())).collect()
    }

    /// Nothing is left that was not asked for.
    pub async fn silence(&self) {
        assert_eq!(self.heard().await, [], "{} should hear nothing", self.name);
    }

    /// Waits until what was sent so far has had its effect: whether the socket still answers, or is gone.
    pub async fn answers(&self) -> bool {
        let id = self.emit_with_ack("ping", &Value::Null);
        let fate = |heard: &mut Heard| heard.acks.remove(&id).map(|_| true).or(heard.closed.then_some(false));
        self.until("an answer or the end", fate).await
    }

    /// Waits for the server to end the connection.
    pub async fn ended(&self) -> End {
        self.until("the end of the connection", |heard| heard.closed.then_some(())).await;
        if self.inbox.heard().disconnected { End::Disconnect } else { End::Close }
    }

    /// Waits for a disconnect packet, whatever the connection does after it.
    pub async fn disconnected(&self) {
        self.until("a disconnect", |heard| (heard.disconnected || heard.closed).then_some(())).await;
        assert!(self.inbox.heard().disconnected, "{} was closed without a disconnect", self.name);
    }

    /// Whether neither a disconnect nor the end of the connection was heard.
    pub fn is_open(&self) -> bool {
        let heard = self.inbox.heard();
        !heard.disconnected && !heard.closed
    }

    /// Takes nothing from the connection any more; what was heard so far stays.
    pub fn stop_reading(&self) {
        self.link.reading.abort();
    }

    /// Leaves on purpose.
    pub async fn leave(mut self) {
        self.raw("41");
        drop(self.out.take());
        let _ = timeout(PATIENCE, &mut self.link.writing).await.expect("the goodbye to be sent");
    }

    async fn until<T>(&self, what: &str, mut take: impl FnMut(&mut Heard) -> Option<T>) -> T {
        let found = timeout(PATIENCE, async {
            loop {
                let changed = self.inbox.changed.notified();
                if let Some(found) = take(&mut self.inbox.heard()) {
                    return found;
                }
                changed.await;
            }
        });
        found
            .await
            .unwrap_or_else(|_| panic!("{} waited for {what}; heard {:?}", self.name, self.inbox.heard()))
    }
}

/// Calls, by those who make them.
impl Client {
    /// Dials; gives the id of the call.
    pub async fn dial(&self, callee: &Self) -> String {
        let ack = self.ok("call_user", &call_user(&callee.id)).await;
        ack["callId"].as_str().unwrap().to_owned()
    }

    /// Dials, and both sides know that it rings.
    pub async fn ring(&self, callee: &Self) -> String {
        let call = self.dial(callee).await;
        assert_eq!(self.expect("call_status").await, json!({"callId": call, "status": "ringing"}));
        assert_eq!(callee.expect("incoming_call").await["callId"], json!(call));
        call
    }

    /// Rings and is answered.
    pub async fn talk(&self, callee: &Self) -> String {
        let call = self.ring(callee).await;
        callee.ok("accept_call", &accept(&call)).await;
        assert_eq!(self.expect("call_accepted").await["callId"], json!(call));
        call
    }

    /// Ends a call; the other side hears of it.
    pub async fn hang_up(&self, call: &str, peer: &Self) {
        self.ok("end_call", &json!({"callId": call})).await;
        assert_eq!(peer.expect("call_ended").await["callId"], json!(call));
    }
}

/// A `call_user`'s offer.
pub fn offer() -> Value {
    json!({"type": "offer", "sdp": "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=offer-of-a-test\r\n"})
}

/// An `accept_call`'s answer.
pub fn answer() -> Value {
    json!({"type": "answer", "sdp": "v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\ns=answer-of-a-test\r\n"})
}

/// A candidate that can be told from others.
pub fn candidate(number: usize) -> Value {
    let line = format!("candidate:{number} 1 udp 2113937151 192.0.2.1 50000 typ host");
    json!({"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0})
}

/// The payload of a `call_user`.
pub fn call_user(to: &str) -> Value {
    json!({"to": to, "callType": "video", "offer": offer()})
}

/// The payload of an `accept_call`.
pub fn accept(call: &str) -> Value {
    json!({"callId": call, "answer": answer()})
}
