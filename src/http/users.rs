//! Who there is, and who is here.

use super::extract::{Caller, QueryParams};
use super::wire::UserBody;
use crate::app::App;
use crate::domain::presence::Roster;
use crate::domain::username::Username;
use crate::error::Result;
use crate::store::users::{self, User};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use std::sync::Arc;
use validator::Validate;

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new().route("/api/users", get(list)).route("/api/online-users", get(list_online))
}

#[derive(Deserialize, Validate)]
struct Page {
    #[validate(range(min = 1, max = 1000, message = "must be from 1 to 1000"))]
    limit: Option<i64>,
    after: Option<Username>,
}

async fn list(
    State(app): State<Arc<App>>,
    _: Caller,
    QueryParams(page): QueryParams<Page>,
) -> Result<impl IntoResponse> {
    let limit = page.limit.unwrap_or(1000);
    let users = users::list(&app.pool, page.after.as_ref(), limit + 1).await?;
    let (users, link) = cut(users, limit);
    let rows: Vec<_> = users.into_iter().map(|user| UserBody::new(&app, user)).collect();
    Ok((AppendHeaders(link.map(|link| (header::LINK, link))), Json(rows)))
}

async fn list_online(State(app): State<Arc<App>>, _: Caller) -> impl IntoResponse {
    /// The list as it is encoded already.
    struct Encoded(Arc<Roster>);
    impl AsRef<[u8]> for Encoded {
        fn as_ref(&self) -> &[u8] {
            self.0.encoded().get().as_bytes()
        }
    }
    ([(header::CONTENT_TYPE, "application/json")], Bytes::from_owner(Encoded(app.live.roster())))
}

/// One page of the rows, and where the next begins if there are more.
fn cut(mut users: Vec<User>, limit: i64) -> (Vec<User>, Option<String>) {
    let limit_rows = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = users.len() > limit_rows;
    users.truncate(limit_rows);
    // Usernames consist of characters that RFC 3986 calls unreserved: there is nothing to percent-encode.
    let link = |last: &User| format!("</api/users?limit={limit}&after={}>; rel=\"next\"", last.username);
    let link = users.last().filter(|_| has_more).map(link);
    (users, link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::UserId;

    fn users(names: &[&str]) -> Vec<User> {
        let user = |name: &&str| User {
            id: UserId::new(),
            username: Username::parse(name).unwrap(),
            last_seen_at: None,
        };
        names.iter().map(user).collect()
    }

    #[test]
    fn a_link_leads_on_only_where_there_is_more() {
        let (page, link) = cut(users(&["ann", "Bob.x_-1", "carl"]), 2);
        assert_eq!(page.len(), 2);
        assert_eq!(link.unwrap(), "</api/users?limit=2&after=Bob.x_-1>; rel=\"next\"");
        assert_eq!(cut(users(&["ann", "bob"]), 2).1, None);
        assert_eq!(cut(users(&[]), 2).1, None);
    }
}
