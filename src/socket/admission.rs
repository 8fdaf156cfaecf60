//! Who may speak: the token at the handshake, the join, and what becomes of those who do neither.

use super::Sockets;
use super::adapter::{self, Reception};
use super::connection::{Connection, Identity, Phase};
use super::inbound::{Inbound, Join, JoinPresence};
use super::outbound::Reply;
use super::outbox::{Item, Line};
use crate::auth::token::Claims;
use crate::domain::ids::DeviceId;
use crate::domain::presence::PresenceMode;
use crate::domain::switchboard::{Entry, Joining};
use crate::error::{Error, Result};
use crate::server;
use crate::telemetry::metrics::SocketEvent;
use serde_json::Value as Json;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::{FromConnectParts, Value};
use socketioxide::socket::{DisconnectReason, Socket};
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// After as many refused joins or CONNECTs the connection ends.
const REFUSALS: u32 = 3;
/// CONNECTs of one transport. A client that leaves the namespace closes its transport; only others come back on it.
const CONNECTS: u32 = 10;
/// The last refusal gets this long to leave.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A client that left may take this long to close its transport.
const FAREWELL: Duration = Duration::from_secs(2);

/// The socket itself, at its CONNECT.
pub(super) struct Connecting(Arc<Socket>);

impl FromConnectParts<socketioxide::adapter::LocalAdapter> for Connecting {
    type Error = Infallible;

    fn from_connect_parts(socket: &Arc<Socket>, _: &Option<Value>) -> Result<Self, Infallible> {
        Ok(Self(Arc::clone(socket)))
    }
}

/// Why a CONNECT is refused; its code is all that the client gets (`connect_error`, `err.message`).
#[derive(Debug)]
pub(super) struct Refused(Error);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::outbound::wire_code(&self.0))
    }
}

/// Admits sockets.
#[derive(Clone)]
pub(super) struct Admission(pub(super) Arc<Sockets>);

impl Admission {
    /// Decides on a CONNECT, and takes the socket's events from then on.
    ///
    /// Handlers are registered here and not after the CONNECT was answered: a client may send at once.
    pub(super) async fn admit(self, connecting: Connecting, auth: TryData<Json>) -> Result<(), Refused> {
        let Connecting(socket) = connecting;
        let tcp = socket.req_parts().extensions.get::<server::Connection>().cloned();
        let tcp = tcp.unwrap_or_else(server::Connection::detached);
        if self.0.app.draining.load(Ordering::Relaxed) {
            // Without an answer: after one, the official client would not come back by itself.
            tcp.end_session(socket.id.as_str());
            let error = Error::unavailable();
            self.0.app.metrics.connects.failed(&error);
            return Err(Refused(error));
        }
        let metrics = &self.0.app.metrics;
        let refuse = |error: Error| {
            metrics.connects.failed(&error);
            refuse(&tcp, &socket, error)
        };
        if tcp.count_connect() > CONNECTS {
            metrics.refusals.connect.inc();
            return Err(refuse(Error::RateLimited { retry_after: LAST_WORDS }));
        }
        let handshake = self.verify_handshake(auth.0.ok()).await.map_err(refuse)?;
        metrics.connects.succeeded();
        let device = DeviceId::new();
        let line = Line::new(device, &socket, tcp);
        let connection = Arc::new(Connection::new(device, Arc::clone(&line), handshake, Arc::clone(metrics)));
        self.0.outbox.add(line);
        let (sockets, closing) = (Arc::clone(&self.0), Arc::clone(&connection));
        socket.on_disconnect(async move |socket: SocketRef, reason: DisconnectReason| {
            sockets.closed(&closing, socket.id.as_str(), reason);
        });
        socket.on_fallback(Reception { sockets: Arc::clone(&self.0), connection: Arc::clone(&connection) });
        tracing::info!(%device, transport = ?socket.transport_type(), "socket connects");
        self.0.expect_join(&connection);
        Ok(())
    }

    /// A token that is present and bad refuses the connection; none leaves it to `join`.
    async fn verify_handshake(&self, auth: Option<Json>) -> Result<Option<Claims>> {
        match auth.as_ref().and_then(|auth| auth.get("token")) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(token)) => self.0.app.sessions.authenticate(token).await.map(Some),
            Some(_) => Err(Error::Unauthorized("The token must be a string")),
        }
    }
}

impl Sockets {
    /// Disconnects a socket that has not joined in time.
    fn expect_join(&self, connection: &Arc<Connection>) {
        let waits = self.app.clock.now().mono + self.app.config.join_timeout;
        let (clock, connection): (_, Weak<Connection>) = (self.app.clock.clone(), Arc::downgrade(connection));
        tokio::spawn(async move {
            clock.sleep_until(waits).await;
            if let Some(connection) = connection.upgrade() {
                let late = match &*connection.phase() {
                    Phase::Lobby | Phase::Joining { was: None, .. } => true,
                    Phase::Joining { was: Some(_), .. } | Phase::Joined(_) | Phase::Closed => false,
                };
                if late {
                    connection.line.send(Item::Cut("no join in time"));
                }
            }
        });
    }

    /// The socket is gone.
    fn closed(&self, connection: &Connection, sid: &str, reason: DisconnectReason) {
        let before = std::mem::replace(&mut *connection.phase(), Phase::Closed);
        let deliberate = reason == DisconnectReason::ClientNSDisconnect;
        tracing::info!(device = %connection.device, ?reason, joined = matches!(before, Phase::Joined(_)), "socket gone");
        self.outbox.remove(connection.device);
        self.app.live.leave(connection.device, deliberate);
        if deliberate {
            // The official client closes its transport now; nobody else gets to keep it and begin anew.
            connection.line.hang_up_after(sid, FAREWELL);
        }
    }

    /// Begins to decide on a `join`; what the socket sends meanwhile waits.
    pub(super) fn begin_join(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        was: Option<Arc<Identity>>,
        join: Inbound,
    ) {
        let (sockets, connection) = (Arc::clone(self), Arc::clone(connection));
        adapter::now_or_later(async move {
            let result = sockets.join(&connection, was.as_deref(), &join).await;
            sockets.finish_join(&connection, was, &join, result).await;
        });
    }

    async fn join(
        &self,
        connection: &Connection,
        was: Option<&Identity>,
        join: &Inbound,
    ) -> Result<Admitted> {
        let wanted: Join = join.parse()?;
        let now = self.app.clock.now();
        let claims = match (&wanted.token, was.map(|was| &was.claims), &connection.handshake) {
            (Some(token), _, _) => self.app.sessions.authenticate(token).await?,
            (None, None, Some(claims)) if claims.expires_at <= now.wall => return Err(Error::TokenExpired),
            (None, Some(claims), _) | (None, None, Some(claims)) => {
                self.app.sessions.check(claims).await?;
                claims.clone()
            }
            (None, None, None) => {
                return Err(Error::Unauthorized("A token is required, in the handshake or in join"));
            }
        };
        let is_stranger = |claims: &Claims| {
            connection.handshake.as_ref().is_some_and(|first| first.user != claims.user)
                || was
                    .is_some_and(|was| (was.claims.user, was.claims.session) != (claims.user, claims.session))
        };
        let other_name =
            wanted.username.as_ref().is_some_and(|name| !name.eq_ignore_ascii_case(claims.username.as_str()));
        if is_stranger(&claims) || other_name || wanted.id.is_some_and(|id| id != claims.user) {
            return Err(Error::IdentityMismatch);
        }
        let presence = match wanted.presence {
            None | Some(JoinPresence::Full) => PresenceMode::Full,
            Some(JoinPresence::Delta) => PresenceMode::Delta,
            Some(JoinPresence::None) => PresenceMode::None,
        };
        // The list that the newcomer gets has everybody whose own join was answered, on whatever node.
        self.app.live.caught_up().await;
        let now = self.app.clock.now();
        let identity = Identity { claims };
        let claims = &identity.claims;
        let joining = Joining {
            device: connection.device,
            session: claims.session,
            user: identity.party(),
            token_expires: now.mono + now.until(claims.expires_at),
            presence,
            resume: wanted.resume,
        };
        Ok(Admitted { identity: Arc::new(identity), joining })
    }

    /// Enters presence, or not; then takes what waited.
    async fn finish_join(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        was: Option<Arc<Identity>>,
        join: &Inbound,
        result: Result<Admitted>,
    ) {
        // Who hears that they have joined can be found from every node.
        let holding = self.app.live.cluster().map(|_| connection.line.hold());
        let entered = {
            // Held across the entry into presence: a socket that closes meanwhile leaves after it, never before.
            let phase = connection.phase();
            if matches!(*phase, Phase::Closed) {
                return;
            }
            result.and_then(|Admitted { identity, joining }| {
                let resume = joining.resume;
                self.app.live.join(joining).map(|entry| (identity, entry, resume))
            })
        };
        if let Ok((_, entry, resume)) = &entered {
            if *entry == Entry::Elsewhere {
                self.app.live.come_back(connection.device, *resume).await;
            }
            self.app.live.flushed().await;
        }
        drop(holding);
        let next = match entered {
            Ok((identity, ..)) => {
                adapter::answer(connection, join, Reply::Done);
                self.recheck(Arc::clone(&identity));
                Some(identity)
            }
            Err(error) => {
                refuse_join(connection, join, error);
                was
            }
        };
        self.take_what_waited(connection, next);
    }

    /// A session that was revoked between its check and the entry into presence is found out here.
    fn recheck(self: &Arc<Self>, identity: Arc<Identity>) {
        let sockets = Arc::clone(self);
        adapter::now_or_later(async move {
            // Revoked: the check itself cuts the socket. Database away: the session was verified a moment ago.
            let _ = sockets.app.sessions.check(&identity.claims).await;
        });
    }

    fn take_what_waited(self: &Arc<Self>, connection: &Arc<Connection>, identity: Option<Arc<Identity>>) {
        loop {
            let event = {
                let mut phase = connection.phase();
                match &mut *phase {
                    Phase::Joining { waiting, .. } if waiting.is_empty() => {
                        *phase = identity.map_or(Phase::Lobby, Phase::Joined);
                        return;
                    }
                    Phase::Joining { was, waiting } => {
                        was.clone_from(&identity);
                        waiting.remove(0)
                    }
                    Phase::Lobby | Phase::Joined(_) | Phase::Closed => return,
                }
            };
            if event.kind != SocketEvent::Join {
                self.handle(connection, identity.as_ref(), event);
            } else if let Err(error) = connection.may_join_again(self.app.clock.now()) {
                adapter::answer(connection, &event, Reply::Failed(error));
            } else {
                // It goes on with what waits when it is done.
                return self.begin_join(connection, identity, event);
            }
        }
    }
}

fn refuse_join(connection: &Arc<Connection>, join: &Inbound, error: Error) {
    tracing::info!(device = %connection.device, code = error.code(), "join refused");
    let counts = is_clients_fault(&error);
    adapter::answer(connection, join, Reply::Failed(error));
    if counts && connection.line.count_refusal() >= REFUSALS {
        connection.line.send(Item::Cut("refused joins"));
    }
}

/// Refuses a CONNECT; one too many ends the connection.
fn refuse(tcp: &server::Connection, socket: &Socket, error: Error) -> Refused {
    tracing::info!(code = error.code(), "socket refused");
    let is_last = matches!(error, Error::RateLimited { .. });
    if is_last || (is_clients_fault(&error) && tcp.count_refusal() >= REFUSALS) {
        tcp.end_session_after(socket.id.as_str(), LAST_WORDS);
    }
    Refused(error)
}

/// Whoever is refused because the server cannot serve may come again.
fn is_clients_fault(error: &Error) -> bool {
    !matches!(error, Error::Unavailable { .. } | Error::Internal(_) | Error::RateLimited { .. })
}

struct Admitted {
    identity: Arc<Identity>,
    joining: Joining,
}
