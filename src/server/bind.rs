//! Opening the port, with an error an operator can act on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted: after a restart every client comes back at once. The kernel may grant less.
const BACKLOG: u32 = 4096;

/// Why the port could not be opened, in one line that names it.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("PORT {port} is already in use on {host}")]
    InUse {
        /// `HOST`
        host: IpAddr,
        /// `PORT`
        port: u16,
    },
    /// Ports below 1024 are often reserved.
    #[error("PORT {port} may not be opened by this user; take one above 1023")]
    Denied {
        /// `PORT`
        port: u16,
    },
    /// `HOST` is somewhere else.
    #[error("HOST {host} is not an address of this machine")]
    NotOurs {
        /// `HOST`
        host: IpAddr,
    },
    /// Anything else.
    #[error("PORT {port} cannot be opened on {host}: {source}")]
    Other {
        /// `HOST`
        host: IpAddr,
        /// `PORT`
        port: u16,
        /// What the system says.
        source: io::Error,
    },
}

/// Opens `port` on `host`; port 0 takes any free one.
#[expect(clippy::wildcard_enum_match_arm, reason = "the system has many more kinds, all alike here")]
pub fn bind(host: IpAddr, port: u16) -> Result<TcpListener, BindError> {
    listen(SocketAddr::new(host, port)).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { host, port },
        io::ErrorKind::PermissionDenied => BindError::Denied { port },
        io::ErrorKind::AddrNotAvailable => BindError::NotOurs { host },
        _ => BindError::Other { host, port, source },
    })
}

/// Why `METRICS_ADDR` could not be opened, in one line that names it.
#[derive(Debug, thiserror::Error)]
#[error("METRICS_ADDR {address} {problem}")]
pub struct MetricsBindError {
    address: SocketAddr,
    problem: String,
}

/// Opens `METRICS_ADDR`; port 0 takes any free one.
#[expect(clippy::wildcard_enum_match_arm, reason = "the system has many more kinds, all alike here")]
pub fn bind_metrics(address: SocketAddr) -> Result<TcpListener, MetricsBindError> {
    listen(address).map_err(|source| {
        let problem = match source.kind() {
            io::ErrorKind::AddrInUse => "is already in use".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "may not be opened by this user; take a port above 1023".to_owned()
            }
            io::ErrorKind::AddrNotAvailable => "is not an address of this machine".to_owned(),
            _ => format!("cannot be opened: {source}"),
        };
        MetricsBindError { address, problem }
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // This allows a restart while old connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn a_taken_port_is_named_in_one_line() {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let taken = bind(host, 0).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = bind(host, port).unwrap_err();
        assert_eq!(error.to_string(), format!("PORT {port} is already in use on 127.0.0.1"));
    }

    #[tokio::test]
    async fn a_taken_address_for_metrics_is_named_in_one_line() {
        let taken = bind_metrics("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind_metrics(address).unwrap_err();
        assert_eq!(error.to_string(), format!("METRICS_ADDR {address} is already in use"));
        let error = bind_metrics("192.0.2.1:9100".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "METRICS_ADDR 192.0.2.1:9100 is not an address of this machine");
    }

    #[tokio::test]
    async fn a_host_elsewhere_is_named_in_one_line() {
        let error = bind("192.0.2.1".parse().unwrap(), 0).unwrap_err();
        assert_eq!(error.to_string(), "HOST 192.0.2.1 is not an address of this machine");
    }
}
