//! `video-call-server call …`: shows calls, and ends one.

use super::show::{Format, ID, Listing, NAME, TIME, or_dash, text};
use crate::output;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, value_parser};
use serde_json::{Value, json};
use std::time::Duration;
use video_call_server::admin::{Admin, CallEnd, CallSearch, ListedCall};
use video_call_server::clock::Clock;
use video_call_server::service::StartError;

const STATUSES: [&str; 7] = ["ringing", "active", "completed", "rejected", "cancelled", "missed", "failed"];

/// What to do with calls.
#[derive(Subcommand)]
pub(crate) enum CallCommand {
    /// Show calls, the newest first: live ones, unless told otherwise
    List(CallListing),
    /// End a live call on the server that has it; both sides hear that it was hung up or, while it rings, cancelled
    End(CallById),
}

/// A call.
#[derive(Args)]
pub(crate) struct CallById {
    /// The call's id, as `call list` and the log show it
    id: String,
}

/// Which calls to show.
#[derive(Args)]
pub(crate) struct CallListing {
    /// Those that are over, too
    #[arg(long)]
    all: bool,
    /// Only those of this user, on either side
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only those that stand or ended like this, over or not
    #[arg(long, value_parser = PossibleValuesParser::new(STATUSES))]
    status: Option<String>,
    /// Only those that began then or later, over or not: a date, a time such as 2026-01-31T12:00:00Z, or how long ago, such as 36h
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Since>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// How to show them
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A point in time, as somebody types it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    At(DateTime<Utc>),
    Ago(Duration),
}

fn since(raw: &str) -> Result<Since, String> {
    if let Ok(date) = raw.parse::<NaiveDate>() {
        return Ok(Since::At(date.and_time(NaiveTime::MIN).and_utc()));
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(raw) {
        return Ok(Since::At(time.to_utc()));
    }
    humantime::parse_duration(raw).map(Since::Ago).map_err(|_| {
        "neither a date such as 2026-01-31, nor a time such as 2026-01-31T12:00:00Z, nor a duration such as 36h".to_owned()
    })
}

impl Since {
    fn date(self) -> DateTime<Utc> {
        match self {
            Self::At(date) => date,
            // As early as dates go, for who asks for more than there ever was.
            Self::Ago(time) => chrono::TimeDelta::from_std(time)
                .ok()
                .and_then(|time| Clock::machine().now().wall.checked_sub_signed(time))
                .unwrap_or(DateTime::UNIX_EPOCH),
        }
    }
}

/// Does it and says so.
pub(crate) async fn run(command: CallCommand, admin: &Admin) -> Result<(), StartError> {
    match command {
        CallCommand::List(listing) => list(admin, listing).await,
        CallCommand::End(CallById { id }) => {
            let done = match admin.end_call(&id).await? {
                CallEnd::Ended(outcome) => format!("ended the call {id}: {outcome}"),
                CallEnd::WasOver(outcome, at) => {
                    format!("the call {id} was not live: it ended at {} ({outcome})", text(at))
                }
            };
            Ok(output::say(&done)?)
        }
    }
}

async fn list(admin: &Admin, listing: CallListing) -> Result<(), StartError> {
    let CallListing { all, user, status, since, limit, format } = listing;
    let only_live = !all && status.is_none() && since.is_none();
    let since = since.map(Since::date);
    let calls = admin.calls(&CallSearch { only_live, status, user, since, limit }).await?;
    let columns = [
        ("ID", ID),
        ("STATUS", 9),
        ("TYPE", 5),
        ("CALLER", NAME),
        ("CALLEE", NAME),
        ("SINCE", TIME),
        ("ANSWERED", TIME),
        ("ENDED", TIME),
        ("REASON", 0),
    ];
    let mut out = Listing::begin(format, columns)?;
    for call in calls {
        out.add(|| cells(&call), || object(&call))?;
    }
    Ok(out.end()?)
}

fn cells(call: &ListedCall) -> [String; 9] {
    let ListedCall { id, caller, callee, call_type, status, end_reason, .. } = call.clone();
    [
        id.to_string(),
        status,
        call_type,
        or_dash(caller),
        or_dash(callee),
        text(call.started_at),
        or_dash(call.answered_at.map(text)),
        or_dash(call.ended_at.map(text)),
        or_dash(end_reason),
    ]
}

fn object(call: &ListedCall) -> Value {
    json!({
        "id": call.id, "caller": call.caller, "callee": call.callee, "callType": call.call_type,
        "status": call.status, "endReason": call.end_reason, "startedAt": text(call.started_at),
        "answeredAt": call.answered_at.map(text), "endedAt": call.ended_at.map(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_a_date_a_moment_or_so_long_ago() {
        let midnight = "2026-01-31T00:00:00Z".parse().unwrap();
        assert_eq!(since("2026-01-31"), Ok(Since::At(midnight)));
        assert_eq!(since("2026-01-31T01:00:00+01:00"), Ok(Since::At(midnight)));
        assert_eq!(since("36h"), Ok(Since::Ago(Duration::from_hours(36))));
        assert!(since("yesterday").is_err() && since("").is_err() && since("31.1.2026").is_err());
        assert_eq!(since("100000000y").unwrap().date(), DateTime::UNIX_EPOCH);
    }
}
