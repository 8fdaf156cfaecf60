//! How long `/health` takes, asked as a load balancer asks: a connection for each question, at a steady pace.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PACE: Duration = Duration::from_millis(20);
/// An answer that takes longer counts as having taken this long.
const AT_MOST: Duration = Duration::from_secs(5);

/// Asks until it is told to stop. On a thread of its own: it should not wait for the flood that shares its runtime.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    watching: JoinHandle<Vec<Duration>>,
}

impl Watch {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watching = std::thread::spawn(move || {
            let mut taken = Vec::new();
            let mut due = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                // From when it was due: a question that waits behind a slow answer is slow too.
                let answered = ask(address).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"));
                taken.push(if answered { due.elapsed().min(AT_MOST) } else { AT_MOST });
                due += PACE;
            }
            taken
        });
        Self { stop, watching }
    }

    /// How long each answer took.
    pub(crate) fn stop(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.join().unwrap()
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut tcp = TcpStream::connect_timeout(&address, AT_MOST)?;
    tcp.set_read_timeout(Some(AT_MOST))?;
    tcp.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer)?;
    Ok(answer)
}
