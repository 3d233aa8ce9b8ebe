//! What can go wrong.

use std::ops::RangeInclusive;

use crate::CodecId;

/// Why bytes could not be compressed or decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no codec of that number.
    #[error("no codec has the number {}", .0.0)]
    Unknown(CodecId),
    /// The codec has no such level.
    #[error("{codec} has no level {level}, only {} to {}", levels.start(), levels.end())]
    Level {
        /// Name of the codec.
        codec: &'static str,
        /// What was asked for.
        level: i32,
        /// What there is.
        levels: RangeInclusive<i32>,
    },
    /// There is no memory for a context.
    #[error("{codec}: no memory for a context")]
    Context {
        /// Name of the codec.
        codec: &'static str,
    },
    /// Compressing failed.
    #[error("{codec} cannot compress {len} bytes: {why}")]
    Compress {
        /// Name of the codec.
        codec: &'static str,
        /// Bytes of the source.
        len: usize,
        /// The library's words.
        why: String,
    },
    /// The bytes are not what the codec makes.
    #[error("not valid {codec}, {len} bytes: {why}")]
    Decompress {
        /// Name of the codec.
        codec: &'static str,
        /// Bytes of the source.
        len: usize,
        /// What is wrong with them.
        why: String,
    },
}
