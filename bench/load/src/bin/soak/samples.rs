//! What is sampled, and the verdict on it.

use load::Trend;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use test_kit::ServerProcess;

/// What the server tells of itself once a minute.
const VITALS: [&str; 6] = ["tasks", "devices", "users", "calls", "journal_rows", "journal_bytes"];
/// What must not grow.
const JUDGED: [&str; 3] = ["memory MiB", "open files", "tasks"];

/// Series of (seconds, value), by name.
#[derive(Default)]
pub(crate) struct Samples {
    series: BTreeMap<&'static str, Vec<(f64, f64)>>,
    lines_read: usize,
}

impl Samples {
    #[expect(clippy::cast_precision_loss, reason = "no process has 2^52 bytes or files")]
    pub(crate) fn take(&mut self, server: &ServerProcess, at: Duration) {
        // There before its first sample: a run too short for one must not pass.
        self.series("tasks");
        self.add("memory MiB", at, (server.memory() >> 10) as f64 / 1024.0);
        self.add("open files", at, server.open_files() as f64);
        let log = server.log();
        let lines: Vec<_> = log.lines().skip(self.lines_read).collect();
        self.lines_read += lines.len();
        for line in lines.iter().filter(|line| line.contains("\"vitals\"")) {
            let vitals: Value = serde_json::from_str(line).expect(line);
            for name in VITALS {
                self.add(name, at, vitals[name].as_f64().expect(name));
            }
        }
    }

    fn add(&mut self, name: &'static str, at: Duration, value: f64) {
        self.series(name).push((at.as_secs_f64(), value));
    }

    /// Of that name, made where there is none.
    fn series(&mut self, name: &'static str) -> &mut Vec<(f64, f64)> {
        self.series.entry(name).or_default()
    }

    /// Prints what each series did after the first quarter; false where something leaks or was not seen often enough.
    pub(crate) fn report(&self, length: Duration) -> bool {
        let warm = length.as_secs_f64() / 4.0;
        println!("{:14}{:>10}{:>10}{:>10}{:>12}{:>10}", "", "start", "end", "median", "an hour", "noise");
        let mut leaks_nothing = true;
        for (name, samples) in &self.series {
            let judged = JUDGED.contains(name);
            let samples: Vec<_> = samples.iter().copied().filter(|(at, _)| *at >= warm).collect();
            let Some(trend) = Trend::of(&samples) else {
                println!("{name:14} too few samples after the warm-up");
                leaks_nothing &= !judged;
                continue;
            };
            let leaks = judged && trend.is_leak();
            let Trend { start, end, median, per_hour, noise, .. } = trend;
            let verdict = if leaks { "  LEAK" } else { "" };
            println!("{name:14}{start:10.1}{end:10.1}{median:10.1}{per_hour:+12.1}{noise:10.1}{verdict}");
            leaks_nothing &= !leaks;
        }
        leaks_nothing
    }
}
