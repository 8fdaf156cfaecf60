//! Where a browser finds STUN and TURN servers.

use super::docs::refusals::{Limited, NoToken, Refusals};
use super::docs::schemas;
use super::extract::Caller;
use crate::app::App;
use crate::config::Config;
use crate::domain::ids::UserId;
use crate::domain::time::Moment;
use crate::error::{Error, Result};
use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha1::Sha1;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = IceServers)]
struct IceBody {
    ice_servers: Vec<IceServer>,
    /// Seconds until the credentials expire.
    #[schema(example = 3600)]
    ttl: u64,
}

/// An `RTCIceServer`; `username` and `credential` come together, with TURN.
#[derive(Serialize, ToSchema)]
struct IceServer {
    #[schema(min_items = 1, example = json!(["turn:turn.example.com:3478"]))]
    urls: Vec<String>,
    #[serde(flatten)]
    #[schema(value_type = schemas::IceCredentials)]
    credentials: Option<Credentials>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Credentials {
    username: String,
    credential: String,
}

/// STUN and TURN servers
///
/// for `RTCPeerConnection`, with credentials that expire.
#[utoipa::path(
    get, path = "/api/ice-servers", operation_id = "iceServers", tag = "calls", security(("bearer" = [])),
    responses(
        (status = 200, description = "What is configured, perhaps nothing", body = IceBody),
        Refusals<(NoToken, Limited)>,
    ),
)]
async fn show(State(app): State<Arc<App>>, Caller(caller): Caller) -> Result<Json<IceBody>> {
    let ice_servers = servers(&app.config, caller.user, app.clock.now())?;
    Ok(Json(IceBody { ice_servers, ttl: app.config.turn_ttl.as_secs() }))
}

fn servers(config: &Config, user: UserId, now: Moment) -> Result<Vec<IceServer>> {
    let mut servers = Vec::new();
    if !config.ice_stun_urls.is_empty() {
        servers.push(IceServer { urls: config.ice_stun_urls.clone(), credentials: None });
    }
    // Browsers refuse a whole configuration that names a TURN server without credentials.
    if let Some(secret) = config.turn_secret.as_ref().filter(|_| !config.ice_turn_urls.is_empty()) {
        let expiry = (now.wall + config.turn_ttl).timestamp();
        let credentials = Some(credentials(secret, user, expiry)?);
        servers.push(IceServer { urls: config.ice_turn_urls.clone(), credentials });
    }
    Ok(servers)
}

/// coturn's `use-auth-secret` (draft-uberti-behave-turn-rest-00): the server that knows the secret can check them.
fn credentials(secret: &SecretString, user: UserId, expiry: i64) -> Result<Credentials> {
    let username = format!("{expiry}:{user}");
    let key = secret.expose_secret().as_bytes();
    let mac = Hmac::<Sha1>::new_from_slice(key).map_err(Error::internal)?.chain_update(&username).finalize();
    Ok(Credentials { username, credential: STANDARD.encode(mac.into_bytes()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_what_coturn_computes() {
        let user = UserId::from(uuid::Uuid::nil());
        // printf '1700000000:00000000-0000-0000-0000-000000000000' | openssl dgst -sha1 -hmac north -binary | base64
        let expected = Credentials {
            username: "1700000000:00000000-0000-0000-0000-000000000000".into(),
            credential: "WLicnZche6KJWOPqFFjtz/SZGys=".into(),
        };
        assert_eq!(credentials(&"north".into(), user, 1_700_000_000).unwrap(), expected);
    }
}
