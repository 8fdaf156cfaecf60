//! `video-call-server session …`: shows logins, and ends one.

use super::show::{Format, ID, Listing, NAME, TIME, or_dash, text};
use crate::output;
use clap::{Args, Subcommand, value_parser};
use serde_json::{Value, json};
use video_call_server::admin::{Admin, EndedSession, ListedSession, SessionSearch};
use video_call_server::service::StartError;

/// What to do with sessions.
#[derive(Subcommand)]
pub(crate) enum SessionCommand {
    /// Show sessions, those used last first: live ones, unless told otherwise
    List(SessionListing),
    /// End a session: its tokens are refused and its sockets cut, at once
    Revoke(SessionById),
}

/// A session.
#[derive(Args)]
pub(crate) struct SessionById {
    /// The session's id, as `session list` and the log show it
    id: String,
}

/// Which sessions to show.
#[derive(Args)]
pub(crate) struct SessionListing {
    /// Only those of this user
    user: Option<String>,
    /// Those too that were revoked or have expired
    #[arg(long)]
    all: bool,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// How to show them
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Does it and says so.
pub(crate) async fn run(command: SessionCommand, admin: &Admin) -> Result<(), StartError> {
    match command {
        SessionCommand::List(listing) => list(admin, listing).await,
        SessionCommand::Revoke(SessionById { id }) => {
            let EndedSession { username, was_over_since } = admin.revoke_session(&id).await?;
            let done = match was_over_since {
                None => format!("ended the session {id} of {username}"),
                Some(at) => format!("the session {id} of {username} was not live: it ended at {}", text(at)),
            };
            Ok(output::say(&done)?)
        }
    }
}

async fn list(admin: &Admin, listing: SessionListing) -> Result<(), StartError> {
    let SessionListing { user, all, limit, format } = listing;
    let sessions = admin.sessions(&SessionSearch { user, ended_too: all, limit }).await?;
    let columns = [
        ("ID", ID),
        ("USER", NAME),
        ("STATE", 7),
        ("CREATED", TIME),
        ("LAST USED", TIME),
        ("EXPIRES", TIME),
        ("IP", 15),
        ("USER AGENT", 0),
    ];
    let mut out = Listing::begin(format, columns)?;
    for session in sessions {
        out.add(|| cells(&session), || object(&session))?;
    }
    Ok(out.end()?)
}

fn cells(session: &ListedSession) -> [String; 8] {
    let ListedSession { id, username, state, user_agent, ip, .. } = session.clone();
    [
        id.to_string(),
        username,
        state.to_owned(),
        text(session.created_at),
        text(session.last_used_at),
        text(session.expires_at),
        or_dash(ip),
        or_dash(user_agent),
    ]
}

fn object(session: &ListedSession) -> Value {
    json!({
        "id": session.id, "username": session.username, "state": session.state,
        "createdAt": text(session.created_at), "lastUsedAt": text(session.last_used_at),
        "expiresAt": text(session.expires_at), "ip": session.ip, "userAgent": session.user_agent,
    })
}
