//! One socket that sends events as fast as TCP takes them, beside others who talk.

use crate::ground::{Ground, run};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use test_kit::client::candidate;
use test_kit::load::{median, percentile};
use test_kit::{Account, Client, Server};
use tokio::time::{Instant, MissedTickBehavior, interval};

const CALLS: usize = 10;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(3);
const PACE: Duration = Duration::from_millis(50);

/// Events in one write.
const VOLLEY: usize = 100;
const MAY_WAIT: Duration = Duration::from_secs(30);

/// A socket that floods for as long as it may, and reads what it is told. On threads of its own, which write what was encoded once: it
/// should be the server that is busy, not those who measure it.
struct Flood {
    go: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    flooding: JoinHandle<()>,
}

impl Flood {
    async fn prepare(ground: &Ground) -> Self {
        let account = Account::register(ground, "mallory").await;
        let mut tcp = upgraded(ground.address());
        tcp.write_all(&frame(&format!("40{}", json!({"token": account.token})))).unwrap();
        // An event that is read before the CONNECT is through would end the connection.
        read_until(&mut tcp, b"40{");
        tcp.write_all(&frame("421[\"join\",{}]")).unwrap();
        read_until(&mut tcp, b"431[");
        let (go, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut heard = tcp.try_clone().unwrap();
        heard.set_read_timeout(None).unwrap();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while matches!(heard.read(&mut buffer), Ok(1..)) {}
        });
        let event = format!("42{}", json!(["ice_candidate", {"to": account.id, "candidate": candidate(1)}]));
        let (volley, heartbeat) = (frame(&event).repeat(VOLLEY), frame("3"));
        let (may_go, count) = (Arc::clone(&go), Arc::clone(&sent));
        let flooding = std::thread::spawn(move || {
            loop {
                // A heartbeat's answer, at any time, keeps it connected.
                let flows = may_go.load(Ordering::Relaxed);
                let bytes = if flows { &volley } else { &heartbeat };
                if tcp.write_all(bytes).is_err() {
                    return;
                }
                if flows {
                    count.fetch_add(VOLLEY, Ordering::Relaxed);
                } else {
                    std::thread::sleep(PACE);
                }
            }
        });
        Self { go, sent, flooding }
    }

    fn set(&self, flows: bool) {
        self.go.store(flows, Ordering::Relaxed);
    }
}

/// A connection that was upgraded to a WebSocket, bare.
fn upgraded(address: SocketAddr) -> TcpStream {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_write_timeout(Some(MAY_WAIT)).unwrap();
    tcp.set_read_timeout(Some(MAY_WAIT)).unwrap();
    let upgrade = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    tcp.write_all(upgrade.as_bytes()).unwrap();
    let head = read_until(&mut tcp, b"\r\n\r\n");
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    tcp
}

/// What comes up to the first `mark`, and the mark.
fn read_until(tcp: &mut TcpStream, mark: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    while !read.ends_with(mark) {
        let mut byte = [0];
        tcp.read_exact(&mut byte).unwrap();
        read.extend(byte);
    }
    read
}

/// A text frame of a client, under a mask of zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()).unwrap() {
        short @ 0..=125 => frame.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            frame.push(0xfe);
            frame.extend(long.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// A call over which candidates go from one to the other, at a steady pace.
struct Talk {
    caller: Client,
    callee: Client,
    call: String,
}

impl Talk {
    async fn begin(ground: &Ground, number: usize) -> Self {
        let mut parties = Vec::new();
        for side in ["caller", "callee"] {
            let account = Account::register(ground, &format!("{side}-{number}")).await;
            parties.push(Client::joined(ground, &account).await);
        }
        let (callee, caller) = (parties.pop().unwrap(), parties.pop().unwrap());
        let call = caller.talk(&callee).await;
        Self { caller, callee, call }
    }

    /// How long each candidate took from the one to the other.
    async fn trickle(&self) -> Vec<Duration> {
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let start = Instant::now();
        let mut taken = Vec::new();
        while start.elapsed() < ROUND {
            ticks.tick().await;
            let sent = Instant::now();
            let trickle = json!({"to": self.callee.id, "callId": self.call, "candidate": Value::Null});
            self.caller.emit("ice_candidate", &trickle);
            self.callee.expect("ice_candidate").await;
            taken.push(sent.elapsed());
        }
        taken
    }
}

async fn p99(talks: &[Talk]) -> Duration {
    let taken = futures_util::future::join_all(talks.iter().map(Talk::trickle)).await;
    percentile(&mut taken.concat(), 0.99)
}

#[test]
fn an_event_flood_by_one_socket_leaves_the_p99_of_others_within_twice_what_it_was() {
    run(async {
        let ground = Ground::start(&[]).await;
        let mut talks = Vec::new();
        for number in 0..CALLS {
            talks.push(Talk::begin(&ground, number).await);
        }
        let flood = Flood::prepare(&ground).await;
        let (mut quiet, mut flooded) = (Vec::new(), Vec::new());
        p99(&talks).await;
        for _ in 0..ROUNDS {
            quiet.push(p99(&talks).await);
            flood.set(true);
            flooded.push(p99(&talks).await);
            flood.set(false);
        }
        println!("p99 quiet {quiet:.2?}, flooded {flooded:.2?}");
        let (before, during) = (median(&mut quiet), median(&mut flooded));
        let sent = flood.sent.load(Ordering::Relaxed);
        println!("medians of the p99 {before:.2?}, {during:.2?}; {sent} events in {:?}", ROUND * 7);
        assert!(!flood.flooding.is_finished(), "the flooding socket stays");
        assert!(sent > 10_000, "this is no flood: {sent}");
        assert!(during <= before * 2, "{before:?} becomes {during:?}");
    });
}
