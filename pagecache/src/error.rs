//! What can go wrong.

use std::io;
use std::ops::Range;

use bytes::Bytes;

/// Pages that must be read before a write can be done, because it covers them only in part.
///
/// Once they are filled they stay for that write; who gives it up says so, by
/// [`Mapping::give_up_write`](crate::Mapping::give_up_write).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pages that must be read first: {ranges:?}")]
pub struct MissingPages {
    /// How many bytes of this call went in before, usually 0; go on behind them.
    pub written: u64,
    /// Ascending and page-aligned.
    pub ranges: Vec<Range<u64>>,
}

/// The fetched bytes may be older than the file's contents: look up and fetch again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mapping changed since the bytes were fetched")]
pub struct Stale;

/// Why [`Mapping::write_with`](crate::Mapping::write_with) stopped early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was taken from the source for what is not written.
    #[error(transparent)]
    MissingPages(#[from] MissingPages),
    /// The source ended inside a page that must be read first. Fill it, then write `bytes` at
    /// `offset`.
    #[error("the source ended inside a page that must be read first, before offset {offset}")]
    MissingTail {
        /// How many bytes of this call are in the cache.
        written: u64,
        /// Where `bytes` belong.
        offset: u64,
        /// Taken from the source and not in the cache.
        bytes: Bytes,
        /// What to read.
        missing: MissingPages,
    },
    /// The source failed. What it had put into a page that must be read first is dropped.
    #[error("the source failed after {written} bytes")]
    Source {
        /// How many bytes of this call are in the cache.
        written: u64,
        /// The source's own error.
        source: io::Error,
    },
}
