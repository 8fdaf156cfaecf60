//! The server as an operator runs it: a process of its own, with an environment, a log, a size and an end.

use crate::{PATIENCE, Server};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A running server. Dropping it kills it.
pub struct ServerProcess {
    child: Child,
    pid: Pid,
    address: SocketAddr,
    log: Arc<Log>,
    reading: JoinHandle<()>,
    complaints: JoinHandle<String>,
    _folder: TempDir,
}

/// What the server has written to standard output so far.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grew: Notify,
}

/// How a process ended, and all that it wrote.
#[derive(Debug)]
pub struct Ended {
    /// None: a signal ended it.
    pub code: Option<i32>,
    /// Standard output: the log.
    pub log: String,
    /// Standard error.
    pub complaints: String,
}

impl Log {
    fn text(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap()
    }

    async fn follow(self: Arc<Self>, output: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut text = self.text();
            text.push_str(&line);
            text.push('\n');
            drop(text);
            self.grew.notify_waiters();
        }
    }

    /// The first line that has all the words, now or once it comes.
    async fn line_with(&self, words: &[&str]) -> String {
        let mut seen = 0;
        loop {
            let grew = self.grew.notified();
            {
                let text = self.text();
                for line in text[seen..].lines() {
                    if words.iter().all(|word| line.contains(word)) {
                        return line.to_owned();
                    }
                }
                seen = text.len();
            }
            grew.await;
        }
    }
}

impl ServerProcess {
    /// Runs `program` with nothing but `environment` in a folder of its own, and waits until it serves. Without a `PORT` it takes
    /// any free one.
    pub async fn start(program: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_by(Command::new(program), environment).await
    }

    /// As [`ServerProcess::start`], by a command that may wrap the program (`prlimit`, `ip netns exec`, …).
    pub async fn start_by(mut command: Command, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        command.env_clear().envs([("PORT", "0"), ("HOST", "127.0.0.1"), ("LOG_FORMAT", "json")]);
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.envs(environment.iter().copied()).current_dir(&folder).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Log::default());
        let reading = tokio::spawn(Arc::clone(&log).follow(child.stdout.take().unwrap()));
        let mut errors = child.stderr.take().unwrap();
        let complaints = tokio::spawn(async move {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text).await;
            text
        });
        let line = tokio::select! {
            line = timeout(PATIENCE, log.line_with(&["serving", "version"])) => line.ok(),
            _ = child.wait() => None,
        };
        let Some(line) = line else { panic!("the server does not serve:\n{}", log.text()) };
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap())).unwrap();
        Self { child, pid, address: address_in(&line), log, reading, complaints, _folder: folder }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        self.log.text().clone()
    }

    /// Waits for a line of the log that has all these words, one that was written already too.
    pub async fn logs(&self, words: &[&str]) -> String {
        let line = timeout(PATIENCE, self.log.line_with(words)).await;
        line.unwrap_or_else(|_| panic!("no line with {words:?} in\n{}", self.log.text()))
    }

    /// Waits until the log has so many lines with all these words.
    pub async fn logs_times(&self, words: &[&str], times: usize) {
        let has = |line: &&str| words.iter().all(|word| line.contains(word));
        let found = timeout(PATIENCE, async {
            loop {
                let grew = self.log.grew.notified();
                if self.log.text().lines().filter(has).count() >= times {
                    return;
                }
                grew.await;
            }
        });
        assert!(found.await.is_ok(), "no {times} lines with {words:?} in\n{}", self.log.text());
    }

    /// Lets it have so many open file descriptors from now on; None: as many as it was started with.
    pub fn limit_open_files(&self, limit: Option<u64>) {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let current = limit.or(current);
        prlimit(Some(self.pid), Resource::Nofile, Rlimit { current, maximum }).unwrap();
    }

    /// Waits for the end.
    pub async fn ended(mut self) -> Ended {
        let status = timeout(PATIENCE * 2, self.child.wait()).await.expect("the process to end").unwrap();
        self.reading.await.unwrap();
        let complaints = self.complaints.await.unwrap();
        let log = self.log.text().clone();
        Ended { code: status.code(), log, complaints }
    }

    /// Kills it with -9, and waits until it is gone.
    pub async fn kill(self) -> Ended {
        self.signal(Signal::KILL);
        self.ended().await
    }

    /// Asks it to stop, as an init system does, and waits until it has.
    pub async fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Its resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory that was ever resident, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Lets [`ServerProcess::peak_memory`] begin anew.
    pub fn forget_peak_memory(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid.as_raw_nonzero()), "5").unwrap();
    }

    /// The processor time that all its threads have taken, in its own code and in the kernel's.
    pub fn cpu(&self) -> Duration {
        cpu_of(self.pid)
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Its open file descriptors.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid.as_raw_nonzero())).unwrap().count()
    }
}

impl Server for ServerProcess {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The processor time that all threads of a process have taken, in its own code and in the kernel's; to a hundredth of a second.
pub fn cpu_of(process: Pid) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap();
    let [user, system, ..] = processor_times(&stat);
    ticks(user + system)
}

/// The processor times in a line of `/proc/PID/stat`, in ticks: of the process, user and system, and of those of its children
/// that it has waited for.
pub(crate) fn processor_times(stat: &str) -> [u64; 4] {
    // Behind the name, which may hold anything.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let times: Vec<_> =
        fields.split_whitespace().skip(11).take(4).map(|field| field.parse().unwrap()).collect();
    times.try_into().unwrap()
}

pub(crate) fn ticks(count: u64) -> Duration {
    Duration::from_secs(count) / rustix::param::clock_ticks_per_second().try_into().unwrap()
}

/// The address in the line that says where the server serves, in either format of the log.
fn address_in(line: &str) -> SocketAddr {
    let (host, rest) = ["127.0.0.1:", "0.0.0.0:"]
        .iter()
        .find_map(|host| line.split_once(host).map(|(_, rest)| (host, rest)))
        .unwrap_or_else(|| panic!("no address in {line}"));
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    format!("{host}{port}").replace("0.0.0.0", "127.0.0.1").parse().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 5 6 20 0 1 0";
        assert_eq!(processor_times(stat), [250, 50, 5, 6]);
    }

    #[test]
    fn a_process_that_works_takes_time() {
        let own = rustix::process::getpid();
        let before = cpu_of(own);
        while cpu_of(own) < before + Duration::from_millis(50) {
            std::hint::black_box(fs::read("/proc/self/stat").unwrap());
        }
    }
}
