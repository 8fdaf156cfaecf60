//! `video-call-server user …`: reads what is needed, has it done, and says in one line what was done.

use super::password;
use super::show::{Format, ID, Listing, NAME, TIME, or_dash, text};
use crate::output;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};
use video_call_server::admin::{
    Admin, ListedUser, NewName, NewPassword, Renamed, SessionsEnded, UserDetails,
};
use video_call_server::service::StartError;

/// Far above any answer.
const LINE_LIMIT: u64 = 4096;

/// What to do with accounts. Names may be given without regard to case.
#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account, also where registration is closed; the password is asked for, or a line of standard input
    Add(WithPassword),
    /// Show the accounts
    List(UserListing),
    /// Shut an account out: its sessions end at once
    Disable(Named),
    /// Let a disabled account in again
    Enable(Named),
    /// Set another password, asked for or a line of standard input; every session of the account ends at once
    SetPassword(WithPassword),
    /// End every session of an account
    RevokeSessions(Named),
    /// Show all about one account
    Show(Shown),
    /// Give an account another name, in history too; its sessions end at once, since their tokens carry the old one
    Rename(Renaming),
    /// Delete an account: its sessions end at once; its calls stay on record, without the name
    Delete(Deletion),
}

/// An account.
#[derive(Args)]
pub(crate) struct Named {
    /// The account's username
    username: String,
}

/// An account whose password is to be read.
#[derive(Args)]
pub(crate) struct WithPassword {
    #[command(flatten)]
    account: Named,
    /// What somebody types who takes the password for an argument. It must not be repeated in the error.
    #[arg(hide = true)]
    surplus: Vec<OsString>,
}

/// What to show of the accounts.
#[derive(Args)]
pub(crate) struct UserListing {
    /// Only those that are disabled
    #[arg(long)]
    disabled: bool,
    /// How to show them
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// An account to show.
#[derive(Args)]
pub(crate) struct Shown {
    #[command(flatten)]
    account: Named,
    /// How to show it; JSON is one object here
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// An account and its name to be.
#[derive(Args)]
pub(crate) struct Renaming {
    #[command(flatten)]
    account: Named,
    /// The name it is to have
    new_username: String,
}

/// An account to delete.
#[derive(Args)]
pub(crate) struct Deletion {
    #[command(flatten)]
    account: Named,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
}

impl UserCommand {
    /// Whether something stands where somebody may have meant to put a password.
    pub(crate) fn has_surplus(&self) -> bool {
        match self {
            Self::Add(user) | Self::SetPassword(user) => !user.surplus.is_empty(),
            Self::List(_)
            | Self::Disable(_)
            | Self::Enable(_)
            | Self::RevokeSessions(_)
            | Self::Show(_)
            | Self::Rename(_)
            | Self::Delete(_) => false,
        }
    }
}

/// A command with all that it needs, the password too: nothing is started or locked while somebody types.
pub(crate) enum Task {
    Add(NewName, NewPassword),
    List(UserListing),
    Disable(Named),
    Enable(Named),
    SetPassword(Named, NewPassword),
    RevokeSessions(Named),
    Show(Shown),
    Rename(Named, NewName),
    /// Somebody has agreed.
    Delete(Named),
}

impl Task {
    /// Asks for what the command line leaves open.
    pub(crate) fn prepare(command: UserCommand) -> Result<Self, StartError> {
        Ok(match command {
            UserCommand::Add(WithPassword { account, .. }) => {
                // First of all: whoever mistyped the name should not have to type the password.
                let name = NewName::parse(&account.username)?;
                Self::Add(name, password::read(NewPassword::parse)?)
            }
            UserCommand::List(listing) => Self::List(listing),
            UserCommand::Disable(account) => Self::Disable(account),
            UserCommand::Enable(account) => Self::Enable(account),
            UserCommand::SetPassword(WithPassword { account, .. }) => {
                Self::SetPassword(account, password::read(NewPassword::parse)?)
            }
            UserCommand::RevokeSessions(account) => Self::RevokeSessions(account),
            UserCommand::Show(shown) => Self::Show(shown),
            UserCommand::Rename(Renaming { account, new_username }) => {
                Self::Rename(account, NewName::parse(&new_username)?)
            }
            UserCommand::Delete(Deletion { account, yes }) => {
                if !yes {
                    agree_to_delete(&account.username)?;
                }
                Self::Delete(account)
            }
        })
    }

    /// Does it and says so.
    pub(crate) async fn run(self, admin: &Admin) -> Result<(), StartError> {
        let done = match self {
            Self::Add(name, password) => {
                let id = admin.add(&name, password).await?;
                format!("added {} with the id {id}", name.as_str())
            }
            Self::List(listing) => return list(admin, &listing).await,
            Self::Disable(Named { username }) => format!("disabled {}", admin.disable(&username).await?),
            Self::Enable(Named { username }) => format!("enabled {}", admin.enable(&username).await?),
            Self::SetPassword(Named { username }, password) => {
                let SessionsEnded { username, sessions } = admin.set_password(&username, password).await?;
                format!("set the password of {username}; sessions ended: {sessions}")
            }
            Self::RevokeSessions(Named { username }) => {
                let SessionsEnded { username, sessions } = admin.revoke_sessions(&username).await?;
                format!("sessions of {username} ended: {sessions}")
            }
            Self::Show(Shown { account, format }) => {
                return show(&admin.show(&account.username).await?, format);
            }
            Self::Rename(Named { username }, to) => {
                let Renamed { from, sessions } = admin.rename(&username, &to).await?;
                format!("renamed {from} to {}; sessions ended: {sessions}", to.as_str())
            }
            Self::Delete(Named { username }) => {
                let SessionsEnded { username, sessions } = admin.delete(&username).await?;
                format!("deleted {username}; sessions ended: {sessions}")
            }
        };
        Ok(output::say(&done)?)
    }
}

/// Asks whoever sits at the terminal; a script says so itself.
fn agree_to_delete(username: &str) -> Result<(), StartError> {
    if !io::stdin().is_terminal() {
        return Err("deleting an account wants --yes where there is nobody to ask".into());
    }
    write!(io::stderr(), "Delete {username:?} for good? Its calls stay on record, without the name. [y/N] ")?;
    if agrees(io::stdin().lock())? { Ok(()) } else { Err("nothing was deleted".into()) }
}

fn agrees(input: impl BufRead) -> io::Result<bool> {
    let mut line = String::new();
    input.take(LINE_LIMIT).read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

async fn list(admin: &Admin, listing: &UserListing) -> Result<(), StartError> {
    let columns = [("ID", ID), ("USERNAME", NAME), ("CREATED", TIME), ("LAST SEEN", TIME), ("DISABLED", 0)];
    let mut page = admin.list(listing.disabled, None).await?;
    let mut out = Listing::begin(listing.format, columns)?;
    while let Some(last) = page.last() {
        for user in &page {
            out.add(|| cells(user), || object(user))?;
        }
        page = admin.list(listing.disabled, Some(last)).await?;
    }
    Ok(out.end()?)
}

fn cells(user: &ListedUser) -> [String; 5] {
    [
        user.id.to_string(),
        user.username().to_owned(),
        text(user.created_at),
        or_dash(user.last_seen_at.map(text)),
        or_dash(user.disabled_at.map(text)),
    ]
}

fn object(user: &ListedUser) -> Value {
    json!({
        "id": user.id, "username": user.username(), "createdAt": text(user.created_at),
        "lastSeenAt": user.last_seen_at.map(text), "disabledAt": user.disabled_at.map(text),
    })
}

/// All about one account: a line a fact, or one object.
fn show(user: &UserDetails, format: Format) -> Result<(), StartError> {
    let (seen, disabled) = (user.last_seen_at.map(text), user.disabled_at.map(text));
    let shown = match format {
        Format::Table => [
            ("id", user.id.to_string()),
            ("username", user.username.clone()),
            ("created", text(user.created_at)),
            ("last seen", or_dash(seen)),
            ("disabled", or_dash(disabled)),
            ("live sessions", user.live_sessions.to_string()),
            ("calls on record", user.calls.to_string()),
            ("live call", or_dash(user.live_call.map(|call| call.to_string()))),
        ]
        .map(|(what, value)| format!("{what:16}{value}"))
        .join("\n"),
        Format::Json => json!({
            "id": user.id, "username": user.username, "createdAt": text(user.created_at), "lastSeenAt": seen,
            "disabledAt": disabled, "liveSessions": user.live_sessions, "calls": user.calls, "liveCall": user.live_call,
        })
        .to_string(),
    };
    Ok(output::say(&shown)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (line, agreed) in [
            ("y\n", true),
            (" YES \r\n", true),
            ("\n", false),
            ("", false),
            ("no\n", false),
            ("yes please\n", false),
        ] {
            assert_eq!(agrees(line.as_bytes()).unwrap(), agreed, "{line:?}");
        }
    }
}
