//! What can go wrong.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Range;

use compress::CodecId;

use crate::plan::InvalidMap;
use crate::ports::BoxError;
use crate::sync::Arc;

/// A file: its tree (subvolume; 0 where there are none) and its inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The tree.
    pub tree: u64,
    /// The inode's number in it.
    pub ino: u64,
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inode {} of tree {}", self.ino, self.tree)
    }
}

/// Why a part of a file can't be read: `range` is page-aligned and is all that the error concerns.
///
/// Cheap to clone: those who wait for one extent share its error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are named after what they hold")]
pub enum Error {
    /// The extent maps can't be found.
    #[error("{file}, bytes {range:?}: looking up where they are: {source}")]
    Maps {
        file: FileId,
        range: Range<u64>,
        source: Source,
    },
    /// An extent map contradicts itself or the format.
    #[error("{file}, bytes {range:?}: {reason}")]
    InvalidMap {
        file: FileId,
        range: Range<u64>,
        reason: InvalidMap,
    },
    /// No copy can be read.
    #[error("{file}, bytes {range:?}: reading {disk}: {source}")]
    Device {
        file: FileId,
        range: Range<u64>,
        disk: String,
        source: Source,
    },
    /// No copy matches its checksum.
    #[error(
        "{file}, bytes {range:?}: checksums do not match: {bad_sectors} bad sectors at {disk}, \
         {mirrors} copies tried"
    )]
    Damaged {
        file: FileId,
        range: Range<u64>,
        disk: String,
        bad_sectors: usize,
        mirrors: usize,
    },
    /// The checksum matches, or there is none, but it does not decompress.
    #[error("{file}, bytes {range:?}: decompressing {disk} (codec {}): {source}", codec.0)]
    Undecodable {
        file: FileId,
        range: Range<u64>,
        disk: String,
        codec: CodecId,
        source: Source,
    },
    /// Whoever was reading it panicked or was shut down.
    #[error("{file}, bytes {range:?}: reading them was given up")]
    Aborted { file: FileId, range: Range<u64> },
    /// The file changed, or lost its memory, whenever it was read.
    #[error("{file}, bytes {range:?}: they change faster than they can be read")]
    Contended { file: FileId, range: Range<u64> },
}

/// A port's own error, shared.
pub type Source = Arc<dyn StdError + Send + Sync>;

impl Error {
    /// The file.
    #[must_use]
    pub fn file(&self) -> FileId {
        match self {
            Self::Maps { file, .. }
            | Self::InvalidMap { file, .. }
            | Self::Device { file, .. }
            | Self::Damaged { file, .. }
            | Self::Undecodable { file, .. }
            | Self::Aborted { file, .. }
            | Self::Contended { file, .. } => *file,
        }
    }

    /// The part of the file that can't be read.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        match self {
            Self::Maps { range, .. }
            | Self::InvalidMap { range, .. }
            | Self::Device { range, .. }
            | Self::Damaged { range, .. }
            | Self::Undecodable { range, .. }
            | Self::Aborted { range, .. }
            | Self::Contended { range, .. } => range.clone(),
        }
    }
}

pub(crate) fn shared(error: BoxError) -> Source {
    Arc::from(error)
}
