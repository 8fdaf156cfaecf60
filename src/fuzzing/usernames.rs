//! What must hold for any username.

use crate::domain::username::Username;
use serde_json::json;

pub(super) fn parse(text: &str) -> bool {
    let name = text.trim();
    let first = name.bytes().take(1).all(|byte| byte.is_ascii_alphanumeric());
    let rest = name.bytes().skip(1).all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    let follows_the_rule = first && rest && (3..=32).contains(&name.len());
    let from_json = serde_json::from_value::<Username>(json!(text));
    let Ok(username) = Username::parse(text) else {
        assert!(!follows_the_rule, "refused: {text:?}");
        assert!(from_json.is_err(), "refused, but not in JSON: {text:?}");
        return false;
    };
    assert!(follows_the_rule, "taken: {text:?}");
    assert_eq!(username.as_str(), name, "it is kept as typed");
    assert_eq!(Username::parse(username.as_str()).as_ref(), Ok(&username), "it is one still");
    assert_eq!(from_json.ok().as_ref(), Some(&username), "the same in JSON");
    let folded = username.folded();
    assert!(folded.eq_ignore_ascii_case(name) && !folded.bytes().any(|byte| byte.is_ascii_uppercase()));
    true
}
