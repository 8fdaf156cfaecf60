//! Becoming somebody: register, log in, refresh, log out.

use super::docs::refusals::{BadBody, Limited, NoToken, Refusals, refuses};
use super::docs::schemas;
use super::extract::{Caller, JsonBody};
use super::wire::UserBody;
use crate::app::App;
use crate::auth::accounts::{Credentials, Visitor};
use crate::auth::password::Candidate;
use crate::auth::sessions::Grant;
use crate::error::{Error, FieldError, Result};
use crate::store::users::Account;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use validator::Validate;

/// For those who have a password and no token yet: these routes have a limit of their own.
pub(crate) fn entrance() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(register)).routes(routes!(log_in))
}

pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(refresh)).routes(routes!(log_out))
}

/// Anything may be tried: a name or password that cannot exist is simply wrong.
#[derive(Deserialize, Validate, ToSchema)]
#[schema(as = Login)]
struct LoginForm {
    #[validate(
        length(max = 128, message = "must be at most 128 characters long"),
        does_not_contain(pattern = "\0", message = "must not contain the character U+0000")
    )]
    #[schema(required, value_type = String, min_length = 1, max_length = 128, pattern = "^[^\\u0000]*$", example = "carol")]
    username: Option<String>,
    #[schema(required, value_type = schemas::SomePassword)]
    password: Option<Candidate>,
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Refresh)]
struct RefreshForm {
    #[validate(length(max = 1024, message = "must be at most 1024 characters long"))]
    #[schema(max_length = 1024)]
    refresh_token: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LoggedIn)]
struct LoginBody {
    user: UserBody,
    #[serde(flatten)]
    grant: GrantBody,
}

/// The next pair of tokens.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Tokens)]
struct GrantBody {
    /// A JWT, for `Authorization: Bearer` and for Socket.IO.
    #[schema(
        pattern = r"^[\w-]+\.[\w-]+\.[\w-]+$",
        example = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTk5In0.c2lnbmF0dXJl"
    )]
    token: String,
    /// For `/api/refresh`, once.
    #[schema(min_length = 1, max_length = 1024, example = "AZl9Lmo7fBCfTl1se4qfAQAAAAA")]
    refresh_token: String,
    /// Seconds for which `token` is good.
    #[schema(minimum = 1, example = 3600)]
    expires_in: u64,
}

refuses!(RegisterRefused: Error::RegistrationClosed, Error::UsernameTaken);
refuses!(LoginRefused: Error::InvalidCredentials, Error::AccountDisabled);
refuses!(RefreshRefused: Error::Unauthorized("The refresh token is not valid"), Error::TokenExpired, Error::SessionRevoked);

/// Makes an account
///
/// and logs it in.
#[utoipa::path(
    post, path = "/api/register", operation_id = "register", tag = "accounts",
    request_body = schemas::Registration,
    responses(
        (status = 201, description = "The account, logged in", body = LoginBody, links(
            ("login" = (operation_id = "login", request_body = json!({"username": "$request.body#/username", "password": "$request.body#/password"}))),
            ("refresh" = (operation_id = "refresh", request_body = json!({"refreshToken": "$response.body#/refreshToken"}))),
        )),
        Refusals<(BadBody, Limited, RegisterRefused)>,
    ),
)]
async fn register(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    JsonBody(form): JsonBody<LoginForm>,
) -> Result<(StatusCode, Json<LoginBody>)> {
    let (account, grant) = app.accounts.register(form.try_into()?, &visitor).await?;
    Ok((StatusCode::CREATED, Json(LoginBody::new(&app, account, grant))))
}

/// Logs in
///
/// by name and password. A wrong name and a wrong password are refused alike, after the same work. With
/// `REGISTRATION=on_login` a new name makes the account.
#[utoipa::path(
    post, path = "/api/login", operation_id = "login", tag = "accounts",
    request_body = LoginForm,
    responses(
        (status = 200, description = "A session of its own", body = LoginBody, links(
            ("refresh" = (operation_id = "refresh", request_body = json!({"refreshToken": "$response.body#/refreshToken"}))),
        )),
        Refusals<(BadBody, Limited, LoginRefused)>,
    ),
)]
async fn log_in(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    JsonBody(form): JsonBody<LoginForm>,
) -> Result<Json<LoginBody>> {
    let (account, grant) = app.accounts.log_in(form.try_into()?, &visitor).await?;
    Ok(Json(LoginBody::new(&app, account, grant)))
}

/// Gives the next pair of tokens
///
/// of the same session. A refresh token is good once: one that was used before ends its session, unless the answer may have been lost
/// (within ten seconds, while the token it gave is unused).
#[utoipa::path(
    post, path = "/api/refresh", operation_id = "refresh", tag = "accounts",
    request_body = RefreshForm,
    responses(
        (status = 200, description = "The next pair", body = GrantBody, links(
            ("again" = (operation_id = "refresh", request_body = json!({"refreshToken": "$response.body#/refreshToken"}))),
        )),
        Refusals<(BadBody, Limited, RefreshRefused)>,
    ),
)]
async fn refresh(
    State(app): State<Arc<App>>,
    JsonBody(form): JsonBody<RefreshForm>,
) -> Result<Json<GrantBody>> {
    Ok(Json(app.sessions.refresh(&form.refresh_token).await?.into()))
}

/// Ends the session
///
/// and cuts its sockets.
#[utoipa::path(
    post, path = "/api/logout", operation_id = "logout", tag = "accounts", security(("bearer" = [])),
    responses((status = 204, description = "The session is over"), Refusals<(NoToken, Limited)>),
)]
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
