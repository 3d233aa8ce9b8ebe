//! What can go wrong.

use std::fmt;
use std::ops::RangeInclusive;

use crate::CodecId;

/// Why bytes could not be compressed or decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no codec of that number.
    #[error("no codec has the number {}", .0.0)]
    Unknown(CodecId),
    /// There is no codec of that name.
    #[error("no compression is called {name:?}, only {known}")]
    Name {
        /// What was asked for.
        name: String,
        /// Names and levels of all.
        known: String,
    },
    /// What stands behind a codec's name is no number.
    #[error("{text:?} is not a level of {codec}, which has {}", Levels(levels))]
    LevelText {
        /// Name of the codec.
        codec: &'static str,
        /// What was asked for.
        text: String,
        /// What there is.
        levels: RangeInclusive<i32>,
    },
    /// The codec has no such level.
    #[error("{codec} has no level {level}, only {}", Levels(levels))]
    Level {
        /// Name of the codec.
        codec: &'static str,
        /// What was asked for.
        level: i32,
        /// What there is.
        levels: RangeInclusive<i32>,
    },
    /// There are no such sectors.
    #[error("sectors are 4096 to 65536 bytes and a power of two, not {0}")]
    SectorSize(usize),
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

impl Error {
    /// [`Error::Level`], unless the level is one of `levels`.
    pub(crate) fn check_level(
        codec: &'static str,
        level: i32,
        levels: RangeInclusive<i32>,
    ) -> Result<(), Self> {
        if levels.contains(&level) {
            return Ok(());
        }
        Err(Self::Level {
            codec,
            level,
            levels,
        })
    }
}

/// Levels in words.
pub(crate) struct Levels<'a>(pub(crate) &'a RangeInclusive<i32>);

impl fmt::Display for Levels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.0.start(), self.0.end());
        if low == high {
            write!(f, "{low}")
        } else {
            write!(f, "{low} to {high}")
        }
    }
}
