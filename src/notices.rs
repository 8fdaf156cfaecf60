//! What others do to a running server through its database: they end sessions, and ask for calls to end.
//!
//! A notice is believed as far as the rows bear it out: a role that may only read could send one, too.

use crate::app::App;
use crate::error::{Error, Result};
use crate::store;
use crate::store::notices::{Notice, Notices};
use std::convert::Infallible;
use std::time::Duration;

/// Does what the command line, other servers and admins in SQL ask for, for as long as it is polled.
pub(crate) async fn follow(app: &App) {
    loop {
        let Err(error) = follow_connection(app).await;
        tracing::debug!(%error, "notices of the database cannot be followed; trying again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn follow_connection(app: &App) -> Result<Infallible> {
    let mut notices = Notices::listen(&app.pool).await?;
    app.sessions.doubt_all();
    while let Err(error) = check_what_lives(app).await {
        wait_out(error).await?;
    }
    loop {
        let notice = notices.next().await?;
        while let Err(error) = heed(app, notice).await {
            wait_out(error).await?;
        }
    }
}

/// A database that is too busy to answer does so later, and what it says on the open connection waits there. One that is gone
/// has taken that connection with it, which shows once it is back.
async fn wait_out(error: Error) -> Result<()> {
    if !matches!(error, Error::Unavailable { .. }) {
        return Err(error);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

async fn heed(app: &App, notice: Notice) -> Result<()> {
    match notice {
        Notice::SessionEnded(session) => app.sessions.check_end(session).await,
        Notice::CallEndRequested(call) if app.live.has_call(call) => end_requested(app, &[call]).await,
        // Another server has it, or nobody.
        Notice::CallEndRequested(_) => Ok(()),
    }
}

/// Something may have been missed.
pub(crate) async fn catch_up(app: &App) -> Result<()> {
    app.sessions.doubt_all();
    check_what_lives(app).await
}

async fn check_what_lives(app: &App) -> Result<()> {
    app.sessions.check_sockets().await?;
    let calls = app.live.calls();
    if calls.is_empty() { Ok(()) } else { end_requested(app, &calls).await }
}

/// Ends those of the calls that an operator wants ended.
async fn end_requested(app: &App, calls: &[crate::domain::ids::CallId]) -> Result<()> {
    for call in store::calls::whose_end_is_requested(&app.pool, calls).await? {
        app.live.end_by_operator(call);
    }
    Ok(())
}
