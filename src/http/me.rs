//! One's own account.

use super::extract::{Caller, JsonBody};
use super::wire::UserBody;
use crate::app::App;
use crate::auth::accounts::Visitor;
use crate::auth::password::{Candidate, Password};
use crate::error::{Error, Result};
use crate::store::users;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use std::sync::Arc;
use validator::Validate;

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new().route("/api/me", get(show).delete(delete)).route("/api/me/password", put(change_password))
}

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct ChangePasswordForm {
    current_password: Candidate,
    new_password: Password,
}

#[derive(Deserialize, Validate)]
struct DeleteForm {
    password: Candidate,
}

async fn show(State(app): State<Arc<App>>, Caller(caller): Caller) -> Result<Json<UserBody>> {
    let user = users::find(&app.pool, caller.user).await?.ok_or(Error::SessionRevoked)?;
    Ok(Json(UserBody::new(&app, user)))
}

async fn change_password(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    visitor: Visitor,
    JsonBody(form): JsonBody<ChangePasswordForm>,
) -> Result<StatusCode> {
    app.accounts.change_password(&caller, form.current_password, form.new_password, &visitor).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    visitor: Visitor,
    JsonBody(form): JsonBody<DeleteForm>,
) -> Result<StatusCode> {
    app.accounts.delete(&caller, form.password, &visitor).await?;
    Ok(StatusCode::NO_CONTENT)
}
