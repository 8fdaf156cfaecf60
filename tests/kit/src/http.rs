//! HTTP, each request on a connection of its own, with nothing done behind the test's back.

use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than a long poll between two heartbeats.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request to be sent.
#[must_use]
pub struct Ask {
    address: SocketAddr,
    request: Request<Full<hyper::body::Bytes>>,
}

impl Ask {
    /// A request that carries nothing yet.
    pub fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = Request::builder().method(method).uri(path).header(HOST, address.to_string());
        Self { address, request: request.body(Full::default()).unwrap() }
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.request.headers_mut().append(name, value.parse().unwrap());
        self
    }

    /// With an access token.
    pub fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// With a body as it is.
    pub fn body(mut self, body: impl Into<hyper::body::Bytes>) -> Self {
        *self.request.body_mut() = Full::new(body.into());
        self
    }

    /// Sends it; an answer must come.
    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.request.method(), self.request.uri().path());
        let answered = timeout(PATIENCE, self.exchange()).await;
        answered.unwrap_or_else(|_| panic!("waited for an answer to {what}")).expect(&what)
    }

    /// Gives an error where the connection ends without an answer.
    pub async fn exchange(self) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let tcp = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(self.request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        let text = String::from_utf8(body.to_vec())?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, text })
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body, which must be JSON.
    pub fn json(&self) -> Value {
        let kind = self.header(CONTENT_TYPE.as_str());
        assert!(kind.starts_with("application/json"), "{kind}: {}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The status and, for a failure, its code.
    pub fn outcome(&self) -> (u16, String) {
        let code =
            if self.status < 400 { String::new() } else { self.json()["code"].as_str().unwrap().into() };
        (self.status, code)
    }

    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The JSON of an answer that must be a success.
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self.json()
    }
}
