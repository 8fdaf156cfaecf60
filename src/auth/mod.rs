//! Who somebody is: passwords, tokens, sessions, and the throttle before them.

pub(crate) mod accounts;
pub(crate) mod password;
pub(crate) mod refresh_token;
pub(crate) mod sessions;
pub(crate) mod throttle;
pub(crate) mod token;
