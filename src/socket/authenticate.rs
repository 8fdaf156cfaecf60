//! `authenticate`: a newer token for a socket that stays.

use super::Sockets;
use super::adapter::{answer, begin_waiting, now_or_later};
use super::connection::{Connection, Identity};
use super::inbound::{Authenticate, Inbound};
use super::outbound::Reply;
use crate::domain::ids::DeviceId;
use crate::error::{Error, Result};
use std::sync::Arc;

impl Sockets {
    pub(super) fn authenticate(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        identity: &Arc<Identity>,
        event: Inbound,
    ) {
        let waiting = match begin_waiting(connection) {
            Ok(waiting) => waiting,
            Err(error) => return answer(connection, &event, Reply::Failed(error)),
        };
        let (sockets, connection, identity) =
            (Arc::clone(self), Arc::clone(connection), Arc::clone(identity));
        now_or_later(async move {
            let result = sockets.renew(connection.device, &identity, &event).await;
            answer(&connection, &event, result.into());
            drop(waiting);
        });
    }

    async fn renew(&self, device: DeviceId, identity: &Identity, event: &Inbound) -> Result<()> {
        let wanted: Authenticate = event.parse()?;
        let claims = self.app.tokens.verify(&wanted.token, self.app.clock.now())?;
        if (claims.user, claims.session) != (identity.claims.user, identity.claims.session) {
            return Err(Error::IdentityMismatch);
        }
        self.app.sessions.check(&claims).await?;
        let now = self.app.clock.now();
        self.app.live.renew_token(device, now.mono + now.until(claims.expires_at))
    }
}
