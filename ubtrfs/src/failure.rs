//! Why a command failed, in the words for its user.

use std::io;

/// A failure names the path and the cause.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something that a path led to.
    #[error("{path}: {cause}")]
    At {
        /// As the user gave it, quoted.
        path: String,
        /// Why.
        cause: String,
    },
    /// Standard output could not be written.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// Whoever read standard output went away.
    #[error("standard output was closed")]
    Closed,
    /// It went on, and each failure was told when it came.
    #[error("{0} of them failed")]
    Partly(usize),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Output(error),
        }
    }
}
