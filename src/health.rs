//! `video-call-server health`: asks the server of the same settings whether it is ready, where there is no curl to ask.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use video_call_server::config::Config;
use video_call_server::service::StartError;

/// `/health/ready` waits a second and a quarter for the database.
const PATIENCE: Duration = Duration::from_secs(3);
/// Far above what `/health/ready` says.
const LIMIT: u64 = 16 * 1024;
const REQUEST: &[u8] = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Fails unless the server answers that it is ready.
pub(crate) async fn check(config: &Config) -> Result<(), StartError> {
    if config.port == 0 {
        return Err("PORT: the server's port is not known, since PORT is 0".into());
    }
    let address = SocketAddr::new(reachable(config.host), config.port);
    let answer = match timeout(PATIENCE, ask(address, config.tls.is_some())).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(format!("no server answers at {address}: {error}").into()),
        Err(_) => return Err(format!("the server at {address} does not answer").into()),
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.strip_prefix("HTTP/1.1 ").and_then(|head| head.split(' ').next()) {
        Some("200") => Ok(()),
        Some(status) => Err(format!("the server at {address} is not ready: {status} {body}").into()),
        None => Err(format!("what answers at {address} is no HTTP server").into()),
    }
}

/// Where a server that listens everywhere can be reached from beside it.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => host,
    }
}

async fn ask(address: SocketAddr, speaks_tls: bool) -> io::Result<String> {
    let tcp = TcpStream::connect(address).await?;
    if !speaks_tls {
        return exchange(tcp).await;
    }
    let connector = TlsConnector::from(Arc::new(client().map_err(io::Error::other)?));
    exchange(connector.connect(ServerName::from(address.ip()), tcp).await?).await
}

async fn exchange(mut server: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    server.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    server.take(LIMIT).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn client() -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The certificate is for the server's name, and this asks for an address of this machine. Nothing secret is said, and whoever
/// could answer instead could as well be asked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
