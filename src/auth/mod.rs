//! Who somebody is: passwords, tokens, sessions, and the throttle before them.

pub(crate) mod refresh_token;
pub(crate) mod sessions;
pub(crate) mod token;
