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
    /// Raw because a sample did not look as if it shrinks.
    raw_sampled,
    /// Raw because the codec failed, panicked or had no memory.
    raw_codec_error,
    /// Raw because the file, which was to be stored in the tree, grew meanwhile.
    raw_outgrown,
    /// Extents recorded.
    extents_finished,
    /// Ranges whose data was lost on the way.
    ranges_failed,
    /// Commits.
    commits,
    /// Pages whose writeback was started because they had been dirty for long.
    pages_flushed_by_age,
    /// Pages whose writeback was started because much was dirty.
    pages_flushed_by_amount,
    /// Pages whose writeback was started because the cache had no room.
    pages_flushed_by_pressure,
    /// Times that writeback waited for the byte budget of what is in transit.
    budget_waits,
    /// Times that a writer found no room in the cache and waited for it.
    room_waits,
    /// Times that whoever changes a file, or reads it past the cache or past writers who disturbed it,
    /// waited for another who had locked a part of the range.
    lock_waits,
    /// Pages that were filled although nobody had asked for them: by readahead, or because they are
    /// in an extent with others that somebody had. Each is a hit or waste one day.
    readahead_pages,
    /// Those that were read, or overwritten in part, afterwards; counted once.
    readahead_hits,
    /// Those that left the cache, or were overwritten, before anybody read them. Besides those there
    /// are `readahead_pages - readahead_hits - readahead_wasted` that may still become hits.
    readahead_wasted,
    /// Times that a writer was slowed down because much was dirty.
    writers_throttled,
    /// Microseconds for which they were.
    throttled_us,
    /// Inodes without a name that could not be freed.
    orphans_left,
}

impl Stats {
    /// Bytes of files for each byte stored; 1 before anything was.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        match self.bytes_stored {
            0 => 1.0,
            stored => self.bytes_finished as f64 / stored as f64,
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
