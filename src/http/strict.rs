//! What a proxy in front and this server could read in two ways is refused (RFC 9112).
//!
//! hyper refuses what it cannot read, and closes the connection after a request that has both a length and chunks.
//! It leaves to us which host a request is for, and takes any coding that ends with chunks.

use crate::error::{Error, Result};
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Version, header};
use axum::middleware::Next;
use axum::response::Response;

/// Lets a request pass that says once and clearly for which host it is (section 3.2) and, if at all, that its body
/// comes in chunks (section 6.1).
pub(crate) async fn guard(request: Request, next: Next) -> Result<Response> {
    if !names_one_host(request.headers(), request.version()) {
        return Err(Error::field("host", "must be given once"));
    }
    if !is_plainly_framed(request.headers()) {
        return Err(Error::field("transfer-encoding", "must be chunked, if anything"));
    }
    Ok(next.run(request).await)
}

fn names_one_host(headers: &HeaderMap, version: Version) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host),
        (None, _) => version < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

/// A client that has no host to name sends an empty one.
fn is_host(host: &HeaderValue) -> bool {
    let host = host.as_bytes();
    host.is_empty() || (!host.contains(&b'@') && Authority::try_from(host).is_ok())
}

fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_host_is_named_once_and_is_a_host() {
        for host in ["", "calls.test", "calls.test:3001", "127.0.0.1:3001", "[::1]", "[::1]:3001"] {
            assert!(names_one_host(&headers(&[("host", host)]), Version::HTTP_11), "{host}");
        }
        for host in ["a b", "a/b", "a@b", "http://a", "a:b:c", "[::1", "a?b", "a#b"] {
            assert!(!names_one_host(&headers(&[("host", host)]), Version::HTTP_11), "{host}");
        }
        assert!(!names_one_host(&headers(&[]), Version::HTTP_11));
        assert!(names_one_host(&headers(&[]), Version::HTTP_10));
    }

    #[test]
    fn chunks_are_the_only_coding() {
        assert!(is_plainly_framed(&headers(&[])));
        assert!(is_plainly_framed(&headers(&[("transfer-encoding", "Chunked")])));
        for coding in ["gzip, chunked", "chunked, chunked", "identity", ""] {
            assert!(!is_plainly_framed(&headers(&[("transfer-encoding", coding)])), "{coding}");
        }
    }
}
