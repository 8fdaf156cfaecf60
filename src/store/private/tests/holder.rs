//! A process that holds a private PostgreSQL and is killed: this test binary once more, running [`holds`] alone.

use super::{assert_kept, connect, folder, options, server_of, start, until};
use crate::store::private::PrivatePostgres;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::Executor;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Where this file is, the holder may make a folder `data` beside it.
const MARK: &str = "for-the-holder";

#[tokio::test]
#[ignore = "is the process that other tests start and kill"]
async fn holds() {
    if !Path::new(MARK).exists() {
        return;
    }
    let here = std::env::current_dir().unwrap();
    let mut options = options(&folder());
    options.fallback = here.join("fallback");
    let postgres = PrivatePostgres::start(&here.join("data"), options).await.unwrap();
    fs::write(here.join("ready"), "").unwrap();
    // Until whoever started us closes it, or kills us.
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
    postgres.stop().await.unwrap();
}

fn hold(folder: &TempDir) -> Child {
    fs::write(folder.path().join(MARK), "").unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "store::private::tests::holder::holds"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn kill(holder: &mut Child) {
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// The processes and their parents, as the system lists them.
fn processes() -> Vec<(Pid, Pid)> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs = text.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(|number| Pid::from_raw(number.parse().unwrap()));
        Some((numbers.next()??, numbers.next()??))
    });
    pairs.collect()
}

pub(super) fn parent_of(pid: Pid) -> Pid {
    processes().into_iter().find(|(child, _)| *child == pid).unwrap().1
}

pub(super) fn children_of(pid: Pid) -> Vec<Pid> {
    processes().into_iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| child).collect()
}

#[tokio::test]
async fn killing_the_server_stops_postgres_and_keeps_the_data() {
    let folder = folder();
    let mut holder = hold(&folder);
    until("the holder is ready", || folder.path().join("ready").exists()).await;
    let url = fs::read_to_string(folder.path().join("data/postgres/url")).unwrap();
    let mut connection = connect(&url.trim().into()).await;
    connection.execute("create table kept (n int); insert into kept values (42)").await.unwrap();
    let server = server_of(&folder.path().join("data/postgres/cluster"));
    kill(&mut holder);
    until("the watchdog stops the server", || test_kill_process(server).is_err()).await;

    let postgres = start(&folder).await;
    assert_kept(&postgres).await;
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_start_right_after_the_killing_of_the_server_finds_the_data() {
    let folder = folder();
    let first = start(&folder).await;
    super::write(&first).await;
    first.stop().await.unwrap();
    for _ in 0..3 {
        let mut holder = hold(&folder);
        until("the holder is ready", || folder.path().join("ready").exists()).await;
        fs::remove_file(folder.path().join("ready")).unwrap();
        kill(&mut holder);
        let postgres = start(&folder).await;
        assert_kept(&postgres).await;
        postgres.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_first_start_that_was_killed_half_way_does_not_hinder_the_next() {
    let folder = folder();
    let home = folder.path().join("data/postgres");
    let unfinished = || {
        let entries = fs::read_dir(&home).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("cluster.new-")).map(|name| home.join(name)).next()
    };
    let mut holder = hold(&folder);
    until("initdb is at work", || unfinished().is_some_and(|folder| folder.join("PG_VERSION").exists()))
        .await;
    kill(&mut holder);
    assert!(!home.join("cluster").exists());

    let postgres = start(&folder).await;
    super::write(&postgres).await;
    postgres.stop().await.unwrap();
    let again = start(&folder).await;
    assert_kept(&again).await;
    again.stop().await.unwrap();
    assert_eq!(unfinished(), None, "what was left is removed, at the latest by the second start");
}

#[tokio::test]
async fn ctrl_c_in_a_terminal_does_not_reach_postgres() {
    let folder = folder();
    let postgres = start(&folder).await;
    let server = server_of(&folder.path().join("data/postgres/cluster"));
    let group = rustix::process::getpgid(Some(server)).unwrap();
    assert_ne!(group, rustix::process::getpgrp());
    // And what is sent to the watchdog alone does not stop it.
    let watchdog = parent_of(server);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        kill_process(watchdog, signal).unwrap();
    }
    connect(&postgres.url()).await;
    postgres.stop().await.unwrap();
}
