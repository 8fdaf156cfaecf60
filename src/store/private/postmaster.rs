//! PostgreSQL as a process: started under a watchdog, awaited, stopped; and one that an earlier server left, stopped.

use super::account::Account;
use super::error::{During, PrivateError, telling_line};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::ChildStdout;

/// Runs its arguments as a server and tells its process id; when its own standard input closes, because whoever holds
/// the other end let go or died in whatever way, it stops the server. It outlives signals that stop us, and even if
/// it is killed itself, the reader below still stops the server. `$1`, if not empty, is removed in the end.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
rubbish=$1
shift
exec 3<&0 </dev/null
"$@" >&2 3<&- &
server=$!
{ read -r line; kill -INT "$server"; } <&3 >/dev/null 2>&1 &
reader=$!
exec 3<&-
echo "$server"
wait "$server"
status=$?
kill -KILL "$reader"
[ -z "$rubbish" ] || rm -rf -- "$rubbish"/* 2>/dev/null
exit "$status"
"#;

/// After a crash PostgreSQL reads its whole log again before it lets anybody in.
const READY_WITHIN: Duration = Duration::from_mins(3);
/// A fast shutdown writes all that is in memory to the disk.
const STOP_WITHIN: Duration = Duration::from_mins(1);
/// An immediate one writes nothing.
const QUIT_WITHIN: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) account: &'a Account,
    pub(super) program: PathBuf,
    pub(super) cluster: PathBuf,
    pub(super) settings: Vec<OsString>,
    /// Removes the data in the end.
    pub(super) throw_away: bool,
    pub(super) log: PathBuf,
}

/// A running PostgreSQL. Dropping it stops it, without waiting. Bound to no runtime: one may start it and another stop it.
#[derive(Debug)]
pub(super) struct Postmaster {
    watchdog: Child,
    /// Closing it is the order to stop.
    hold: Option<ChildStdin>,
    /// At its end the watchdog has ended.
    output: Option<OwnedFd>,
    cluster: PathBuf,
}

impl Postmaster {
    /// Starts PostgreSQL and waits until it lets clients in.
    pub(super) async fn start(plan: Plan<'_>, log: File) -> Result<Self, PrivateError> {
        let mut command = plan.account.command("/bin/sh");
        command.args(["-c", WATCHDOG, "watchdog"]);
        command.arg(if plan.throw_away { plan.cluster.as_os_str() } else { "".as_ref() });
        command.arg(&plan.program).arg("-D").arg(&plan.cluster).args(&plan.settings);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut watchdog = command.spawn().during("run", Path::new("/bin/sh"))?;
        let hold = watchdog.stdin.take();
        let output = watchdog.stdout.take().map(OwnedFd::from);
        let mut this = Self { watchdog, hold, output, cluster: plan.cluster };
        let ready = tokio::time::timeout(READY_WITHIN, this.ready()).await;
        let line = match ready {
            Ok(Ok(true)) => return Ok(this),
            Ok(Ok(false)) => telling_line(&tail(&plan.log)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not ready after {READY_WITHIN:?}"),
        };
        this.stop().await?;
        Err(PrivateError::DidNotStart { log: plan.log, line })
    }

    /// Waits until the server is ready (`true`) or the watchdog has ended (`false`).
    async fn ready(&self) -> io::Result<bool> {
        let Some(mut output) = self.output()? else { return Ok(false) };
        let mut first = String::new();
        output.read_line(&mut first).await?;
        let pid = first.trim();
        let mut rest = Vec::new();
        let mut pause = Duration::from_millis(10);
        loop {
            if reports_ready(&self.cluster, pid) {
                return Ok(true);
            }
            tokio::select! {
                ended = output.read_to_end(&mut rest) => {
                    ended?;
                    return Ok(false);
                }
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_millis(200)),
            }
        }
    }

    /// What the watchdog says, for the runtime we are on now.
    fn output(&self) -> io::Result<Option<BufReader<ChildStdout>>> {
        let Some(output) = &self.output else { return Ok(None) };
        Ok(Some(BufReader::new(ChildStdout::from_std(output.try_clone()?.into())?)))
    }

    /// Waits until PostgreSQL has ended, which without [`Self::stop`] it should not.
    pub(super) async fn ended(&self) -> io::Result<()> {
        let Some(mut output) = self.output()? else { return Ok(()) };
        output.read_to_end(&mut Vec::new()).await?;
        Ok(())
    }

    /// Orders PostgreSQL to stop and waits for it. If the future is dropped, the watchdog still sees to it.
    pub(super) async fn stop(&mut self) -> Result<(), PrivateError> {
        self.hold = None;
        if tokio::time::timeout(STOP_WITHIN, self.ended()).await.is_ok() {
            self.watchdog.wait().during("wait for", Path::new("/bin/sh"))?;
        }
        // Where the watchdog was killed or has waited in vain.
        stop_leftover(&self.cluster).await
    }
}

/// Whether the server with this process id says that it lets clients in. The file may still be its predecessor's.
fn reports_ready(cluster: &Path, pid: &str) -> bool {
    let status = fs::read_to_string(cluster.join("postmaster.pid")).unwrap_or_default();
    let mut lines = status.lines();
    lines.next() == Some(pid) && lines.nth(6).is_some_and(|state| state.trim() == "ready")
}

/// Stops a PostgreSQL that still runs on the data folder. Its server must be dead: the caller holds the lock.
pub(super) async fn stop_leftover(cluster: &Path) -> Result<(), PrivateError> {
    let file = cluster.join("postmaster.pid");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let number = text.lines().next().and_then(|line| line.trim().parse().ok());
    let Some(pid) = number.and_then(Pid::from_raw) else { return Ok(()) };
    if test_kill_process(pid).is_err() {
        return Ok(());
    }
    for (signal, patience) in [(Signal::INT, STOP_WITHIN), (Signal::QUIT, QUIT_WITHIN)] {
        if !serves(pid, cluster).await {
            break;
        }
        tracing::info!(pid = pid.as_raw_pid(), "stopping the PostgreSQL that an earlier server left");
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error).during("stop the PostgreSQL of", cluster),
        }
        if tokio::time::timeout(patience, gone(pid, cluster)).await.is_ok() {
            return Ok(());
        }
    }
    if serves(pid, cluster).await {
        return Err(PrivateError::StillRunning { cluster: cluster.to_owned(), pid: pid.as_raw_pid() });
    }
    // The number is another process's by now, and PostgreSQL would take that for its predecessor.
    fs::remove_file(&file).or_else(|error| super::credentials::if_absent(error, ())).during("remove", &file)
}

/// Waits for the end of a process that is not our child, which nothing announces.
async fn gone(pid: Pid, cluster: &Path) {
    let mut pause = Duration::from_millis(5);
    while serves(pid, cluster).await {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Whether the process is a PostgreSQL on this data folder: it makes that its working folder, and it has it on its command line.
async fn serves(pid: Pid, cluster: &Path) -> bool {
    let pid = pid.as_raw_pid().to_string();
    if let Ok(folder) = fs::read_link(format!("/proc/{pid}/cwd")) {
        return folder == cluster;
    }
    let mut ps = tokio::process::Command::new("ps");
    ps.args(["-ww", "-o", "args=", "-p", &pid]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = ps.output().await.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).contains(&*cluster.to_string_lossy())
}

/// The last of the log.
fn tail(log: &Path) -> String {
    const ENOUGH: usize = 64 * 1024;
    let bytes = fs::read(log).unwrap_or_default();
    let end = bytes.get(bytes.len().saturating_sub(ENOUGH)..).unwrap_or_default();
    String::from_utf8_lossy(end).into_owned()
}
