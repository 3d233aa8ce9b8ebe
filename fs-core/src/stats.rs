//! Counters.

use crate::sync::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What a filesystem has done since it was built.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats { $($(#[$doc])* pub $name: u64,)* }

        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64,)* }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Bytes that writers brought.
    bytes_written,
    /// Bytes of the file that finished extents cover, sector-aligned; inline ones to the byte.
    bytes_finished,
    /// Bytes that finished extents take up on the device (inline: in the tree).
    bytes_stored,
    /// Pieces stored compressed.
    pieces_compressed,
    /// Pieces stored as they are.
    pieces_raw,
    /// Files stored inside the tree.
    pieces_inline,
    /// Raw because compressing would not have saved a sector.
    raw_incompressible,
    /// Raw because nobody wanted compression or the piece is a single sector.
    raw_unwanted,
    /// Raw because the codec failed or had no memory.
    raw_codec_error,
    /// Extents recorded.
    extents_finished,
    /// Ranges whose data was lost on the way.
    ranges_failed,
    /// Commits.
    commits,
}

pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
