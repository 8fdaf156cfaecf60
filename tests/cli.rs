//! The program as its operator has it: the real binary, on a private PostgreSQL in a folder of its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_video-call-server");
const PASSWORD: &str = "correct horse";
/// For what takes a second, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// A folder to run in, with nothing configured: no variable of ours reaches the program but `DATA_DIR`.
struct Place(TempDir);

/// What a command that ended left.
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    /// One that PostgreSQL's user can reach too, where root runs the tests.
    fn new() -> Self {
        Self(tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap())
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(words).current_dir(self.0.path()).env_clear();
        for kept in ["PATH", "HOME"] {
            command.envs(std::env::var_os(kept).map(|value| (kept, value)));
        }
        command.env("DATA_DIR", self.data()).env("HOST", "127.0.0.1").env("PORT", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end, with `input` on its standard input.
    fn run_with(&self, words: &[&str], input: &str) -> Done {
        finish(self.command(words), input)
    }

    fn run(&self, words: &[&str]) -> Done {
        self.run_with(words, "")
    }

    fn add(&self, username: &str) {
        self.run_with(&["user", "add", username], &format!("{PASSWORD}\n")).ok();
    }

    /// The users as the command lists them.
    fn listed(&self, words: &[&str]) -> Vec<Value> {
        let out = self.run(&[&["user", "list", "--format", "json"], words].concat()).ok();
        serde_json::from_str(&out).unwrap()
    }

    /// The process of the private PostgreSQL, while it runs.
    fn postgres(&self) -> Pid {
        let store = self.data().join("postgres");
        let home = fs::read_link(store.join("elsewhere")).unwrap_or(store);
        let text = fs::read_to_string(home.join("cluster/postmaster.pid")).unwrap();
        Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
    }
}

/// Where PostgreSQL's user cannot reach the folder, its data are elsewhere: they go too.
impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(elsewhere) = fs::read_link(self.data().join("postgres/elsewhere")) {
            let _ = fs::remove_dir_all(elsewhere);
        }
    }
}

fn finish(mut command: Command, input: &str) -> Done {
    let mut child = command.spawn().unwrap();
    // A program that ends without reading it closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let (out, err) = (drain(child.stdout.take().unwrap()), drain(child.stderr.take().unwrap()));
    let code = end_of(&mut child);
    let (out, err) = (out.join().unwrap(), err.join().unwrap());
    assert!(!format!("{out}{err}").contains(PASSWORD), "the password was shown: {out}{err}");
    Done { code: code.unwrap_or(-1), out, err }
}

fn drain(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

/// The exit code; none if a signal ended it.
fn end_of(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the program did not end");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn until(what: &str, patience: Duration, mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < patience, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

impl Done {
    /// It worked, said so in standard output, and had nothing to complain about.
    fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// It failed with one line on standard error. (On standard output a server has its log.)
    fn failure(&self) -> &str {
        assert_eq!(self.code, 1, "{}", self.err);
        let line = self.err.strip_suffix('\n').unwrap();
        assert!(!line.is_empty() && !line.contains('\n'), "{line:?} is not one line");
        line
    }

    /// The command line was wrong.
    fn usage(&self) -> &str {
        assert_eq!((self.code, self.out.as_str()), (2, ""), "{}", self.err);
        &self.err
    }
}

/// A server that serves.
struct Serving {
    child: Child,
    port: u16,
    log: mpsc::Receiver<String>,
}

impl Serving {
    fn start(place: &Place) -> Self {
        Self::of(place.command(&["serve"]))
    }

    fn of(mut command: Command) -> Self {
        command.env("LOG_FORMAT", "json").stdin(Stdio::null()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, log) = mpsc::channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut server = Self { child, port: 0, log };
        server.port = server.until_it_serves();
        server
    }

    /// The port it serves on, which is the log's word for being ready.
    fn until_it_serves(&self) -> u16 {
        let mut said = Vec::new();
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            let entry: Value = serde_json::from_str(&line).unwrap();
            if entry["message"] == "serving" {
                return entry["address"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
            }
            said.push(line);
        }
        panic!("it does not serve: {said:#?}")
    }

    /// One request on a connection of its own: its status and its body.
    fn ask(&self, head: &str, body: &str) -> (u16, Value) {
        let mut tcp = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            tcp,
            "{head}\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    fn login(&self, username: &str, password: &str) -> (u16, Value) {
        let form = json!({ "username": username, "password": password });
        self.ask("POST /api/login HTTP/1.1", &form.to_string())
    }

    fn token(&self, username: &str) -> String {
        let (status, body) = self.login(username, PASSWORD);
        assert_eq!(status, 200, "{body}");
        body["token"].as_str().unwrap().to_owned()
    }

    fn me(&self, token: &str) -> u16 {
        self.ask(&format!("GET /api/me HTTP/1.1\r\nAuthorization: Bearer {token}"), "").0
    }

    /// Waits for the moment in which the server hears that the token's session has ended.
    fn until_refused(&self, token: &str) {
        until("the session is refused", Duration::from_secs(10), || self.me(token) == 401);
    }

    fn signal(&mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        end_of(&mut self.child)
    }

    fn stop(mut self) {
        assert_eq!(self.signal(Signal::TERM), Some(0));
        let log = self.log.iter().collect::<Vec<_>>().join("\n");
        assert!(log.contains("\"stopped\""), "{log}");
    }
}

/// A test that fails leaves no server behind.
impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_operator_manages_accounts_without_a_server() {
    let place = Place::new();
    let line = place.run_with(&["user", "add", "Ann"], &format!("{PASSWORD}\n")).ok();
    let id = line.strip_prefix("added Ann with the id ").unwrap().trim_end();
    place.add("bob");

    let users = place.listed(&[]);
    assert_eq!(users.len(), 2);
    assert_eq!((&users[0]["id"], &users[0]["username"]), (&json!(id), &json!("Ann")));
    assert_eq!((&users[0]["lastSeenAt"], &users[0]["disabledAt"]), (&Value::Null, &Value::Null));
    assert!(users[0]["createdAt"].as_str().unwrap().ends_with('Z'));

    assert_eq!(place.run(&["user", "disable", "ANN"]).ok(), "disabled Ann\n");
    let disabled = place.listed(&["--disabled"]);
    assert_eq!((disabled.len(), &disabled[0]["username"]), (1, &json!("Ann")));
    place.run(&["user", "disable", "ann"]).ok();
    assert_eq!(place.listed(&["--disabled"]), disabled, "the first date stays");
    assert_eq!(place.run(&["user", "enable", "aNN"]).ok(), "enabled Ann\n");
    assert!(place.listed(&["--disabled"]).is_empty());

    let table = place.run(&["user", "list"]).ok();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("ID ") && lines[1].starts_with(id) && lines[2].contains(" bob "), "{table}");

    let set = place.run_with(&["user", "set-password", "bOB"], "another horse\r\n").ok();
    assert_eq!(set, "set the password of bob; sessions ended: 0\n");
    assert_eq!(place.run(&["user", "revoke-sessions", "Bob"]).ok(), "sessions of bob ended: 0\n");
    assert_eq!(place.run(&["migrate"]).ok(), "the schema is up to date\n");
}

#[test]
fn what_cannot_be_done_is_told_in_one_line() {
    let place = Place::new();
    place.add("Ann");
    // Beside a server each command is quick.
    let server = Serving::start(&place);
    let refused = |words: &[&str], input: &str| {
        let done = place.run_with(words, input);
        assert_eq!(done.out, "");
        done.failure().to_owned()
    };
    let password = format!("{PASSWORD}\n");
    assert_eq!(refused(&["user", "add", "aNN"], &password), "the username is taken");
    assert_eq!(refused(&["user", "add", "a"], &password), "the username must be 3 to 32 characters long");
    let short = refused(&["user", "add", "bob"], "1234567\n");
    assert_eq!(short, "the password must be at least 8 characters long");
    assert_eq!(refused(&["user", "add", "bob"], ""), "there is no password on standard input");
    assert!(refused(&["user", "set-password", "ann"], "\n").starts_with("the password must be"));
    for command in ["disable", "enable", "revoke-sessions", "set-password"] {
        for name in ["bob", "no\nname"] {
            let line = refused(&["user", command, name], &password);
            assert_eq!(line, format!("there is no user {name:?}"), "{command}");
        }
    }
    assert_eq!(place.listed(&[]).len(), 1);
    server.stop();
}

#[test]
fn a_database_that_is_not_ours_is_only_changed_by_migrate() {
    let (place, other) = (Place::new(), Place::new());
    other.add("ann");
    let mut server = Serving::start(&other);
    let url = fs::read_to_string(other.data().join("postgres/url")).unwrap();
    let empty = url.trim().replace("/video_call?", "/postgres?");
    let run = |url: &str, words: &[&str]| {
        let mut command = place.command(words);
        command.env("DATABASE_URL", url);
        finish(command, &format!("{PASSWORD}\n"))
    };
    let line = run(&empty, &["user", "add", "bob"]);
    assert!(line.failure().ends_with("run video-call-server migrate first"), "{}", line.err);
    assert!(run(url.trim(), &["user", "list"]).ok().contains(" ann "));
    let away = run("postgres://nobody@127.0.0.1:1/nothing", &["user", "list"]);
    assert!(away.failure().starts_with("cannot connect to PostgreSQL"), "{}", away.err);
    assert!(!place.data().exists(), "no private PostgreSQL where another one is named");
    assert_eq!(server.signal(Signal::TERM), Some(0));
}

#[test]
fn the_private_postgres_is_backed_up_and_checked_and_lets_in_no_other_role() {
    let place = Place::new();
    let reader = place.run(&["migrate", "--reader-role", "reader"]);
    assert!(
        reader.failure().starts_with("the private PostgreSQL lets in nobody but the server itself"),
        "{}",
        reader.err
    );
    assert!(!place.data().exists(), "nothing was started for it");
    place.add("ann");
    let file = place.0.path().join("backup");
    let name = file.to_str().unwrap();
    // Without a server, and beside one.
    assert!(place.run(&["db", "backup", name]).ok().starts_with(&format!("wrote {name} (")));
    assert!(fs::read(&file).unwrap().starts_with(b"PGDMP"));
    let server = Serving::start(&place);
    assert_eq!(place.run(&["db", "check"]).ok(), "");
    assert!(place.run(&["db", "backup", "--force", name]).ok().starts_with("wrote "));
    server.stop();
}

#[test]
fn a_password_is_no_argument_and_a_wrong_command_line_exits_with_2() {
    let place = Place::new();
    for words in [
        &["user", "add", "ann", PASSWORD][..],
        &["user", "set-password", "ann", PASSWORD],
        &["user", "add", "ann", "--password", PASSWORD],
        &["user", "add", "ann", &format!("--password={PASSWORD}")],
    ] {
        place.run(words).usage();
    }
    for words in
        [&["frobnicate"][..], &["user"], &["user", "add"], &["user", "frobnicate"], &["serve", "--prot", "1"]]
    {
        assert!(place.run(words).usage().contains("--help"), "{words:?}");
    }
    assert!(place.run(&["--help"]).ok().contains("user"));
    assert!(!place.data().exists(), "nothing was started for it");
}

#[test]
fn a_server_that_cannot_serve_says_why_in_one_line() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let line = place.run(&["serve", "--port", &port]);
    assert_eq!(line.failure(), format!("PORT {port} is already in use on 127.0.0.1"));

    let secret = "x".repeat(32);
    let all = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
        ("JWT_SECRET", &secret),
        ("CORS_ORIGIN", "https://calls.test"),
    ];
    for (missing, _) in all {
        let mut command = place.command(&[]);
        command.env("APP_ENV", "production").envs(all.into_iter().filter(|(name, _)| *name != missing));
        let done = finish(command, "");
        let start = format!("{missing}: is required when APP_ENV=production");
        assert!(done.failure().starts_with(&start), "{}", done.err);
    }
}

#[test]
fn a_secret_in_a_file_is_read_and_its_mistakes_are_told_without_it() {
    let place = Place::new();
    fs::write(place.0.path().join("url"), "postgres://nobody:hush@127.0.0.1:1/nothing\n").unwrap();
    fs::write(place.0.path().join("short"), "hush\n").unwrap();
    let fails = |settings: &[(&str, &str)]| {
        let mut command = place.command(&["user", "list"]);
        command.envs(settings.iter().copied());
        let done = finish(command, "");
        assert!(!format!("{}{}", done.out, done.err).contains("hush"), "{}", done.err);
        done.failure().to_owned()
    };
    assert!(fails(&[("DATABASE_URL_FILE", "url")]).starts_with("cannot connect to PostgreSQL"));
    let both = fails(&[("DATABASE_URL_FILE", "url"), ("DATABASE_URL", "postgres://hush@db/x")]);
    assert_eq!(both, "DATABASE_URL: is set, and DATABASE_URL_FILE too: set one of them");
    let missing = fails(&[("JWT_SECRET_FILE", "nowhere")]);
    assert_eq!(missing, r#"JWT_SECRET_FILE: "nowhere" cannot be read: there is no such file"#);
    assert!(fails(&[("JWT_SECRET_FILE", "short")]).starts_with(r#"JWT_SECRET_FILE: what "short" holds"#));
    assert!(!place.data().exists(), "nothing was started for it");
}

#[test]
fn config_check_shows_what_holds_and_where_it_was_set_and_no_secret() {
    let place = Place::new();
    let secret = "hush".repeat(10);
    fs::write(place.0.path().join(".env"), "RING_TIMEOUT=45s\nPORT=5\n").unwrap();
    fs::write(place.0.path().join("url"), "postgres://calls:hush@db/calls?password=hush\n").unwrap();
    let mut command = place.command(&["config", "check", "--join-timeout", "3s", "--format", "json"]);
    command.env("JWT_SECRET", &secret).env("DATABASE_URL_FILE", "url");
    let out = finish(command, "").ok();
    assert!(!out.contains("hush"), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let setting = |name: &str| {
        let settings = report["settings"].as_array().unwrap();
        let found = settings.iter().find(|setting| setting["name"] == name).unwrap();
        (found["value"].as_str().map(str::to_owned), found["source"].as_str().unwrap().to_owned())
    };
    for (name, value, source) in [
        ("RING_TIMEOUT", "45s", ".env"),
        ("PORT", "0", "environment"),
        ("JOIN_TIMEOUT", "3s", "flag"),
        ("RECONNECT_GRACE", "15s", "default"),
        ("JWT_SECRET", "*** (40 bytes)", "environment"),
        ("DATABASE_URL", "postgres://calls:***@db/calls?password=***", "file"),
        ("DATABASE_URL_FILE", "url", "environment"),
    ] {
        assert_eq!(setting(name), (Some(value.to_owned()), source.to_owned()), "{name}");
    }
    assert_eq!(setting("TURN_SECRET"), (None, "default".to_owned()));
    let notes = report["notes"].as_array().unwrap();
    assert!(notes[0].as_str().unwrap().starts_with("WEB_ROOT web/dist has no index.html"), "{notes:?}");

    let table = place.run(&["config", "check"]).ok();
    assert!(table.ends_with("the configuration is good\n") && table.contains("RING_TIMEOUT"), "{table}");
    assert!(!place.data().exists(), "nothing was made or started for it");
}

#[test]
fn config_check_fails_as_the_server_would() {
    let fails = |settings: &[(&str, &str)], problem: &str| {
        let place = Place::new();
        for words in [&["config", "check"][..], &["config", "check", "--format", "json"], &["serve"]] {
            let mut command = place.command(words);
            command.envs(settings.iter().copied());
            let done = finish(command, "");
            assert!(done.failure().starts_with(problem), "{words:?}: {}", done.err);
            assert!(words == ["serve"] || !place.data().exists(), "nothing is made or started for a check");
        }
    };
    fails(&[("PORT", "x")], "PORT: ");
    fails(&[("RUST_LOG", "a=b=c")], "RUST_LOG: ");
    fails(&[("TLS_CERT", "cert.pem")], "TLS_KEY: is needed");
    let database = ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    fails(&[("APP_ENV", "production"), database], "JWT_SECRET: is required");
    fails(&[("TLS_CERT", "no.pem"), ("TLS_KEY", "no.pem"), database], r#"TLS_CERT: "no.pem" cannot be read"#);
}

#[test]
fn commands_beside_a_running_server_take_effect_at_once() {
    let place = Place::new();
    let mut command = place.command(&[]);
    command.env("REGISTRATION", "closed");
    let server = Serving::of(command);
    place.add("Ann");

    let token = server.token("ann");
    assert_eq!(server.me(&token), 200);
    place.run(&["user", "disable", "ann"]).ok();
    server.until_refused(&token);
    let (status, body) = server.login("ann", PASSWORD);
    assert_eq!((status, &body["code"]), (403, &json!("account_disabled")));
    place.run(&["user", "enable", "ann"]).ok();

    let tokens = [server.token("ann"), server.token("ann")];
    assert_eq!(place.run(&["user", "revoke-sessions", "ann"]).ok(), "sessions of Ann ended: 2\n");
    for token in &tokens {
        server.until_refused(token);
    }
    let token = server.token("ann");
    let set = place.run_with(&["user", "set-password", "ann"], "another horse\n").ok();
    assert_eq!(set, "set the password of Ann; sessions ended: 1\n");
    server.until_refused(&token);
    assert_eq!(server.login("ann", PASSWORD).0, 401);
    assert_eq!(server.login("ann", "another horse").0, 200);

    assert_eq!(place.run(&["migrate"]).ok(), "the schema is up to date\n");
    let postgres = place.postgres();
    assert!(test_kill_process(postgres).is_ok(), "a command does not stop the server's PostgreSQL");
    server.stop();
}

#[test]
fn signals_end_the_server_and_its_postgres_in_order_and_the_accounts_stay() {
    let place = Place::new();
    place.add("ann");
    let mut token = None;
    for signal in [Signal::INT, Signal::TERM] {
        let mut server = Serving::start(&place);
        assert_eq!(server.ask("GET /health/ready HTTP/1.1", "").0, 200);
        let fresh = server.token("ann");
        let kept = token.replace(fresh);
        if let Some(kept) = kept {
            assert_eq!(server.me(&kept), 200, "the development secret is kept too");
        }
        let postgres = place.postgres();
        assert_eq!(server.signal(signal), Some(0));
        assert!(test_kill_process(postgres).is_err(), "its PostgreSQL has ended before it");
    }
}

#[test]
fn a_build_tells_its_version_and_the_revision_it_was_made_from() {
    let place = Place::new();
    let server = Serving::start(&place);
    let (_, health) = server.ask("GET /health HTTP/1.1", "");
    let (version, revision) = (health["version"].as_str().unwrap(), health["revision"].as_str().unwrap());
    assert_eq!(place.run(&["--version"]).ok(), format!("video-call-server {version} ({revision})\n"));
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let git = |words: &[&str]| {
        Command::new("git").args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
    };
    let is_told = ["GIT_REVISION", "SOURCE_VERSION", "RAILWAY_GIT_COMMIT_SHA"].map(std::env::var_os);
    if is_told.iter().all(Option::is_none) && Path::new(env!("CARGO_MANIFEST_DIR")).join(".git").exists() {
        let kind = git(&["cat-file", "-t", revision]);
        assert_eq!(String::from_utf8(kind.stdout).unwrap(), "commit\n", "{revision}");
    }
    server.stop();
}

#[test]
fn a_killed_server_starts_again_with_its_data() {
    let place = Place::new();
    place.add("ann");
    let mut server = Serving::start(&place);
    let token = server.token("ann");
    let postgres = place.postgres();
    assert_eq!(server.signal(Signal::KILL), None);
    let again = Serving::start(&place);
    assert_eq!(again.me(&token), 200);
    assert_ne!(place.postgres(), postgres);
    until("the killed server's PostgreSQL has ended", PATIENCE, || test_kill_process(postgres).is_err());
    again.stop();
}

#[test]
fn a_second_server_on_the_same_data_is_refused_in_one_line() {
    let place = Place::new();
    let server = Serving::start(&place);
    let second = place.run(&["serve"]);
    assert!(second.failure().contains("is in use by another server"), "{}", second.err);
    server.stop();
}

#[test]
fn a_health_check_says_whether_the_server_is_ready() {
    let place = Place::new();
    let mut server = Serving::start(&place);
    let port = server.port.to_string();
    let health = |host: &str, port: &str| place.run(&["health", "--host", host, "--port", port]);
    assert_eq!(health("127.0.0.1", &port).ok(), "ready\n");
    assert_eq!(
        health("0.0.0.0", &port).ok(),
        "ready\n",
        "a server that listens everywhere is asked on loopback"
    );
    assert_eq!(health("127.0.0.1", "0").failure(), "PORT: the server's port is not known, since PORT is 0");

    assert_eq!(server.signal(Signal::TERM), Some(0));
    let line = health("127.0.0.1", &port);
    assert!(line.failure().starts_with(&format!("no server answers at 127.0.0.1:{port}")), "{}", line.err);

    for (answer, said) in [
        (
            "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"reason\":\"database down\"}",
            "is not ready: 503 {\"reason\":\"database down\"}",
        ),
        ("220 mail.example.org\r\n", "is no HTTP server"),
    ] {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port().to_string();
        let answering = thread::spawn(move || {
            let (mut client, _) = other.accept().unwrap();
            let mut question = [0; 256];
            assert!(client.read(&mut question).unwrap() > 0);
            client.write_all(answer.as_bytes()).unwrap();
        });
        let line = health("127.0.0.1", &port);
        assert!(line.failure().ends_with(said), "{}", line.err);
        answering.join().unwrap();
    }
}

#[test]
fn a_health_check_speaks_tls_where_the_server_does() {
    let place = Place::new();
    let pair = rcgen::generate_simple_self_signed(vec!["calls.example.com".into()]).unwrap();
    let (cert, key) = (place.0.path().join("cert.pem"), place.0.path().join("key.pem"));
    fs::write(&cert, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let over_tls = |words: &[&str]| {
        let mut command = place.command(words);
        command.env("TLS_CERT", &cert).env("TLS_KEY", &key);
        command
    };
    let server = Serving::of(over_tls(&[]));
    let port = server.port.to_string();
    assert_eq!(finish(over_tls(&["health", "--port", &port]), "").ok(), "ready\n");
    let plain = place.run(&["health", "--port", &port]);
    assert!(plain.failure().contains(&format!("127.0.0.1:{port}")), "{}", plain.err);
}
