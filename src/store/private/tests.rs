//! On real PostgreSQL, with real processes that are really killed. They pass as root and as an ordinary user.

mod holder;
#[cfg(feature = "postgres-download")]
mod mirror;

use super::account::we_are_root;
use super::{Durability, Options, PrivateError, PrivatePostgres};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A folder that PostgreSQL's user can reach too.
fn folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
}

/// The machine's PostgreSQL, run fast, with nothing outside `folder`.
fn options(folder: &TempDir) -> Options {
    Options {
        durability: Durability::Fast,
        fallback: folder.path().join("fallback"),
        releases: "http://127.0.0.1:9/nobody-there".to_owned(),
        ..Options::new("/usr/local/bin:/usr/bin:/bin")
    }
}

async fn start(folder: &TempDir) -> PrivatePostgres {
    PrivatePostgres::start(&folder.path().join("data"), options(folder)).await.unwrap()
}

/// As the server does it: what is committed stays, whatever is killed.
async fn start_durable(folder: &TempDir) -> PrivatePostgres {
    let durable = Options { durability: Durability::Durable, ..options(folder) };
    PrivatePostgres::start(&folder.path().join("data"), durable).await.unwrap()
}

async fn connect(url: &SecretString) -> PgConnection {
    PgConnection::connect(url.expose_secret()).await.unwrap()
}

async fn write(postgres: &PrivatePostgres) {
    let mut connection = connect(&postgres.url()).await;
    connection.execute("create table kept (n int); insert into kept values (42)").await.unwrap();
    connection.close().await.unwrap();
}

async fn assert_kept(postgres: &PrivatePostgres) {
    let row = connect(&postgres.url()).await.fetch_one("select n from kept").await.unwrap();
    assert_eq!(row.get::<i32, _>(0), 42);
}

/// The process id of the server on a data folder.
fn server_of(cluster: &Path) -> Pid {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
}

/// Waits for what nothing announces.
async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let poll = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), poll).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn assert_one_line(error: &PrivateError) -> String {
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

#[tokio::test]
async fn data_and_password_and_port_survive_a_restart() {
    let folder = folder();
    let first = start(&folder).await;
    let url = first.url();
    write(&first).await;
    let pid = server_of(&folder.path().join("data/postgres/cluster"));
    first.stop().await.unwrap();
    assert!(test_kill_process(pid).is_err(), "stopping waits for the end");

    let second = start(&folder).await;
    assert_kept(&second).await;
    assert_eq!(second.url().expose_secret(), url.expose_secret());
    let file = folder.path().join("data/postgres/url");
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), url.expose_secret());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn we_own_the_database_but_are_no_superuser_and_nobody_else_gets_in() {
    let folder = folder();
    let postgres = start(&folder).await;
    let mut connection = connect(&postgres.url()).await;
    let sql = "select rolsuper, rolcreatedb, current_database(), current_setting('server_encoding'), \
               current_setting('data_checksums'), current_setting('timezone') from pg_roles where rolname = current_user";
    let row = connection.fetch_one(sql).await.unwrap();
    assert!(!row.get::<bool, _>(0) && row.get::<bool, _>(1));
    let settings: Vec<String> = (2..6).map(|column| row.get(column)).collect();
    assert_eq!(settings, ["video_call", "UTF8", "on", "UTC"]);
    connection.execute("create database copy template template0").await.unwrap();

    let superuser = postgres.url().expose_secret().replace("postgres://video_call:", "postgres://postgres:");
    assert!(PgConnection::connect(&superuser).await.is_err());
    let guess = postgres.url().expose_secret().replace("video_call:", "video_call:x");
    assert!(PgConnection::connect(&guess).await.is_err());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn data_survive_the_killing_of_postgres_whose_end_is_noticed_and_mended() {
    let folder = folder();
    let postgres = start_durable(&folder).await;
    write(&postgres).await;
    // A session that is busy does not see at once that its server is gone.
    let mut busy = connect(&postgres.url()).await;
    let work =
        tokio::spawn(async move { busy.execute("select count(*) from generate_series(1, 20000000)").await });
    let pid = server_of(&folder.path().join("data/postgres/cluster"));
    kill_process(pid, Signal::KILL).unwrap();
    postgres.ended().await;
    drop(postgres);

    let mut again = start_durable(&folder).await;
    assert_kept(&again).await;
    let _ = work.await;

    kill_process(server_of(&folder.path().join("data/postgres/cluster")), Signal::KILL).unwrap();
    again.ended().await;
    again.revive().await.unwrap();
    assert_kept(&again).await;
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_postgres_that_lost_its_watchdog_is_stopped_by_the_next_start() {
    let folder = folder();
    let postgres = start_durable(&folder).await;
    write(&postgres).await;
    let server = server_of(&folder.path().join("data/postgres/cluster"));
    let watchdog = holder::parent_of(server);
    let reader = holder::children_of(watchdog).into_iter().find(|child| *child != server).unwrap();
    for pid in [watchdog, reader] {
        kill_process(pid, Signal::KILL).unwrap();
    }
    postgres.ended().await;
    drop(postgres);
    assert!(test_kill_process(server).is_ok(), "nobody was left to stop it");

    let again = start(&folder).await;
    assert_kept(&again).await;
    assert_ne!(server_of(&folder.path().join("data/postgres/cluster")), server);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn dropping_it_stops_postgres() {
    let folder = folder();
    let postgres = start(&folder).await;
    let pid = server_of(&folder.path().join("data/postgres/cluster"));
    drop(postgres);
    until("the server ends", || test_kill_process(pid).is_err()).await;
}

#[test]
fn it_outlives_the_runtime_that_started_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = folder();
    let postgres = runtime().block_on(start(&folder));
    runtime().block_on(write(&postgres));
    runtime().block_on(postgres.stop()).unwrap();
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused_in_one_line() {
    let folder = folder();
    let first = start(&folder).await;
    write(&first).await;
    let second = PrivatePostgres::start(&folder.path().join("data"), options(&folder)).await;
    let line = assert_one_line(&second.unwrap_err());
    assert!(line.contains("is in use by another server"), "{line}");
    assert_kept(&first).await;
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_lost_url_file_costs_only_the_password() {
    let folder = folder();
    let first = start(&folder).await;
    let old = first.url();
    write(&first).await;
    first.stop().await.unwrap();
    fs::remove_file(folder.path().join("data/postgres/url")).unwrap();

    let second = start(&folder).await;
    assert_ne!(second.url().expose_secret(), old.expose_secret());
    assert_kept(&second).await;
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_that_was_taken_meanwhile_is_changed() {
    let folder = folder();
    start(&folder).await.stop().await.unwrap();
    let file = folder.path().join("data/postgres/url");
    let url = fs::read_to_string(&file).unwrap();
    let port = url.split_once("127.0.0.1:").unwrap().1.split('/').next().unwrap();
    let _other = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();

    let postgres = start(&folder).await;
    assert_ne!(postgres.url().expose_secret(), url.trim());
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), postgres.url().expose_secret());
    connect(&postgres.url()).await;
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_process_that_got_the_number_of_a_dead_postgres_is_left_alone() {
    let folder = folder();
    let first = start_durable(&folder).await;
    write(&first).await;
    let cluster = folder.path().join("data/postgres/cluster");
    kill_process(server_of(&cluster), Signal::KILL).unwrap();
    first.ended().await;
    drop(first);
    let account = super::account::Account::for_cluster(&cluster).unwrap();
    let mut other = account.task("/bin/sleep").arg("600").spawn().unwrap();
    let file = cluster.join("postmaster.pid");
    let status = fs::read_to_string(&file).unwrap();
    let (_, rest) = status.split_once('\n').unwrap();
    fs::write(&file, format!("{}\n{rest}", other.id().unwrap())).unwrap();

    let second = start(&folder).await;
    assert_kept(&second).await;
    assert!(other.try_wait().unwrap().is_none(), "it still runs");
    other.kill().await.unwrap();
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_throwaway_leaves_no_data_behind() {
    let folder = folder();
    let throwaway = Options { durability: Durability::Throwaway, ..options(&folder) };
    let postgres = PrivatePostgres::start(&folder.path().join("data"), throwaway).await.unwrap();
    let cluster = folder.path().join("data/postgres/cluster");
    assert!(cluster.join("base").exists());
    postgres.stop().await.unwrap();
    assert_eq!(fs::read_dir(cluster).unwrap().count(), 0);
}

#[tokio::test]
async fn a_path_may_hold_any_character() {
    let folder = folder();
    let data = folder.path().join("zwölf 'Äpfel'").join("$(touch x) \"and\" `more` \\ 数据 -D");
    let postgres = PrivatePostgres::start(&data, options(&folder)).await.unwrap();
    write(&postgres).await;
    assert_kept(&postgres).await;
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_machine_without_postgres_is_told_what_to_do_in_one_line() {
    let folder = folder();
    let bare = Options { search_path: "".into(), folders: Vec::new(), ..options(&folder) };
    let error = PrivatePostgres::start(&folder.path().join("data"), bare).await.unwrap_err();
    let line = assert_one_line(&error);
    assert!(line.contains("apt install postgresql") && line.contains("DATABASE_URL"), "{line}");
}

#[tokio::test]
async fn data_of_another_major_version_are_left_alone_and_named_in_one_line() {
    let folder = folder();
    let cluster = folder.path().join("data/postgres/cluster");
    fs::create_dir_all(&cluster).unwrap();
    fs::write(cluster.join("PG_VERSION"), "97\n").unwrap();
    let error = PrivatePostgres::start(&folder.path().join("data"), options(&folder)).await.unwrap_err();
    let line = assert_one_line(&error);
    assert!(line.contains("made by PostgreSQL 97") && line.contains("this machine has only"), "{line}");
}

#[tokio::test]
async fn a_folder_that_postgres_cannot_start_in_is_told_with_its_last_words() {
    let folder = folder();
    start(&folder).await.stop().await.unwrap();
    let cluster = folder.path().join("data/postgres/cluster");
    fs::write(cluster.join("postgresql.conf"), "no_such_setting = on\n").unwrap();
    let error = PrivatePostgres::start(&folder.path().join("data"), options(&folder)).await.unwrap_err();
    let line = assert_one_line(&error);
    assert!(line.contains("did not come up: FATAL:") && line.contains("postgresql.conf"), "{line}");
}

/// Only root has somebody else run PostgreSQL.
#[tokio::test]
async fn a_folder_out_of_reach_of_postgres_user_has_its_data_elsewhere() {
    if !we_are_root() {
        return;
    }
    let folder = folder();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let data = closed.join("data");
    let first = PrivatePostgres::start(&data, options(&folder)).await.unwrap();
    write(&first).await;
    let elsewhere = fs::read_link(data.join("postgres/elsewhere")).unwrap();
    assert!(elsewhere.starts_with(folder.path().join("fallback")));
    server_of(&elsewhere.join("cluster"));
    let copy = folder.path().join("copy");
    assert!(Command::new("cp").arg("-a").args([&data, &copy]).status().unwrap().success());
    let error = PrivatePostgres::start(&copy, options(&folder)).await.unwrap_err();
    assert!(assert_one_line(&error).contains("is in use"), "a copy of the folder is not a copy of the data");
    first.stop().await.unwrap();

    let moved = closed.join("moved");
    fs::rename(&data, &moved).unwrap();
    let second = PrivatePostgres::start(&moved, options(&folder)).await.unwrap();
    assert_kept(&second).await;
    second.stop().await.unwrap();

    fs::remove_dir_all(&elsewhere).unwrap();
    let error = PrivatePostgres::start(&moved, options(&folder)).await.unwrap_err();
    assert!(assert_one_line(&error).contains("which is not there"));
}
