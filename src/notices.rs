//! What others do to a running server through its database: they end sessions, and ask for calls to end.
//!
//! A notice is believed as far as the rows bear it out: a role that may only read could send one, too.

use crate::app::App;
use crate::error::Result;
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
    catch_up(app).await?;
    loop {
        match notices.next().await? {
            Notice::SessionEnded(session) => app.sessions.check_end(session).await?,
            Notice::CallEndRequested(call) if app.live.has_call(call) => {
                end_requested(app, &[call]).await?;
            }
            // Another server has it, or nobody.
            Notice::CallEndRequested(_) => {}
        }
    }
}

/// Something may have been missed.
pub(crate) async fn catch_up(app: &App) -> Result<()> {
    app.sessions.recheck().await?;
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
