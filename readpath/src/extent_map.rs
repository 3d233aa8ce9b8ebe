//! Extent maps: where the bytes of a piece of a file are.

use std::ops::Range;

use bytes::Bytes;
use compress::CodecId;

/// A range of a file and where its bytes are. `L` names a place on the volume.
///
/// Two maps may point to one disk extent (clones, what an overwrite of the middle left over);
/// they are two pieces all the same and are never merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtentMap<L> {
    /// File offset of the first byte.
    pub start: u64,
    /// Bytes of the file that this map covers.
    pub len: u64,
    /// What is there.
    pub kind: ExtentKind<L>,
}

/// What an [`ExtentMap`] maps to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtentKind<L> {
    /// Never written: zeroes, no space.
    Hole,
    /// Space that was never written to: zeroes.
    Prealloc,
    /// The bytes lie in the metadata. Zeroes follow where the data is shorter than the map.
    Inline {
        /// The stored bytes.
        data: Bytes,
        /// How they are compressed, if they are.
        codec: Option<CodecId>,
        /// Length once decompressed.
        ram_bytes: u64,
    },
    /// The bytes as they are.
    Raw {
        /// The disk extent's first byte.
        disk: L,
        /// The disk extent's length.
        disk_num_bytes: u64,
        /// Where in the disk extent the map's first byte is.
        offset: u64,
    },
    /// Compressed bytes.
    Compressed {
        /// The disk extent's first byte.
        disk: L,
        /// The disk extent's length.
        disk_num_bytes: u64,
        /// Its length once decompressed.
        ram_bytes: u64,
        /// Where in the decompressed bytes the map's first byte is.
        offset: u64,
        /// How it is compressed.
        codec: CodecId,
    },
}

impl<L> ExtentMap<L> {
    /// The part of the file that is mapped, cut where offsets end.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.start..self.start.saturating_add(self.len)
    }
}
