//! One's own account.

use super::docs::refusals::{BadBody, Limited, NoToken, Refusals, refuses};
use super::docs::schemas;
use super::extract::{Caller, JsonBody};
use super::wire::UserBody;
use crate::app::App;
use crate::auth::accounts::Visitor;
use crate::auth::password::{Candidate, Password};
use crate::error::{Error, Result};
use crate::store::users;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use validator::Validate;

pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show, delete)).routes(routes!(change_password))
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PasswordChange)]
struct ChangePasswordForm {
    #[schema(value_type = schemas::AnyPassword)]
    current_password: Candidate,
    #[schema(value_type = schemas::NewPassword)]
    new_password: Password,
}

#[derive(Deserialize, Validate, ToSchema)]
#[schema(as = Deletion)]
struct DeleteForm {
    #[schema(value_type = schemas::AnyPassword)]
    password: Candidate,
}

refuses!(NotTheOwner: Error::WrongPassword);

/// Who I am
#[utoipa::path(
    get, path = "/api/me", operation_id = "me", tag = "accounts", security(("bearer" = [])),
    responses(
        (status = 200, description = "The user whose token it is", body = UserBody),
        Refusals<(NoToken, Limited)>,
    ),
)]
async fn show(State(app): State<Arc<App>>, Caller(caller): Caller) -> Result<Json<UserBody>> {
    let user = users::find(&app.pool, caller.user).await?.ok_or(Error::SessionRevoked)?;
    Ok(Json(UserBody::new(&app, user)))
}

/// Sets another password
///
/// and ends every other session of the account.
#[utoipa::path(
    put, path = "/api/me/password", operation_id = "changePassword", tag = "accounts", security(("bearer" = [])),
    request_body = ChangePasswordForm,
    responses(
        (status = 204, description = "The new password holds"),
        Refusals<(BadBody, NoToken, Limited, NotTheOwner)>,
    ),
)]
async fn change_password(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    visitor: Visitor,
    JsonBody(form): JsonBody<ChangePasswordForm>,
) -> Result<StatusCode> {
    app.accounts.change_password(&caller, form.current_password, form.new_password, &visitor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes the account
///
/// and ends its sessions. The calls stay in the history of the others, without the name.
#[utoipa::path(
    delete, path = "/api/me", operation_id = "deleteMe", tag = "accounts", security(("bearer" = [])),
    request_body = DeleteForm,
    responses(
        (status = 204, description = "The account is gone"),
        Refusals<(BadBody, NoToken, Limited, NotTheOwner)>,
    ),
)]
async fn delete(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    visitor: Visitor,
    JsonBody(form): JsonBody<DeleteForm>,
) -> Result<StatusCode> {
    app.accounts.delete(&caller, form.password, &visitor).await?;
    Ok(StatusCode::NO_CONTENT)
}
