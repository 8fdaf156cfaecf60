//! What is in the way of an event, as a sentence for the one who sent it.

use serde::{Deserialize, Serialize};

/// Why a call is not in a state for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Obstacle {
    NotRinging,
    NotActive,
    Answered,
    NotThisDevice,
    CalleeOnly,
    Over,
    InCall,
    NeverRang,
}

impl Obstacle {
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::NotRinging => "The call is not ringing",
            Self::NotActive => "The call is not active",
            Self::Answered => "The call was answered already",
            Self::NotThisDevice => "This device has no part in the call",
            Self::CalleeOnly => "Only the callee can do that",
            Self::Over => "The call is over",
            Self::InCall => "You are in a call already",
            Self::NeverRang => "The call ended before it could ring",
        }
    }
}
