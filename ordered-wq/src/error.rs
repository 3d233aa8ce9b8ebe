//! What can fail here.

use std::io;

use crate::WorkId;

/// An error of this crate; errors of the work itself stay with the work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused a worker thread. None is left running.
    #[error("cannot start worker thread {index} of {wanted}")]
    Thread {
        /// Which thread, counted from 0.
        index: usize,
        /// How many were asked for.
        wanted: usize,
        /// The system's reason.
        source: io::Error,
    },

    /// An item panicked in its ordered part or while it was freed. The items
    /// after it were finished all the same.
    #[error("{id} panicked while it was finished or freed: {message}")]
    Panicked {
        /// The first such item since the last report.
        id: WorkId,
        /// The panic's message.
        message: String,
    },

    /// An item waited for the queue that it belongs to, which could never end.
    #[error("an item of an ordered queue waited for its own queue")]
    WaitsForItself,
}
