//! Everything that can go wrong for a client, and the one mapping to code, sentence and HTTP status for both transports.

use axum::http::StatusCode;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;
use utoipa::ToSchema;

/// The crate's result.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure as its causer sees it. Nothing here carries a detail of the inside but [`Error::Internal`],
/// whose source is logged and never sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{sentence}")]
    Validation { sentence: Cow<'static, str>, details: Vec<FieldError> },
    #[error("The body is not valid JSON")]
    InvalidJson,
    #[error("{0}")]
    Unauthorized(&'static str),
    #[error("The token has expired")]
    TokenExpired,
    #[error("Wrong username or password")]
    InvalidCredentials,
    #[error("The session has ended; log in again")]
    SessionRevoked,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("Registration is closed")]
    RegistrationClosed,
    #[error("The account is disabled")]
    AccountDisabled,
    #[error("The password is wrong")]
    WrongPassword,
    #[error("{0}")]
    NotFound(&'static str),
    #[error("The method is not allowed here")]
    MethodNotAllowed,
    #[error("The username is taken")]
    UsernameTaken,
    #[error("{0}")]
    PayloadTooLarge(&'static str),
    #[error("The body must be application/json")]
    UnsupportedMediaType,
    #[error("Too many requests; try again later")]
    RateLimited { retry_after: Duration },
    #[error("The service is busy or its database is away; try again soon")]
    Unavailable { retry_after: Duration },
    #[error("Something went wrong on the server")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("The id or username is not the token's")]
    IdentityMismatch,
    #[error("Join first")]
    NotJoined,
    #[error("{0}")]
    InvalidState(&'static str),
    #[error("You cannot call yourself")]
    SelfCall,
    #[error("There is no such event")]
    UnknownEvent,
}

/// One field of the input and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    #[schema(value_type = String, example = "limit")]
    pub(crate) field: Cow<'static, str>,
    #[schema(value_type = String, example = "must be from 1 to 200")]
    pub(crate) message: Cow<'static, str>,
}

impl Error {
    /// One field is wrong.
    pub(crate) fn field(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        let (field, message) = (field.into(), message.into());
        Self::Validation {
            sentence: format!("{field} {message}").into(),
            details: vec![FieldError { field, message }],
        }
    }

    /// A failure of the inside: logged where it becomes a response, never shown.
    pub(crate) fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// Try again in two seconds.
    pub(crate) fn unavailable() -> Self {
        Self::Unavailable { retry_after: Duration::from_secs(2) }
    }

    /// The name a program knows the failure by.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Validation { .. } => "validation_failed",
            Self::InvalidJson => "invalid_json",
            Self::Unauthorized(_) => "unauthorized",
            Self::TokenExpired => "token_expired",
            Self::InvalidCredentials => "invalid_credentials",
            Self::SessionRevoked => "session_revoked",
            Self::Forbidden(_) => "forbidden",
            Self::RegistrationClosed => "registration_closed",
            Self::AccountDisabled => "account_disabled",
            Self::WrongPassword => "wrong_password",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UsernameTaken => "username_taken",
            Self::PayloadTooLarge(_) => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } => "unavailable",
            Self::Internal(_) => "internal",
            Self::IdentityMismatch => "identity_mismatch",
            Self::NotJoined => "not_joined",
            Self::InvalidState(_) => "invalid_state",
            Self::SelfCall => "self_call",
            Self::UnknownEvent => "unknown_event",
        }
    }

    /// The HTTP status. The last five arise only on sockets; over HTTP they would be conflicts of the request.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Validation { .. } | Self::InvalidJson | Self::SelfCall | Self::UnknownEvent => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthorized(_) | Self::TokenExpired | Self::InvalidCredentials | Self::SessionRevoked => {
                StatusCode::UNAUTHORIZED
            }
            Self::Forbidden(_)
            | Self::RegistrationClosed
            | Self::AccountDisabled
            | Self::WrongPassword
            | Self::IdentityMismatch => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UsernameTaken | Self::NotJoined | Self::InvalidState(_) => StatusCode::CONFLICT,
            Self::PayloadTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// How long to wait before trying again, where waiting helps.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Self::RateLimited { retry_after } | Self::Unavailable { retry_after } = self {
            Some(*retry_after)
        } else {
            None
        }
    }

    /// The fields that are wrong, if it is about fields.
    pub(crate) fn details(&self) -> &[FieldError] {
        if let Self::Validation { details, .. } = self { details } else { &[] }
    }
}
