//! The least that can be made of socketioxide, as a guide to where the framework itself stands: the events of the demo
//! server, taken inline in packet order, and no tokens, rules, limits, history or errors.
//!
//! `BROADCAST_FROM` and `PING_INTERVAL` are those of the demo server.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "nobody is served by it: it panics where something is not as it must be, and says where it listens"
)]

use axum::extract::State;
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use futures_util::FutureExt;
use load::setting;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use socketioxide::SocketIo;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::SocketRef;
use socketioxide::handler::{ConnectHandler, FromConnectParts, MessageHandler, Value};
use socketioxide::socket::Socket;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use uuid::Uuid;

/// Those online, and their calls.
#[derive(Default)]
struct Board {
    users: Mutex<HashMap<Uuid, User>>,
    calls: Mutex<HashMap<Uuid, [Uuid; 2]>>,
    lists_from: usize,
}

struct User {
    username: String,
    socket: Arc<Socket>,
}

/// As in the lists.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: Uuid,
    username: String,
    is_online: bool,
    socket_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Join {
    id: Uuid,
    username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallUser {
    to: Uuid,
    from: Box<RawValue>,
    call_type: String,
    offer: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfCall {
    call_id: Uuid,
    answer: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct IceCandidate {
    to: Uuid,
    candidate: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Incoming {
    call_id: Uuid,
    from: Box<RawValue>,
    call_type: String,
    offer: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    call_id: Uuid,
    answer: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Trickle {
    from: Uuid,
    candidate: Box<RawValue>,
}

impl Board {
    fn rows(&self) -> Vec<Row> {
        let users = self.users.lock().unwrap();
        let row = |(id, user): (&Uuid, &User)| Row {
            id: *id,
            username: user.username.clone(),
            is_online: true,
            socket_id: user.socket.id.to_string(),
        };
        users.iter().map(row).collect()
    }

    fn is_announced(&self) -> bool {
        self.users.lock().unwrap().len() >= self.lists_from
    }

    fn announce(&self, io: &SocketIo) {
        if self.is_announced() {
            // A socket that is full or gone hears nothing.
            let _ = io.emit("users_updated", &self.rows()).now_or_never();
        }
    }

    fn tell(&self, user: Uuid, event: &str, payload: &impl Serialize) {
        let socket = self.users.lock().unwrap().get(&user).map(|user| Arc::clone(&user.socket));
        if let Some(socket) = socket {
            // Likewise.
            let _ = socket.emit(event, payload);
        }
    }

    fn leave(&self, io: &SocketIo, socket: &Socket) {
        let gone = self.users.lock().unwrap().extract_if(|_, user| user.socket.id == socket.id).next();
        if gone.is_some() {
            self.announce(io);
        }
    }
}

/// The events of one socket.
struct Reception {
    board: Arc<Board>,
    io: SocketIo,
    me: Mutex<Uuid>,
}

/// Tells this handler from those that socketioxide makes of closures.
struct Inline;

impl MessageHandler<LocalAdapter, Inline> for Reception {
    fn call(&self, socket: Arc<Socket>, value: Value, _: Option<i64>) {
        let Value::Str(text, _) = value else { return };
        let (event, payload): (&str, &RawValue) = serde_json::from_str(text.as_str()).unwrap();
        self.take(&socket, event, payload.get());
    }
}

fn parse<T: DeserializeOwned>(payload: &str) -> T {
    serde_json::from_str(payload).unwrap()
}

impl Reception {
    fn take(&self, socket: &Arc<Socket>, event: &str, payload: &str) {
        let me = *self.me.lock().unwrap();
        match event {
            "join" => self.join(socket, parse(payload)),
            "call_user" => {
                let CallUser { to, from, call_type, offer } = parse(payload);
                let call_id = Uuid::new_v4();
                self.board.calls.lock().unwrap().insert(call_id, [me, to]);
                self.board.tell(to, "incoming_call", &Incoming { call_id, from, call_type, offer });
                let _ = socket.emit("call_status", &json!({"callId": call_id, "status": "ringing"}));
            }
            "accept_call" => {
                let OfCall { call_id, answer } = parse(payload);
                let call = self.board.calls.lock().unwrap().get(&call_id).copied();
                if let Some([caller, _]) = call {
                    self.board.tell(caller, "call_accepted", &Accepted { call_id, answer });
                }
            }
            "ice_candidate" => {
                let IceCandidate { to, candidate } = parse(payload);
                self.board.tell(to, "ice_candidate", &Trickle { from: me, candidate });
            }
            "end_call" => {
                let OfCall { call_id, .. } = parse(payload);
                let call = self.board.calls.lock().unwrap().remove(&call_id);
                for party in call.into_iter().flatten().filter(|party| *party != me) {
                    self.board.tell(party, "call_ended", &json!({"callId": call_id}));
                }
            }
            _ => {}
        }
    }

    fn join(&self, socket: &Arc<Socket>, join: Join) {
        *self.me.lock().unwrap() = join.id;
        let user = User { username: join.username, socket: Arc::clone(socket) };
        self.board.users.lock().unwrap().insert(join.id, user);
        let online = if self.board.is_announced() { self.board.rows() } else { Vec::new() };
        let welcome = json!({"message": "Successfully connected to the server", "onlineUsers": online});
        let _ = socket.emit("join_success", &welcome);
        self.board.announce(&self.io);
    }
}

/// The socket itself, before its CONNECT is answered: a client may send at once.
struct Connecting(Arc<Socket>);

impl FromConnectParts<LocalAdapter> for Connecting {
    type Error = Infallible;

    fn from_connect_parts(socket: &Arc<Socket>, _: &Option<Value>) -> Result<Self, Infallible> {
        Ok(Self(Arc::clone(socket)))
    }
}

async fn health(State(board): State<Arc<Board>>) -> Json<serde_json::Value> {
    let (users, calls) = (board.users.lock().unwrap().len(), board.calls.lock().unwrap().len());
    Json(json!({"status": "OK", "activeUsers": users, "activeCalls": calls}))
}

async fn online_users(State(board): State<Arc<Board>>) -> Json<Vec<Row>> {
    Json(board.rows())
}

#[tokio::main]
async fn main() {
    let lists_from = setting("BROADCAST_FROM", 0).try_into().unwrap();
    let board = Arc::new(Board { lists_from, ..Board::default() });
    let ping = Duration::from_millis(setting("PING_INTERVAL", 25_000));
    let (layer, io) = SocketIo::builder().ping_interval(ping).build_layer();
    let admit = {
        let (board, io) = (Arc::clone(&board), io.clone());
        async move |Connecting(socket): Connecting| {
            let (left, io_of_left) = (Arc::clone(&board), io.clone());
            socket.on_disconnect(async move |socket: SocketRef| left.leave(&io_of_left, &socket));
            let me = Mutex::default();
            socket.on_fallback(Reception { board: Arc::clone(&board), io: io.clone(), me });
            Ok::<_, Infallible>(())
        }
    };
    let greet = async || {};
    io.ns("/", greet.with(admit));
    let router = Router::new().route("/health", get(health)).route("/api/online-users", get(online_users));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    println!("serving at {}, version {}", listener.local_addr().unwrap(), env!("CARGO_PKG_VERSION"));
    // Small packets leave at once, as Node's do.
    let listener = listener.tap_io(|tcp| tcp.set_nodelay(true).unwrap());
    axum::serve(listener, router.with_state(board).layer(layer)).await.unwrap();
}
