//! What ends a command.

use std::path::{Path, PathBuf};

use crate::quote::quoted;

/// Why a command ended before its work was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// Something outside could not be used.
    #[error("{}: {cause}", quoted(path.as_os_str().as_encoded_bytes()))]
    Path {
        /// What.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Something in the image could not be used.
    #[error("{}: {cause}", quoted(path))]
    InImage {
        /// Its path in the image.
        path: Vec<u8>,
        /// Why.
        cause: String,
    },
    /// A signal asked for the end.
    #[error("interrupted")]
    Interrupted,
    /// Whoever reads the output has gone; nothing is to be said.
    #[error("the output was closed")]
    OutputClosed,
    /// The output cannot be written.
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

impl Error {
    /// An error about `path`.
    pub fn path(path: impl AsRef<Path>, cause: impl std::fmt::Display) -> Self {
        Self::Path {
            path: path.as_ref().to_owned(),
            cause: cause.to_string(),
        }
    }

    /// An error about `path` in the image.
    pub fn in_image(path: &[u8], cause: impl std::fmt::Display) -> Self {
        Self::InImage {
            path: path.to_owned(),
            cause: cause.to_string(),
        }
    }

    /// 1: failed, 2: wrong usage.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }
}

impl From<std::io::Error> for Error {
    /// Of writing to the standard output, the only `io::Error` without a path of its own.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Output(error)
    }
}
