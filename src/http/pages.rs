//! The reference client, served from `WEB_ROOT`; where it was not built, a page that says how. The API does not depend on either.

use crate::app::App;
use crate::error::{Error, Result};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use std::io;
use std::sync::Arc;
use tower_http::services::ServeDir;

/// Scripts, styles and pictures of our own alone; sockets and requests to this server alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; \
                      font-src 'self'; manifest-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";
/// The build names these after what is in them.
const HASHED: &str = "/assets/";

const NOT_BUILT: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>video-call-server</title>
<h1>The server runs</h1>
<p>The reference client is not built yet. With Node 20 or newer, run <code>make web</code> in the server's folder and load this page again.</p>
<p><a href="/health">How the server is</a></p>
</html>
"#;

/// Answers what no route does: a file of the page, or that there is nothing.
pub(crate) async fn serve(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let path = request.uri().path().to_owned();
    let may_be_a_file = !(path == "/api" || path.starts_with("/api/"))
        && [Method::GET, Method::HEAD].contains(request.method());
    if !may_be_a_file {
        return Err(if path == "/" { Error::MethodNotAllowed } else { nothing() });
    }
    let mut files = ServeDir::new(&app.config.web_root)
        .append_index_html_on_directories(path == "/")
        .precompressed_gzip();
    let found = match files.try_call(request).await {
        Ok(found) => Some(found).filter(|found| found.status() != StatusCode::NOT_FOUND),
        Err(error) if is_no_file(error.kind()) => None,
        Err(error) => return Err(Error::internal(error)),
    };
    let mut response = match found {
        Some(found) => found.into_response(),
        None if path == "/" => Html(NOT_BUILT).into_response(),
        None => return Err(nothing()),
    };
    let caching = if path.starts_with(HASHED) && response.status().is_success() {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    Ok(response)
}

/// Whether the name leads nowhere, or can be no file's.
fn is_no_file(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    [NotFound, NotADirectory, InvalidFilename, InvalidInput].contains(&kind)
}

pub(super) fn nothing() -> Error {
    Error::NotFound("There is nothing here")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::Server;
    use std::fs;

    fn built() -> (tempfile::TempDir, Server) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("dist");
        fs::create_dir_all(root.join("assets")).unwrap();
        fs::create_dir_all(root.join("api")).unwrap();
        fs::write(folder.path().join("secret"), "not for everybody").unwrap();
        for file in ["index.html", "assets/app-1a2b.js", "api/users", "favicon.svg"] {
            fs::write(root.join(file), format!("this is {file}")).unwrap();
        }
        let server = Server::new(|config| config.web_root = root);
        (folder, server)
    }

    #[tokio::test]
    async fn the_page_and_its_files_come_with_a_policy_of_their_own() {
        let (_folder, server) = built();
        for (path, file, kind, caching) in [
            ("/", "index.html", "text/html", "no-cache"),
            ("/favicon.svg", "favicon.svg", "image/svg+xml", "no-cache"),
            (
                "/assets/app-1a2b.js",
                "assets/app-1a2b.js",
                "text/javascript",
                "public, max-age=31536000, immutable",
            ),
        ] {
            let answer = server.get(path, &[]).await;
            assert_eq!((answer.status, answer.text.as_str()), (200, format!("this is {file}").as_str()));
            assert_eq!(answer.headers["content-type"], kind);
            assert_eq!(answer.headers["cache-control"], caching);
            assert_eq!(answer.headers["content-security-policy"], POLICY);
            assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        }
    }

    #[tokio::test]
    async fn what_the_build_has_packed_is_not_packed_again() {
        let (folder, server) = built();
        fs::write(folder.path().join("dist/index.html.gz"), "the packed index.html").unwrap();
        let packed = server.get("/", &[("accept-encoding", "br, gzip")]).await;
        assert_eq!((packed.status, packed.text.as_str()), (200, "the packed index.html"));
        assert_eq!(packed.headers["content-encoding"], "gzip");
        assert_eq!(packed.headers["content-type"], "text/html");
        assert!(packed.headers.get_all("vary").iter().any(|value| value == "accept-encoding"));
        assert_eq!(server.get("/", &[("accept-encoding", "br")]).await.text, "this is index.html");
    }

    #[tokio::test]
    async fn what_is_outside_or_of_the_api_is_not_served() {
        let (_folder, server) = built();
        for path in [
            "/../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/assets/../../secret",
            "//etc/passwd",
            "/a%00b",
            "/index.html/x",
        ] {
            assert_eq!(server.get(path, &[]).await.refusal(), (404, "not_found"), "{path}");
        }
        let long = format!("/{}", "x".repeat(5_000));
        assert_eq!(server.get(&long, &[]).await.refusal(), (404, "not_found"));
        assert_eq!(server.get("/assets", &[]).await.refusal(), (404, "not_found"));
        assert_eq!(server.get("/api/nothing", &[]).await.refusal(), (404, "not_found"));
        assert_eq!(server.get("/api/users", &[]).await.refusal(), (401, "unauthorized"));
        assert_eq!(server.post("/", "{}").await.refusal(), (405, "method_not_allowed"));
        assert_eq!(server.post("/index.html", "{}").await.refusal(), (404, "not_found"));
    }

    #[tokio::test]
    async fn without_a_build_the_front_says_how_to_make_one() {
        let server = Server::new(|config| config.web_root = "/nowhere/at/all".into());
        let answer = server.get("/", &[]).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains("make web"), "{}", answer.text);
        assert_eq!(answer.headers["content-security-policy"], POLICY);
        assert_eq!(server.get("/index.html", &[]).await.refusal(), (404, "not_found"));
    }
}
