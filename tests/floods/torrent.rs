//! Requests at a rate, whether or not they are answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

const CONNECTIONS: usize = 200;
const TICK: Duration = Duration::from_millis(2);
/// For the answers that are still on their way.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// What became of a flood.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Requests that were due.
    pub(crate) offered: usize,
    /// Of these, those the server's end of TCP did not take.
    pub(crate) held_back: usize,
    /// Answers, by status.
    pub(crate) answers: BTreeMap<u16, usize>,
    /// Connections that the server ended.
    pub(crate) cut: usize,
}

impl Tally {
    pub(crate) fn answered(&self) -> usize {
        self.answers.values().sum()
    }

    pub(crate) fn of(&self, status: u16) -> usize {
        self.answers.get(&status).copied().unwrap_or(0)
    }
}

/// Sends `per_second` requests a second for `time`, in whole seconds, over connections that are kept: each is written when it is due, behind
/// whatever is unanswered on its connection. `request` gives the bytes of the n-th.
pub(crate) async fn pour(
    address: SocketAddr,
    per_second: u32,
    time: Duration,
    request: impl Fn(usize) -> String,
) -> Tally {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (read, write) = tcp.into_split();
        writers.push(Writer { tcp: write, unsent: Vec::new() });
        readers.push(tokio::spawn(count_answers(read, Arc::clone(&tally))));
    }
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let start = Instant::now();
    let (mut offered, mut held_back) = (0, 0);
    let all = per_second as usize * usize::try_from(time.as_secs()).unwrap();
    while offered < all {
        ticks.tick().await;
        let due =
            (start.elapsed().min(time).as_micros() * u128::from(per_second) / 1_000_000).try_into().unwrap();
        for number in offered..due {
            if !writers[number % CONNECTIONS].offer(|| request(number).into_bytes()) {
                held_back += 1;
            }
        }
        offered = due;
    }
    let all_answered = async {
        while tally.lock().unwrap().answered() < offered - held_back {
            tokio::time::sleep(Duration::from_millis(10)).await;
            for writer in &mut writers {
                writer.flush();
            }
        }
    };
    let _ = timeout(LAST_ANSWERS, all_answered).await;
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    let answered = std::mem::take(&mut *tally.lock().unwrap());
    Tally { offered, held_back, ..answered }
}

struct Writer {
    tcp: OwnedWriteHalf,
    /// The rest of a request that was taken in part.
    unsent: Vec<u8>,
}

impl Writer {
    /// False: an earlier request is not taken yet.
    fn offer(&mut self, request: impl FnOnce() -> Vec<u8>) -> bool {
        self.flush();
        let free = self.unsent.is_empty();
        if free {
            self.unsent = request();
            self.flush();
        }
        free
    }

    fn flush(&mut self) {
        while !self.unsent.is_empty() {
            // A connection that has ended takes nothing more, and its reader tells of it.
            let Ok(taken) = self.tcp.try_write(&self.unsent) else { return };
            self.unsent.drain(..taken);
        }
    }
}

async fn count_answers(mut tcp: OwnedReadHalf, tally: Arc<Mutex<Tally>>) {
    const MARK: &[u8] = b"HTTP/1.1 ";
    let mut heard = Vec::with_capacity(64 * 1024);
    while matches!(tcp.read_buf(&mut heard).await, Ok(1..)) {
        let mut statuses = Vec::new();
        let mut counted = 0;
        while let Some(at) = find(&heard[counted..], MARK)
            && let Some(status) = heard.get(counted + at + MARK.len()..counted + at + MARK.len() + 3)
        {
            statuses.push(std::str::from_utf8(status).unwrap().parse().unwrap());
            counted += at + MARK.len() + 3;
        }
        // A mark may be cut in two.
        let rest = counted.max(heard.len().saturating_sub(MARK.len() + 3));
        heard.drain(..rest);
        let mut tally = tally.lock().unwrap();
        for status in statuses {
            *tally.answers.entry(status).or_default() += 1;
        }
    }
    tally.lock().unwrap().cut += 1;
}

fn find(text: &[u8], words: &[u8]) -> Option<usize> {
    text.windows(words.len()).position(|window| window == words)
}
