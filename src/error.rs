//! What went wrong, where, and what to do about it.

use std::fmt;

/// Shorthand for results with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// An error as the user reads it: `error: <message>` and, where there is a remedy, `hint: <hint>`.
///
/// Messages are lower case without a final full stop; names stand in backticks.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

/// Which exit code an [`Error`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The world did not cooperate: a missing file, a broken checkpoint (exit code 1).
    Runtime,
    /// The command line asks for something impossible (exit code 2).
    Usage,
}

impl Error {
    /// A run-time error (exit code 1).
    pub fn new(message: impl Into<String>) -> Self {
        Self { kind: Kind::Runtime, message: message.into(), hint: None }
    }

    /// A usage error (exit code 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::new(message) }
    }

    /// Adds the remedy.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says where it happened: `<place>: <message>`.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Puts a directory before a message that begins with the name of a file in it.
    pub fn within(mut self, dir: &std::path::Path) -> Self {
        self.message = dir.join(&self.message).display().to_string();
        self
    }

    /// The message without the remedy.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The remedy, if there is one.
    pub fn remedy(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The exit code of a program that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Runtime => 1,
            Kind::Usage => 2,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<candle_core::Error> for Error {
    fn from(e: candle_core::Error) -> Self {
        Error::new(format!("tensor operation failed: {e}"))
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Error::new(e.to_string())
    }
}
