//! How an operator stops the server.

use std::io;
use std::io::IsTerminal;

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Waits for SIGTERM, Ctrl-C, or the end of the terminal the server was started in. A second one, at any time later,
/// ends the process at once.
///
/// From here on SIGHUP by itself ends nothing: service managers send it to have files read again.
pub async fn shutdown_signal() -> io::Result<()> {
    let mut signals = Signals::new()?;
    signals.next().await;
    tokio::spawn(async move {
        signals.next().await;
        tracing::warn!("a second signal: exiting at once");
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangups: Hangups,
    in_terminal: bool,
}

impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangups: Hangups::new(),
            in_terminal: io::stdin().is_terminal(),
        })
    }

    async fn next(&mut self) {
        let terminal_closed = async {
            loop {
                self.hangups.next().await;
                // A terminal that was closed is none any more.
                if self.in_terminal && !io::stdin().is_terminal() {
                    self.in_terminal = false;
                    return;
                }
            }
        };
        tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {}, () = terminal_closed => {} }
    }
}

/// SIGHUP, each time it comes.
pub(super) struct Hangups(Option<tokio::signal::unix::Signal>);

impl Hangups {
    /// Where the system refuses, none ever comes.
    pub(super) fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self(signal(SignalKind::hangup()).ok())
    }

    pub(super) async fn next(&mut self) {
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
