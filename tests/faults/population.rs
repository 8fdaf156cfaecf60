//! Two hundred sockets of a hundred and twenty people. A hundred of them talk to each other, in fifty calls; the others
//! are there to be called.

use crate::ledger::{ACTIVE, HUNG_UP, Ledger, RINGING};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use test_kit::client::{accept, call_user, candidate};
use test_kit::{Account, Client, Server, Transport};
use tokio::time::Instant;

pub(crate) const SOCKETS: usize = 200;
pub(crate) const CALLS: usize = 50;
const USERS: usize = 120;
/// Everybody from here on has a second device.
const FIRST_WITH_TWO: usize = 2 * USERS - SOCKETS;

/// Everybody, and what they talk about.
pub(crate) struct Population {
    /// The login behind each socket.
    pub(crate) accounts: Vec<Account>,
    /// First everybody's first device, then the second ones.
    pub(crate) clients: Vec<Client>,
    /// Calls between neighbours: the first device of an even user and that of the next one.
    pub(crate) calls: Vec<String>,
    pub(crate) ledger: Ledger,
    /// Sockets that are not expected to be there, whatever their clients believe.
    pub(crate) absent: BTreeSet<usize>,
    said: AtomicUsize,
}

impl Population {
    /// Everybody makes an account; nobody is here yet.
    pub(crate) async fn register(server: &impl Server) -> Self {
        let name = |user: usize| format!("user-{user:03}");
        // A few at a time: more password hashes than there are cores wait in a short line.
        let first = stream::iter(0..USERS).map(async |user| Account::register(server, &name(user)).await);
        let mut accounts: Vec<_> = first.buffered(2).collect().await;
        let second = (FIRST_WITH_TWO..USERS).map(async |user| Account::log_in(server, &name(user)).await);
        accounts.extend(stream::iter(second).buffered(2).collect::<Vec<_>>().await);
        Self {
            accounts,
            clients: Vec::new(),
            calls: Vec::new(),
            ledger: Ledger::default(),
            absent: BTreeSet::new(),
            said: AtomicUsize::new(0),
        }
    }

    /// Everybody connects at the same moment, with every device; whoever was connected before is not any more.
    /// Each is given back the call it is in. Gives how long it took.
    pub(crate) async fn enter(&mut self, server: &impl Server) -> Duration {
        self.clients.clear();
        let begun = Instant::now();
        let entered = join_all((0..SOCKETS).map(|socket| self.join(server, socket))).await;
        let took = begun.elapsed();
        for (socket, (client, call)) in entered.into_iter().enumerate() {
            assert_eq!(call.as_ref(), self.call_of(socket));
            self.clients.push(client);
        }
        took
    }

    /// The call that a socket takes part in.
    fn call_of(&self, socket: usize) -> Option<&String> {
        self.calls.get(socket / 2).filter(|_| socket < USERS)
    }

    /// A device connects anew, and joins; with the call that it was given back. Few hear of whole lists, as where there are
    /// many users.
    async fn join(&self, server: &impl Server, socket: usize) -> (Client, Option<String>) {
        let presence = match socket % 20 {
            0 => "full",
            1..10 => "delta",
            _ => "none",
        };
        let account = &self.accounts[socket];
        let call = self.call_of(socket);
        let mut client = Client::open(server.address(), Transport::WebSocket).await;
        client.connect(&json!({"token": account.token})).await.expect("to be let in");
        let joined = client.join_with(account, &json!({"presence": presence, "resume": call})).await;
        (client, joined["activeCall"]["callId"].as_str().map(ToOwned::to_owned))
    }

    /// These come back, perhaps by another way; gives how many of them were given back their calls.
    pub(crate) async fn come_back(&mut self, server: &impl Server, sockets: &[usize]) -> usize {
        let mut back = join_all(sockets.iter().map(|socket| self.join(server, *socket))).await;
        for (socket, (client, _)) in sockets.iter().zip(&mut back) {
            self.absent.remove(socket);
            std::mem::swap(&mut self.clients[*socket], client);
        }
        back.iter().filter(|(_, call)| call.is_some()).count()
    }

    pub(crate) fn pair(&self, number: usize) -> (&Client, &Client) {
        (&self.clients[2 * number], &self.clients[2 * number + 1])
    }

    /// Those who do not talk.
    fn idle_pairs() -> impl Iterator<Item = usize> {
        CALLS..USERS / 2
    }

    /// The callers among those who do not talk.
    pub(crate) fn idle_callers(&self) -> impl Iterator<Item = (&Client, &Client)> {
        Self::idle_pairs().map(|pair| self.pair(pair))
    }

    /// The first hundred talk to each other.
    pub(crate) async fn talk(&mut self) {
        self.calls = join_all((0..CALLS).map(|pair| self.talk_in_pair(pair))).await;
    }

    /// These two talk again.
    pub(crate) async fn talk_again(&mut self, pair: usize) {
        self.calls[pair] = self.talk_in_pair(pair).await;
    }

    async fn talk_in_pair(&self, pair: usize) -> String {
        let (caller, callee) = self.pair(pair);
        let call = self.ring(caller, callee).await;
        callee.ok("accept_call", &accept(&call)).await;
        caller.expect("call_accepted").await;
        self.ledger.note(&call, &[ACTIVE]);
        call
    }

    /// Dials and rings. The call counts from its acknowledgement on.
    pub(crate) async fn ring(&self, caller: &Client, callee: &Client) -> String {
        let call = caller.dial(callee).await;
        self.ledger.note(&call, &[RINGING]);
        assert_eq!(caller.expect("call_status").await, json!({"callId": call, "status": "ringing"}));
        assert_eq!(callee.expect("incoming_call").await["callId"], json!(call));
        call
    }

    /// Everybody hangs up.
    pub(crate) async fn hang_up(&mut self) {
        let calls = std::mem::take(&mut self.calls);
        join_all(calls.iter().enumerate().map(async |(pair, call)| {
            let (caller, callee) = self.pair(pair);
            caller.hang_up(call, callee).await;
            self.ledger.note(call, &[HUNG_UP]);
        }))
        .await;
    }

    /// Everybody who talks sends the other something, and it arrives.
    pub(crate) async fn exchange(&self) {
        let is_here =
            |pair: usize| !self.absent.contains(&(2 * pair)) && !self.absent.contains(&(2 * pair + 1));
        let talking = self.calls.iter().enumerate().filter(|(pair, _)| is_here(*pair));
        join_all(talking.map(async |(pair, call)| {
            let (caller, callee) = self.pair(pair);
            let number = self.said.fetch_add(1, Ordering::Relaxed);
            caller.emit(
                "ice_candidate",
                &json!({"to": callee.id, "callId": call, "candidate": candidate(number)}),
            );
            callee.emit(
                "media_state",
                &json!({"callId": call, "audio": true, "video": number.is_multiple_of(2)}),
            );
            assert_eq!(callee.expect("ice_candidate").await["candidate"], candidate(number));
            assert_eq!(caller.expect("media_state").await["video"], json!(number.is_multiple_of(2)));
        }))
        .await;
    }

    /// The calls go on, whatever else happens.
    pub(crate) async fn talk_while<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            // To the end of an exchange, so that nothing of it is left on its way.
            let mut result = None;
            let exchange = async {
                self.exchange().await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            let mut exchange = pin!(exchange);
            tokio::select! {
                done = &mut work => result = Some(done),
                () = &mut exchange => {}
            }
            if let Some(result) = result {
                exchange.await;
                return result;
            }
        }
    }

    /// New calls, of every outcome that does not need the accounts of people who are not here.
    pub(crate) async fn new_calls(&self) {
        join_all(Self::idle_pairs().map(async |pair| {
            let (caller, callee) = self.pair(pair);
            if pair % 5 == 4 {
                return self.find_busy(caller).await;
            }
            let call = self.ring(caller, callee).await;
            let outcome = match pair % 5 {
                0 => {
                    callee.ok("reject_call", &json!({"callId": call})).await;
                    caller.expect("call_rejected").await;
                    "rejected/rejected"
                }
                1 => {
                    caller.hang_up(&call, callee).await;
                    "cancelled/cancelled"
                }
                _ => {
                    callee.ok("accept_call", &accept(&call)).await;
                    caller.expect("call_accepted").await;
                    caller.hang_up(&call, callee).await;
                    HUNG_UP
                }
            };
            self.ledger.note(&call, &[outcome]);
        }))
        .await;
    }

    /// Calls somebody who talks.
    async fn find_busy(&self, caller: &Client) {
        let ack = caller.ok("call_user", &call_user(&self.clients[0].id)).await;
        let call = ack["callId"].as_str().unwrap();
        self.ledger.note(call, &["missed/user_busy"]);
        assert_eq!(caller.expect("call_status").await, json!({"callId": call, "status": "user_busy"}));
    }

    fn present(&self) -> impl Iterator<Item = &Client> {
        let present = self.clients.iter().enumerate().filter(|(socket, _)| !self.absent.contains(socket));
        present.map(|(_, client)| client)
    }

    /// The names of those who have a connection.
    pub(crate) fn here(&self) -> BTreeSet<&str> {
        self.present().map(|client| client.name.as_str()).collect()
    }

    /// Nobody's connection has ended.
    pub(crate) fn all_stayed(&self) {
        let gone: Vec<_> =
            self.present().filter(|client| !client.is_open()).map(|client| &client.name).collect();
        assert!(gone.is_empty(), "{} sockets are gone: {gone:?}", gone.len());
    }

    /// Every device answers, and forgets what it heard.
    pub(crate) async fn forget_events(&self) {
        join_all(self.present().map(Client::heard)).await;
    }
}
