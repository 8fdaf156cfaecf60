//! For measurements under load: who runs on which core, how many files may be open, and what numbers say.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::process::Command;
use tokio::runtime::{Builder, Runtime};

/// The command that runs `program` on the first core alone, and lets it open `files` files. Clients belong on the others:
/// a runtime of [`beside_the_server`].
pub fn on_its_own_core(program: &Path, files: u64) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={files}:{files}")).args(["taskset", "-c", &cores().0.to_string()]);
    command.arg(program);
    command
}

/// A runtime on every core but the server's, where there is another.
pub fn beside_the_server() -> Runtime {
    let (_, others) = cores();
    let threads = others.count().try_into().unwrap();
    let pin = move || sched_setaffinity(None, &others).unwrap();
    // The thread that waits for the outcome does part of the work.
    pin();
    Builder::new_multi_thread().worker_threads(threads).on_thread_start(pin).enable_all().build().unwrap()
}

/// The same with this thread alone. Whatever it starts runs beside the server, too.
pub fn alone_beside_the_server() -> Runtime {
    let (_, others) = cores();
    sched_setaffinity(None, &others).unwrap();
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Does some work on the server's core, and waits for it.
pub fn in_the_servers_place<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let (server, _) = cores();
    let mut place = CpuSet::new();
    place.set(server);
    let there = || {
        sched_setaffinity(None, &place).unwrap();
        work()
    };
    std::thread::scope(|scope| scope.spawn(there).join().unwrap())
}

/// The server's core, and those of everybody else.
fn cores() -> (usize, CpuSet) {
    // As the process was started: this thread may be confined already.
    static ALLOWED: OnceLock<CpuSet> = OnceLock::new();
    let allowed = ALLOWED.get_or_init(|| sched_getaffinity(Some(rustix::process::getpid())).unwrap());
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    let server = cores.next().unwrap();
    let mut others = CpuSet::new();
    cores.for_each(|core| others.set(core));
    if others.count() == 0 {
        others.set(server);
    }
    (server, others)
}

/// Lets this process open as many files as it is allowed to, which must be at least so many.
pub fn raise_file_limit(least: u64) {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum;
    assert!(most.is_none_or(|most| most >= least), "this needs {least} open files, and {most:?} are allowed");
    setrlimit(Resource::Nofile, Rlimit { current: most.or(Some(least)), maximum: most }).unwrap();
}

/// The value that `share` (0 to 1) of all values do not exceed.
pub fn percentile(values: &mut [Duration], share: f64) -> Duration {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "far fewer values than 2^52"
    )]
    let rank = (values.len() as f64 * share).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

/// The middle one.
pub fn median(values: &mut [Duration]) -> Duration {
    percentile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let mut values: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut values, 0.99), Duration::from_millis(99));
        assert_eq!(percentile(&mut values, 1.0), Duration::from_millis(100));
        assert_eq!(median(&mut values), Duration::from_millis(50));
        assert_eq!(median(&mut [Duration::from_secs(7)]), Duration::from_secs(7));
    }
}
