//! Somebody who has logged in.

use crate::{Ask, Server};
use serde_json::{Value, json};

/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery";

/// Somebody who has logged in.
#[derive(Debug, Clone)]
pub struct Account {
    /// The user's id.
    pub id: String,
    /// As registered.
    pub username: String,
    /// The access token.
    pub token: String,
    /// The refresh token that came with it.
    pub refresh_token: String,
}

impl Account {
    /// Makes the account.
    pub async fn register(server: &impl Server, username: &str) -> Self {
        Self::enter(server, "/api/register", username).await
    }

    /// Logs in to an account that [`Account::register`] made.
    pub async fn log_in(server: &impl Server, username: &str) -> Self {
        Self::enter(server, "/api/login", username).await
    }

    async fn enter(server: &impl Server, path: &str, username: &str) -> Self {
        let form = json!({"username": username, "password": PASSWORD});
        let body = Ask::new(server.address(), "POST", path).json(&form).send().await.ok();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            id: text(&body["user"]["id"]),
            username: text(&body["user"]["username"]),
            token: text(&body["token"]),
            refresh_token: text(&body["refreshToken"]),
        }
    }
}
