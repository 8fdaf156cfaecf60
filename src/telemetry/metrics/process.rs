//! The process as its system sees it, under the names that every client library of Prometheus uses.

use super::Metrics;
use super::reading::Kind;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fs;

pub(super) fn register(metrics: &Metrics) -> prometheus::Result<()> {
    let one = |value: Option<f64>| value.map(|value| ("", value)).into_iter().collect::<Vec<_>>();
    metrics.add(
        Kind::Counter,
        "process_cpu_seconds_total",
        "Processor time spent, in user and system mode.",
        &[],
        move || one(cpu_seconds()),
    )?;
    metrics.add(
        Kind::Gauge,
        "process_resident_memory_bytes",
        "Memory that is resident.",
        &[],
        move || one(memory("VmRSS:")),
    )?;
    metrics.add(
        Kind::Gauge,
        "process_virtual_memory_bytes",
        "Memory that is addressed.",
        &[],
        move || one(memory("VmSize:")),
    )?;
    metrics.add(Kind::Gauge, "process_threads", "Threads.", &[], move || one(status("Threads:")))?;
    metrics.add(Kind::Gauge, "process_open_fds", "File descriptors that are open.", &[], move || {
        one(open_files())
    })?;
    metrics.add(Kind::Gauge, "process_max_fds", "File descriptors that may be open.", &[], move || {
        one(open_files_limit())
    })
}

fn cpu_seconds() -> Option<f64> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u32::try_from(time.tv_sec).ok()?;
    Some(f64::from(seconds) + f64::from(u32::try_from(time.tv_nsec).ok()?) / 1e9)
}

/// procfs answers from memory: reading it does not block.
fn status(name: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn memory(name: &str) -> Option<f64> {
    status(name).map(|kilobytes| kilobytes * 1024.0)
}

fn open_files() -> Option<f64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    // The one that reads is not counted.
    u32::try_from(open).ok().map(|open| f64::from(open.saturating_sub(1)))
}

/// None: there is no limit.
fn open_files_limit() -> Option<f64> {
    let limit = getrlimit(Resource::Nofile).current?;
    #[expect(clippy::cast_precision_loss, reason = "a limit that large is none")]
    Some(limit as f64)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_everything() {
        let one_more = fs::File::open("/proc/self/status").unwrap();
        let open = open_files().unwrap();
        assert!(open >= 4.0 && open <= open_files_limit().unwrap_or(f64::MAX), "{open}");
        drop(one_more);
        assert!(cpu_seconds().unwrap() > 0.0);
        assert!(status("Threads:").unwrap() >= 1.0);
        assert!(memory("VmRSS:").unwrap() >= 1e6 && memory("VmSize:") > memory("VmRSS:"));
        assert_eq!(memory("VmNothing:"), None);
    }
}
