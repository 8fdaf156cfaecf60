//! `video-call-server user …`: reads what is needed, has it done, and says in one line what was done.

use crate::cli::{Format, Listing, Named, UserCommand, WithPassword};
use crate::output;
use chrono::{DateTime, SecondsFormat, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::io::{self, BufRead, BufWriter, IsTerminal, Write};
use video_call_server::admin::{Admin, ListedUser, NewName, NewPassword, SessionsEnded};
use video_call_server::service::StartError;

/// Far above the longest password, however it is composed.
const LINE_LIMIT: u64 = 4096;

/// A command with all that it needs, the password too: nothing is started or locked while somebody types.
pub(crate) enum Task {
    Add(NewName, NewPassword),
    List(Listing),
    Disable(Named),
    Enable(Named),
    SetPassword(Named, NewPassword),
    RevokeSessions(Named),
}

impl Task {
    /// Asks for what the command line leaves open.
    pub(crate) fn prepare(command: UserCommand) -> Result<Self, StartError> {
        Ok(match command {
            UserCommand::Add(WithPassword { account, .. }) => {
                // First of all: whoever mistyped the name should not have to type the password.
                let name = NewName::parse(&account.username)?;
                Self::Add(name, read_password()?)
            }
            UserCommand::List(listing) => Self::List(listing),
            UserCommand::Disable(account) => Self::Disable(account),
            UserCommand::Enable(account) => Self::Enable(account),
            UserCommand::SetPassword(WithPassword { account, .. }) => {
                Self::SetPassword(account, read_password()?)
            }
            UserCommand::RevokeSessions(account) => Self::RevokeSessions(account),
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
        };
        Ok(output::say(&done)?)
    }
}

/// Twice from whoever sits at the terminal; else one line of standard input.
fn read_password() -> Result<NewPassword, StartError> {
    if !io::stdin().is_terminal() {
        return Ok(NewPassword::parse(&read_line(io::stdin().lock())?)?);
    }
    let ask = |prompt| rpassword::prompt_password(prompt).map(SecretString::from);
    let typed = ask("Password: ")?;
    let password = NewPassword::parse(&typed)?;
    if ask("The same again: ")?.expose_secret() != typed.expose_secret() {
        return Err("the two passwords differ".into());
    }
    Ok(password)
}

/// The first line without its end: every other character, a space too, is part of the password.
fn read_line(input: impl BufRead) -> Result<SecretString, StartError> {
    let mut line = String::new();
    let read = input.take(LINE_LIMIT).read_line(&mut line);
    if read.map_err(|error| format!("the password cannot be read from standard input: {error}"))? == 0 {
        return Err("there is no password on standard input".into());
    }
    let end = line.trim_end_matches('\n').trim_end_matches('\r').len();
    line.truncate(end);
    Ok(line.into())
}

async fn list(admin: &Admin, listing: &Listing) -> Result<(), StartError> {
    // A lock on standard output may not be held across a wait.
    let mut out = BufWriter::new(io::stdout());
    let mut listed = 0_usize;
    let mut page = admin.list(listing.disabled, None).await?;
    output::unless_gone(begin(&mut out, listing.format))?;
    while let Some(last) = page.last() {
        for user in &page {
            output::unless_gone(show(&mut out, listing.format, user, listed == 0))?;
            listed += 1;
        }
        page = admin.list(listing.disabled, Some(last)).await?;
    }
    Ok(output::unless_gone(end(&mut out, listing.format, listed == 0))?)
}

fn begin(out: &mut impl Write, format: Format) -> io::Result<()> {
    match format {
        Format::Table => row(out, ["ID", "USERNAME", "CREATED", "LAST SEEN", "DISABLED"]),
        Format::Json => write!(out, "["),
    }
}

fn show(out: &mut impl Write, format: Format, user: &ListedUser, is_first: bool) -> io::Result<()> {
    let ListedUser { id, created_at, last_seen_at, disabled_at, .. } = user;
    let (id, created, seen) = (id.to_string(), text(*created_at), last_seen_at.map(text));
    let (username, disabled) = (user.username(), disabled_at.map(text));
    match format {
        Format::Table => {
            let dash = |date: &Option<String>| date.clone().unwrap_or_else(|| "-".to_owned());
            row(out, [&id, username, &created, &dash(&seen), &dash(&disabled)])
        }
        Format::Json => {
            let user = json!({
                "id": id, "username": username, "createdAt": created, "lastSeenAt": seen, "disabledAt": disabled,
            });
            write!(out, "{}\n  {user}", if is_first { "" } else { "," })
        }
    }
}

fn end(out: &mut impl Write, format: Format, is_empty: bool) -> io::Result<()> {
    match format {
        Format::Table => {}
        Format::Json if is_empty => writeln!(out, "]")?,
        Format::Json => writeln!(out, "\n]")?,
    }
    out.flush()
}

/// Columns as wide as what they may hold.
fn row(out: &mut impl Write, [id, username, created, seen, disabled]: [&str; 5]) -> io::Result<()> {
    writeln!(out, "{id:36}  {username:32}  {created:24}  {seen:24}  {disabled}")
}

/// RFC 3339 in UTC with milliseconds, as everywhere.
fn text(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_without_its_end() {
        for (input, password) in [
            ("hunter22\n", "hunter22"),
            ("hunter22", "hunter22"),
            ("hunter22\r\nmore\n", "hunter22"),
            (" spaces count \n", " spaces count "),
            ("\n", ""),
        ] {
            assert_eq!(read_line(input.as_bytes()).unwrap().expose_secret(), password);
        }
        assert!(read_line(&b""[..]).is_err());
        assert!(read_line(&b"\xff\xfe\n"[..]).is_err());
    }
}
