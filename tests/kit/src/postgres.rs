//! A PostgreSQL of the test's own, to be stopped, killed, frozen and starved.

use crate::PATIENCE;
use crate::process::{processor_times, ticks};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// PostgreSQL on a port of its own, over data that may be anywhere. Dropping it ends it at once.
pub struct Cluster {
    binaries: PathBuf,
    data: PathBuf,
    port: u16,
    settings: Vec<String>,
    /// PostgreSQL refuses root: whom to become.
    account: Option<(u32, u32)>,
    running: Option<Child>,
    folder: TempDir,
}

/// How PostgreSQL is told to stop, as in `pg_ctl -m`.
#[derive(Debug, Clone, Copy)]
pub enum Shutdown {
    /// Clients are cut, what is in memory is written.
    Fast,
    /// As a crash: nothing is written.
    Immediate,
}

impl Cluster {
    /// A new one, running, with these settings (`name=value`) beside its own.
    pub async fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Self::start_in(folder, &data, settings).await
    }

    /// As [`Cluster::start`], with its data in a folder that is not there yet, perhaps on another file system.
    pub async fn start_in(folder: TempDir, data: &Path, settings: &[&str]) -> Self {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let account = geteuid().is_root().then(postgres_account);
        let port = free_port().await;
        let settings = settings.iter().map(ToString::to_string).collect();
        let mut cluster = Self {
            binaries: find_binaries(),
            data: data.to_owned(),
            port,
            settings,
            account,
            running: None,
            folder,
        };
        cluster.initialise().await;
        cluster.resume().await;
        cluster
    }

    async fn initialise(&self) {
        fs::create_dir(&self.data).unwrap();
        if let Some((user, group)) = self.account {
            chown(&self.data, Some(user), Some(group)).unwrap();
        }
        let mut initdb = self.command("initdb");
        initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
        let made = initdb.arg(&self.data).output().await.unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").current_dir("/").stdin(Stdio::null());
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command
    }

    /// Starts it, again on the same port, and waits until it lets clients in.
    pub async fn resume(&mut self) {
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(&self.data).args(["-p", &self.port.to_string()]).args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
        ]);
        for setting in &self.settings {
            postgres.args(["-c", setting]);
        }
        let log = fs::File::options().append(true).create(true).open(self.log_file()).unwrap();
        postgres.stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        self.running = Some(postgres.spawn().unwrap());
        self.lets_in().await;
    }

    /// Starts it if it has ended by itself, and waits until it lets clients in.
    pub async fn revive(&mut self) {
        let ended = self.running.as_mut().is_none_or(|postmaster| !matches!(postmaster.try_wait(), Ok(None)));
        if ended { self.resume().await } else { self.lets_in().await }
    }

    async fn lets_in(&self) {
        let url = self.url("postgres");
        let ready = timeout(PATIENCE * 2, async {
            while PgConnection::connect(&url).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        assert!(ready.await.is_ok(), "PostgreSQL does not start: {}", self.log());
    }

    /// Where one of its databases is.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port it listens on whenever it runs.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its data are.
    pub fn data(&self) -> &Path {
        &self.data
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Makes an empty database and gives its URL.
    pub async fn create_database(&self, name: &str) -> String {
        execute(&self.url("postgres"), &format!("create database {name}")).await;
        self.url(name)
    }

    /// Stops it, and waits until it has.
    pub async fn stop(&mut self, how: Shutdown) {
        let mut postmaster = self.running.take().expect("PostgreSQL to run");
        let signal = match how {
            Shutdown::Fast => Signal::INT,
            Shutdown::Immediate => Signal::QUIT,
        };
        kill_process(pid_of(&postmaster), signal).unwrap();
        timeout(PATIENCE * 2, postmaster.wait()).await.expect("PostgreSQL to stop").unwrap();
    }

    /// The processor time that all its processes have taken so far.
    pub fn cpu(&self) -> Duration {
        let postmaster = pid_of(self.running.as_ref().expect("PostgreSQL to run"));
        let times = |process: Pid| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
            // One that has just ended counts as waited for.
            stat.map_or([0; 4], |stat| processor_times(&stat))
        };
        let running: u64 =
            children_of(postmaster).into_iter().map(|child| times(child)[..2].iter().sum::<u64>()).sum();
        ticks(running + times(postmaster).iter().sum::<u64>())
    }

    /// Stops every process of it where it is: connections stay, nothing answers.
    pub fn freeze(&self) {
        self.signal_all(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        let postmaster = pid_of(self.running.as_ref().expect("PostgreSQL to run"));
        // The postmaster first: it starts nothing while it stands.
        kill_process(postmaster, signal).unwrap();
        for child in children_of(postmaster) {
            // One that has just ended needs no signal.
            let _ = kill_process(child, signal);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(postmaster) = &self.running {
            // A stopped process takes no other signal, and its children end with it only by its own hand.
            self.thaw();
            let _ = kill_process(pid_of(postmaster), Signal::QUIT);
        }
        let deadline = std::time::Instant::now() + PATIENCE;
        while let Some(postmaster) = &mut self.running
            && matches!(postmaster.try_wait(), Ok(None))
            && std::time::Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Runs statements that must work, on a connection of its own.
pub async fn execute(url: &str, sql: &str) {
    try_execute(url, sql).await.expect(sql);
}

/// Runs statements, on a connection of its own.
pub async fn try_execute(url: &str, sql: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
    connection.close().await
}

/// What a query that must work answers, row by row, on a connection of its own.
pub async fn rows(url: &str, sql: &str) -> Vec<Value> {
    let wrapped = format!("select to_jsonb(t)::text from ({sql}) t");
    let mut connection = PgConnection::connect(url).await.expect(sql);
    let rows: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(wrapped)).fetch_all(&mut connection).await.expect(sql);
    connection.close().await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

fn pid_of(child: &Child) -> Pid {
    child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap())).expect("PostgreSQL to run")
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let id = parent.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// The newest that Debian's packages installed.
fn find_binaries() -> PathBuf {
    let mut found: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL's binaries under /usr/lib/postgresql")
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|folder| folder.join("postgres").exists())
        .collect();
    let major = |path: &PathBuf| path.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    found.sort_by_key(major);
    found.pop().expect("PostgreSQL's binaries under /usr/lib/postgresql")
}

/// The account that Debian's package makes.
fn postgres_account() -> (u32, u32) {
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let line = accounts.lines().find(|line| line.starts_with("postgres:")).expect("the user postgres");
    let mut ids = line.split(':').skip(2).map(|id| id.parse().unwrap());
    (ids.next().unwrap(), ids.next().unwrap())
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}
