//! What is done to a request of `/socket.io` before the socket library gets it.

use axum::http::{HeaderMap, HeaderValue, Request, Uri};

/// The path of the socket transports.
const SOCKET_PATH: &str = "/socket.io";

/// Whether the request goes to the socket library.
pub(super) fn is_for_sockets<B>(request: &Request<B>) -> bool {
    request
        .uri()
        .path()
        .strip_prefix(SOCKET_PATH)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The Engine.IO session the request claims to be of, found as the socket library finds it.
pub(super) fn session<B>(request: &Request<B>) -> Option<&str> {
    request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix("sid="))
}

/// Copies the headers and the address into memory of their own.
///
/// hyper hands them out as slices of its read buffer, and the socket library keeps them as long as the socket
/// lives: without the copy every idle socket would hold on to that whole buffer.
pub(super) fn detach<B>(request: &mut Request<B>) {
    if let Ok(uri) = request.uri().to_string().parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    let mut headers = HeaderMap::with_capacity(request.headers().keys_len());
    for (name, value) in request.headers() {
        if let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) {
            copy.set_sensitive(value.is_sensitive());
            headers.append(name.clone(), copy);
        }
    }
    *request.headers_mut() = headers;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> Request<()> {
        Request::builder().uri(uri).body(()).unwrap()
    }

    #[test]
    fn a_detached_request_says_the_same_as_before() {
        let mut sensitive = HeaderValue::from_static("Bearer x");
        sensitive.set_sensitive(true);
        let mut before = Request::builder()
            .uri("/socket.io/?EIO=4&transport=websocket&t=%20a")
            .header("x-one", "1")
            .header("x-many", "a")
            .header("x-many", "b")
            .header("x-bytes", &b"caf\xc3\xa9 \xff"[..])
            .header("authorization", sensitive)
            .body(())
            .unwrap();
        let (uri, headers) = (before.uri().clone(), before.headers().clone());
        detach(&mut before);
        assert_eq!(*before.uri(), uri);
        assert_eq!(*before.headers(), headers);
        assert!(before.headers()["authorization"].is_sensitive());
        assert_eq!(before.headers().get_all("x-many").iter().collect::<Vec<_>>(), ["a", "b"]);
        for (name, value) in before.headers() {
            assert_ne!(value.as_bytes().as_ptr(), headers[name].as_bytes().as_ptr());
        }
    }

    #[test]
    fn an_address_with_a_host_survives_too() {
        let mut absolute = request("http://example.org:3001/socket.io/?EIO=4");
        let before = absolute.uri().clone();
        detach(&mut absolute);
        assert_eq!(*absolute.uri(), before);
    }

    #[test]
    fn only_the_socket_path_is_for_sockets() {
        assert!(is_for_sockets(&request("/socket.io")));
        assert!(is_for_sockets(&request("/socket.io/?EIO=4")));
        assert!(!is_for_sockets(&request("/socket.iox/")));
        assert!(!is_for_sockets(&request("/api/users")));
    }

    #[test]
    fn the_session_is_the_first_sid_of_the_query() {
        assert_eq!(session(&request("/socket.io/?EIO=4&sid=a&sid=b")), Some("a"));
        assert_eq!(session(&request("/socket.io/?EIO=4&xsid=a")), None);
        assert_eq!(session(&request("/socket.io/")), None);
    }
}
