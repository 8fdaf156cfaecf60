//! A username that can only exist valid.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// 3 to 32 characters, `[A-Za-z0-9][A-Za-z0-9_.-]*`, kept as its owner typed it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Username(Arc<str>);

/// What is wrong with a name, as a sentence for the person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadUsername {
    #[error("must be 3 to 32 characters long")]
    Length,
    #[error("must start with a letter or digit and hold only letters, digits, '_', '.' and '-'")]
    Characters,
}

impl Username {
    /// Trims, then checks.
    pub(crate) fn parse(text: &str) -> Result<Self, BadUsername> {
        let name = text.trim();
        let mut bytes = name.bytes();
        let starts_well = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let goes_on_well = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if !(3..=32).contains(&name.chars().count()) {
            Err(BadUsername::Length)
        } else if !(starts_well && goes_on_well) {
            Err(BadUsername::Characters)
        } else {
            Ok(Self(name.into()))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which a name is unique.
    pub(crate) fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl TryFrom<String> for Username {
    type Error = BadUsername;

    fn try_from(text: String) -> Result<Self, BadUsername> {
        Self::parse(&text)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_kept_as_typed() {
        assert_eq!(Username::parse("  John_Doe.1-x ").unwrap().as_str(), "John_Doe.1-x");
        assert_eq!(Username::parse("John").unwrap().folded(), "john");
    }

    #[test]
    fn a_name_out_of_shape_is_refused() {
        for name in ["", "ab", "  ab  ", "_abc", ".abc", "-abc", "a b", "a\0bc", "äbc", "abc\n d", "a/b/c"] {
            assert!(Username::parse(name).is_err(), "{name:?}");
        }
        assert_eq!(Username::parse(&"a".repeat(33)), Err(BadUsername::Length));
        assert!(Username::parse(&"a".repeat(32)).is_ok());
    }
}
