//! When and on what it was measured.

use crate::Stage;
use std::fs;
use test_kit::postgres;
use tokio::process::Command;

/// A line for above the table.
pub(crate) async fn describe(stage: &Stage) -> String {
    let first = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.split_once(':'));
        value.map_or("unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let cores = fs::read_to_string("/proc/cpuinfo").unwrap_or_default().matches("processor\t").count();
    let memory: u64 = first("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    let linux = rustix::system::uname();
    let node = Command::new("node").arg("--version").output().await.unwrap().stdout;
    let known = "select current_date as today, current_setting('server_version') as version";
    let known = postgres::rows(&stage.house.url, known).await.remove(0);
    format!(
        "{}, {cores} cores ({}), {} GiB, Linux {}, Node {}, PostgreSQL {}, rounds: {}",
        known["today"].as_str().unwrap(),
        first("/proc/cpuinfo", "model name"),
        memory.div_ceil(1 << 20),
        linux.release().to_string_lossy(),
        String::from_utf8_lossy(&node).trim(),
        known["version"].as_str().unwrap(),
        stage.plan.rounds,
    )
}
