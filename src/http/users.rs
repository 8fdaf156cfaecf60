//! Who there is, and who is here.

use super::docs::refusals::{Limited, NoToken, Refusals};
use super::docs::schemas;
use super::extract::{Caller, QueryParams};
use super::wire::UserBody;
use crate::app::App;
use crate::domain::presence::Roster;
use crate::domain::username::Username;
use crate::error::Result;
use crate::store::users::{self, User};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use validator::Validate;

pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(list_online))
}

#[derive(Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
struct Page {
    /// How many at most; 1000 where it is not said.
    #[validate(range(min = 1, max = 1000, message = "must be from 1 to 1000"))]
    #[param(minimum = 1, maximum = 1000, nullable = false)]
    limit: Option<i64>,
    /// The username after which the page begins.
    #[param(value_type = Option<schemas::TypedUsername>, nullable = false)]
    after: Option<Username>,
}

/// Everybody there is
///
/// by username, online or not.
#[utoipa::path(
    get, path = "/api/users", operation_id = "users", tag = "people", security(("bearer" = [])),
    params(Page),
    responses(
        (status = 200, description = "A page of the list", body = Vec<UserBody>, headers(
            ("link" = String, description = "Where the next page is, `</api/users?…>; rel=\"next\"`, when there is one"),
        )),
        Refusals<(NoToken, Limited)>,
    ),
)]
async fn list(
    State(app): State<Arc<App>>,
    _: Caller,
    QueryParams(page): QueryParams<Page>,
) -> Result<impl IntoResponse> {
    let limit = page.limit.unwrap_or(1000);
    let users = users::list(&app.pool, page.after.as_ref(), limit + 1).await?;
    app.live.caught_up().await;
    let (users, link) = cut(users, limit);
    let rows: Vec<_> = users.into_iter().map(|user| UserBody::new(&app, user)).collect();
    Ok((AppendHeaders(link.map(|link| (header::LINK, link))), Json(rows)))
}

/// Everybody who is online
///
/// one row a user, whatever the number of devices.
#[utoipa::path(
    get, path = "/api/online-users", operation_id = "onlineUsers", tag = "people", security(("bearer" = [])),
    responses(
        (status = 200, description = "In the order in which they came", body = Vec<schemas::OnlineUser>),
        Refusals<(NoToken, Limited)>,
    ),
)]
async fn list_online(State(app): State<Arc<App>>, _: Caller) -> impl IntoResponse {
    /// The list as it is encoded already.
    struct Encoded(Arc<Roster>);
    impl AsRef<[u8]> for Encoded {
        fn as_ref(&self) -> &[u8] {
            self.0.encoded().get().as_bytes()
        }
    }
    app.live.caught_up().await;
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
