//! One's own history of calls.

use super::docs::refusals::{Limited, NoToken, Refusals, refuses};
use super::docs::schemas;
use super::extract::{Caller, QueryParams};
use super::wire::Timestamp;
use crate::app::App;
use crate::domain::call::CallStatus;
use crate::domain::ids::{CallId, UserId};
use crate::domain::media::CallType;
use crate::error::{Error, Result};
use crate::store::calls::{self, Filter, HistoryRow, Position, Side};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use validator::Validate;

pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

#[derive(Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
struct Page {
    /// How many at most; 50 where it is not said.
    #[validate(range(min = 1, max = 200, message = "must be from 1 to 200"))]
    #[param(minimum = 1, maximum = 200, nullable = false)]
    limit: Option<i64>,
    /// `next` of the page before, as it came.
    #[param(value_type = Option<schemas::Cursor>, nullable = false)]
    before: Option<Cursor>,
    /// Only calls that stand so.
    #[param(inline, nullable = false)]
    status: Option<CallStatus>,
    /// Only calls with this user.
    #[param(value_type = Option<Uuid>, nullable = false)]
    with: Option<UserId>,
}

/// A place in the history that a client gives back as it got it: base64url of microseconds and id.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Cursor(Position);

#[derive(Serialize, ToSchema)]
#[schema(as = CallPage)]
struct PageBody {
    #[schema(max_items = 200)]
    calls: Vec<CallBody>,
    /// For `before`; null at the end.
    #[schema(required, value_type = Option<schemas::Cursor>)]
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Call)]
struct CallBody {
    #[schema(value_type = Uuid)]
    id: CallId,
    /// Who called.
    from: SideBody,
    /// Who was called.
    to: SideBody,
    #[schema(value_type = CallType)]
    call_type: String,
    #[schema(value_type = CallStatus)]
    status: String,
    /// Null while the call lives.
    #[schema(required, value_type = Option<schemas::EndReason>)]
    end_reason: Option<String>,
    /// Epoch milliseconds, as on the demo server.
    #[schema(example = 1_701_423_000_123_i64)]
    start_time: i64,
    /// Null where nobody answered.
    #[schema(required)]
    answered_at: Option<Timestamp>,
    /// Null while the call lives.
    #[schema(required)]
    ended_at: Option<Timestamp>,
    /// Whole seconds of talk; null where nobody answered, and while the call lives.
    #[schema(required, minimum = 0)]
    duration_seconds: Option<i64>,
}

/// A party of a call; both fields are null when the account is deleted.
#[derive(Serialize, ToSchema)]
#[schema(as = CallParty)]
struct SideBody {
    #[schema(required, value_type = Option<Uuid>)]
    id: Option<UserId>,
    #[schema(required)]
    username: Option<String>,
}

refuses!(NoSuchCall: Error::NotFound("There is no such call"));

/// My calls
///
/// made and received, newest first.
#[utoipa::path(
    get, path = "/api/calls", operation_id = "calls", tag = "calls", security(("bearer" = [])),
    params(Page),
    responses(
        (status = 200, description = "A page of my history", body = PageBody, links(
            ("next" = (operation_id = "calls", parameters(("query.before" = "$response.body#/next")))),
            ("newest" = (operation_id = "call", parameters(("path.id" = "$response.body#/calls/0/id")))),
        )),
        Refusals<(NoToken, Limited)>,
    ),
)]
async fn list(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    QueryParams(page): QueryParams<Page>,
) -> Result<Json<PageBody>> {
    let limit = page.limit.unwrap_or(50);
    let filter = Filter {
        before: page.before.map(|Cursor(position)| position),
        status: page.status.map(CallStatus::as_str),
        with: page.with,
    };
    let calls = calls::list(&app.pool, caller.user, filter, limit + 1).await?;
    Ok(Json(PageBody::cut(calls, limit)))
}

/// One of my calls
#[utoipa::path(
    get, path = "/api/calls/{id}", operation_id = "call", tag = "calls", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The `callId` of the events")),
    responses(
        (status = 200, description = "The call as it stands", body = CallBody),
        Refusals<(NoToken, Limited, NoSuchCall)>,
    ),
)]
async fn show(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<CallBody>> {
    let unknown = || Error::NotFound("There is no such call");
    let Path(id) = id.map_err(|_| unknown())?;
    let id = Uuid::try_parse(&id).map_err(|_| unknown())?;
    let call = calls::find(&app.pool, caller.user, id.into()).await?.ok_or_else(unknown)?;
    Ok(Json(call.into()))
}

impl PageBody {
    fn cut(mut calls: Vec<HistoryRow>, limit: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = calls.len() > limit;
        calls.truncate(limit);
        let next = calls
            .last()
            .filter(|_| has_more)
            .map(|call| String::from(Cursor(Position { started_at: call.started_at, id: call.id })));
        Self { calls: calls.into_iter().map(CallBody::from).collect(), next }
    }
}

impl From<Cursor> for String {
    fn from(Cursor(Position { started_at, id }): Cursor) -> Self {
        let micros = started_at.timestamp_micros().to_be_bytes();
        URL_SAFE_NO_PAD.encode([micros.as_slice(), Uuid::from(id).as_bytes()].concat())
    }
}

impl TryFrom<String> for Cursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        parse_cursor(&text).ok_or("must be a cursor from an earlier page")
    }
}

fn parse_cursor(text: &str) -> Option<Cursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (micros, id) = bytes.split_first_chunk::<8>()?;
    let started_at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?;
    // What the database could not take is no cursor of ours.
    let id = Uuid::from_slice(id).ok().filter(|_| (1970..=9999).contains(&started_at.year()))?;
    Some(Cursor(Position { started_at, id: id.into() }))
}

impl From<HistoryRow> for CallBody {
    fn from(call: HistoryRow) -> Self {
        let talked = call.answered_at.zip(call.ended_at).map(|(answered, ended)| ended - answered);
        Self {
            id: call.id,
            from: call.caller.into(),
            to: call.callee.into(),
            call_type: call.call_type,
            status: call.status,
            end_reason: call.end_reason,
            start_time: call.started_at.timestamp_millis(),
            answered_at: call.answered_at.map(Timestamp),
            ended_at: call.ended_at.map(Timestamp),
            duration_seconds: talked.map(|time| time.num_seconds()),
        }
    }
}

impl From<Side> for SideBody {
    fn from(party: Side) -> Self {
        Self { id: party.id, username: party.username }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(micros: i64) -> HistoryRow {
        let at = |offset| DateTime::from_timestamp_micros(micros + offset);
        HistoryRow {
            id: CallId::new(),
            caller: Side { id: None, username: None },
            callee: Side { id: Some(UserId::new()), username: Some("bob".into()) },
            call_type: "video".into(),
            status: "completed".into(),
            end_reason: Some("hangup".into()),
            started_at: at(0).unwrap(),
            answered_at: at(1_500_000),
            ended_at: at(63_499_999),
        }
    }

    #[test]
    fn a_call_is_shown_as_the_contract_says() {
        let call = record(1_701_423_000_123_456);
        let shown = serde_json::to_value(CallBody::from(call.clone())).unwrap();
        assert_eq!(
            shown,
            json!({
                "id": call.id, "from": {"id": null, "username": null},
                "to": {"id": call.callee.id, "username": "bob"},
                "callType": "video", "status": "completed", "endReason": "hangup",
                "startTime": 1_701_423_000_123_i64, "answeredAt": "2023-12-01T09:30:01.623Z",
                "endedAt": "2023-12-01T09:31:03.623Z", "durationSeconds": 61,
            })
        );
        let missed = HistoryRow { answered_at: None, ..record(0) };
        assert_eq!(CallBody::from(missed).duration_seconds, None);
    }

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let page = PageBody::cut(vec![record(1_701_423_000_123_456), record(7)], 1);
        let Cursor(position) = parse_cursor(&page.next.unwrap()).unwrap();
        assert_eq!(position.started_at.timestamp_micros(), 1_701_423_000_123_456);
        assert_eq!(position.id, page.calls[0].id);
        assert_eq!(PageBody::cut(vec![record(7)], 1).next, None);
    }

    #[test]
    fn the_example_of_a_cursor_is_one() {
        let schema = serde_json::to_value(<schemas::Cursor as utoipa::PartialSchema>::schema()).unwrap();
        assert!(parse_cursor(schema["examples"][0].as_str().unwrap()).is_some());
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let far = [i64::MAX.to_be_bytes().as_slice(), &[0; 16]].concat();
        let past = [(-1_i64).to_be_bytes().as_slice(), &[0; 16]].concat();
        let short = [0; 23];
        for text in [
            "",
            "x",
            "????",
            "2023-12-01",
            &URL_SAFE_NO_PAD.encode(far),
            &URL_SAFE_NO_PAD.encode(past),
            &URL_SAFE_NO_PAD.encode(short),
        ] {
            assert!(parse_cursor(text).is_none(), "{text}");
        }
    }
}
