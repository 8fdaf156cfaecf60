//! Becoming somebody: register, log in, refresh, log out.

use super::extract::{Caller, JsonBody};
use super::wire::UserBody;
use crate::app::App;
use crate::auth::accounts::{Credentials, Visitor};
use crate::auth::password::Candidate;
use crate::auth::sessions::Grant;
use crate::error::{Error, FieldError, Result};
use crate::store::users::Account;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use validator::Validate;

/// For those who have a password and no token yet: these routes have a limit of their own.
pub(crate) fn entrance() -> Router<Arc<App>> {
    Router::new().route("/api/register", post(register)).route("/api/login", post(log_in))
}

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new().route("/api/refresh", post(refresh)).route("/api/logout", post(log_out))
}

#[derive(Deserialize, Validate)]
struct LoginForm {
    #[validate(
        length(max = 128, message = "must be at most 128 characters long"),
        does_not_contain(pattern = "\0", message = "must not contain the character U+0000")
    )]
    username: Option<String>,
    password: Option<Candidate>,
}

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct RefreshForm {
    #[validate(length(max = 1024, message = "must be at most 1024 characters long"))]
    refresh_token: String,
}

#[derive(Serialize)]
struct LoginBody {
    user: UserBody,
    #[serde(flatten)]
    grant: GrantBody,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GrantBody {
    token: String,
    refresh_token: String,
    /// In seconds.
    expires_in: u64,
}

async fn register(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    JsonBody(form): JsonBody<LoginForm>,
) -> Result<(StatusCode, Json<LoginBody>)> {
    let (account, grant) = app.accounts.register(form.try_into()?, &visitor).await?;
    Ok((StatusCode::CREATED, Json(LoginBody::new(&app, account, grant))))
}

async fn log_in(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    JsonBody(form): JsonBody<LoginForm>,
) -> Result<Json<LoginBody>> {
    let (account, grant) = app.accounts.log_in(form.try_into()?, &visitor).await?;
    Ok(Json(LoginBody::new(&app, account, grant)))
}

async fn refresh(
    State(app): State<Arc<App>>,
    JsonBody(form): JsonBody<RefreshForm>,
) -> Result<Json<GrantBody>> {
    Ok(Json(app.sessions.refresh(&form.refresh_token).await?.into()))
}

async fn log_out(State(app): State<Arc<App>>, Caller(caller): Caller) -> Result<StatusCode> {
    app.sessions.revoke(caller.session).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl TryFrom<LoginForm> for Credentials {
    type Error = Error;

    fn try_from(form: LoginForm) -> Result<Self> {
        let username = form.username.filter(|username| !username.is_empty());
        let password = form.password.filter(|password| !password.is_empty());
        let absent = [("username", username.is_none()), ("password", password.is_none())];
        match (username, password) {
            (Some(username), Some(password)) => Ok(Self { username, password }),
            _ => Err(required(absent.into_iter().filter(|(_, absent)| *absent).map(|(field, _)| field))),
        }
    }
}

/// In the demo server's words, which clients may compare with.
fn required(fields: impl Iterator<Item = &'static str>) -> Error {
    let details = fields.map(|field| FieldError { field: field.into(), message: "is required".into() });
    Error::Validation { sentence: "Username and password required".into(), details: details.collect() }
}

impl LoginBody {
    fn new(app: &App, account: Account, grant: Grant) -> Self {
        Self { user: UserBody::new(app, account.user), grant: grant.into() }
    }
}

impl From<Grant> for GrantBody {
    fn from(grant: Grant) -> Self {
        let Grant { token, refresh_token, expires_in } = grant;
        Self { token, refresh_token, expires_in: expires_in.as_secs() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_without_name_or_password_gets_the_demo_servers_sentence() {
        for (form, fields) in [
            ("{}", vec!["username", "password"]),
            (r#"{"username": "ann"}"#, vec!["password"]),
            (r#"{"username": null, "password": "x"}"#, vec!["username"]),
            (r#"{"username": "", "password": ""}"#, vec!["username", "password"]),
        ] {
            let form: LoginForm = serde_json::from_str(form).unwrap();
            let error = Credentials::try_from(form).err().unwrap();
            assert_eq!(
                (error.code(), error.to_string().as_str()),
                ("validation_failed", "Username and password required")
            );
            assert_eq!(error.details().iter().map(|d| d.field.as_ref()).collect::<Vec<_>>(), fields);
        }
    }
}
