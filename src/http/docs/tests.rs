//! What the documents say, and how they are served.

use super::*;
use crate::http::tests::Server;
use serde_json::Value;
use std::collections::BTreeSet;

fn document() -> Value {
    openapi::document().unwrap()
}

/// Every operation, by its method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
        })
        .collect()
}

/// Every text under the key `name`, wherever it is.
fn all<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(name).and_then(Value::as_str));
            fields.values().for_each(|value| all(value, name, found));
        }
        Value::Array(items) => items.iter().for_each(|value| all(value, name, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn codes(response: &Value) -> Vec<&str> {
    let codes = &response["content"]["application/json"]["schema"]["allOf"][1]["properties"]["code"]["enum"];
    codes.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn the_document_is_of_this_version_and_whole() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(document["info"]["version"], VERSION);
    let mut references = Vec::new();
    all(&document, "$ref", &mut references);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn every_operation_has_a_name_of_its_own_and_tells_of_every_refusal() {
    let document = document();
    let operations = operations(&document);
    let names: BTreeSet<_> =
        operations.iter().map(|(_, operation)| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), operations.len());
    for (operation, description) in operations {
        let responses = &description["responses"];
        let refused = |status: &str, code: &str| codes(&responses[status]).contains(&code);
        let is_api = operation.contains(" /api/");
        let (needs_token, has_body) =
            (!description["security"].is_null(), !description["requestBody"].is_null());
        assert!(refused("400", "validation_failed") && refused("500", "internal"), "{operation}");
        assert!(refused("503", "unavailable") || operation == "get /health/ready", "{operation}");
        assert_eq!(refused("429", "rate_limited"), is_api, "{operation}");
        for code in ["unauthorized", "token_expired", "session_revoked"] {
            assert_eq!(
                refused("401", code),
                needs_token || operation == "post /api/refresh",
                "{operation} {code}"
            );
        }
        for (status, code) in
            [("400", "invalid_json"), ("413", "payload_too_large"), ("415", "unsupported_media_type")]
        {
            assert_eq!(refused(status, code), has_body, "{operation} {code}");
        }
        for (status, response) in responses.as_object().unwrap() {
            let headers = response["headers"].as_object().unwrap();
            assert_eq!(headers.contains_key("www-authenticate"), status == "401", "{operation} {status}");
            assert_eq!(headers.contains_key("retry-after"), ["429", "503"].contains(&status.as_str()));
            assert!(headers.contains_key("x-request-id"), "{operation} {status}");
        }
    }
}

#[test]
fn an_example_of_a_refusal_is_that_refusal() {
    let document = document();
    let login = &document["paths"]["/api/login"]["post"]["responses"]["401"];
    let example = &login["content"]["application/json"]["examples"]["invalid_credentials"]["value"];
    assert_eq!(codes(login), ["invalid_credentials"]);
    assert_eq!(example["error"], Error::InvalidCredentials.to_string());
    assert_eq!(example["code"], "invalid_credentials");
}

#[test]
fn a_parameter_of_a_list_may_be_left_out_but_is_never_null() {
    let document = document();
    for path in ["/api/users", "/api/calls"] {
        for parameter in document["paths"][path]["get"]["parameters"].as_array().unwrap() {
            assert_eq!(parameter["required"], false, "{parameter}");
            assert!(!parameter.to_string().contains("null"), "{parameter}");
        }
    }
}

#[tokio::test]
async fn what_the_document_protects_asks_for_a_token_and_the_rest_does_not() {
    let (document, server) = (document(), Server::new(|_| ()));
    for (operation, description) in operations(&document) {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path.replace("{id}", "01890000-0000-7000-8000-000000000000");
        let answer = server.ask(&method.to_uppercase(), &path).await;
        assert_ne!(answer.status, 405, "{operation}");
        assert_eq!(answer.status == 401, !description["security"].is_null(), "{operation}: {}", answer.text);
    }
}

#[tokio::test]
async fn the_documents_are_served_and_not_sent_again_to_who_has_them() {
    let server = Server::new(|_| ());
    for (path, member) in [("/openapi.json", "openapi"), ("/asyncapi.json", "asyncapi")] {
        let answer = server.get(path, &[]).await;
        assert_eq!((answer.status, answer.body["info"]["version"].as_str()), (200, Some(VERSION)));
        assert!(answer.body[member].as_str().unwrap().starts_with("3."));
        assert_eq!(answer.headers["content-type"], "application/json");
        let tag = answer.headers["etag"].to_str().unwrap();
        for known in [tag.to_owned(), format!("\"other\", {tag}"), tag.replace("W/", ""), "*".to_owned()] {
            let again = server.get(path, &[("if-none-match", &known)]).await;
            assert_eq!((again.status, again.text.as_str()), (304, ""), "{known}");
            assert_eq!(again.headers["etag"], tag);
        }
        assert_eq!(server.get(path, &[("if-none-match", "W/\"other\"")]).await.status, 200);
    }
}

#[tokio::test]
async fn the_page_and_its_files_come_under_a_policy_that_lets_nothing_else_in() {
    let server = Server::new(|_| ());
    for (path, kind) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/", "text/html; charset=utf-8"),
        ("/docs/start.js", "text/javascript"),
        ("/docs/swagger-ui.css", "text/css"),
        ("/docs/swagger-ui-bundle.js", "text/javascript"),
        ("/docs/favicon-32x32.png", "image/png"),
    ] {
        let answer = server.get(path, &[]).await;
        assert_eq!((answer.status, &answer.headers["content-type"]), (200, &kind.parse().unwrap()), "{path}");
        assert_eq!(answer.headers["content-security-policy"], POLICY);
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    for path in ["/docs/index.html", "/docs/swagger-initializer.js", "/docs/..%2fopenapi.json", "/docs/a/b"] {
        assert_eq!(server.get(path, &[]).await.refusal(), (404, "not_found"), "{path}");
    }
    assert_eq!(server.post("/docs", "").await.refusal(), (405, "method_not_allowed"));
}
