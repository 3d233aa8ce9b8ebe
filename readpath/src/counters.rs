//! What has been done, counted.

use crate::sync::{AtomicU64, Ordering};

/// Counters of a [`ReadPath`](crate::ReadPath) since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Calls of [`DiskRead::read`](crate::DiskRead::read).
    pub fetches: u64,
    /// Bytes asked of the disk.
    pub fetched_bytes: u64,
    /// Extents that were decompressed, inline ones included.
    pub decompressions: u64,
    /// Bytes of pages that were filled.
    pub filled_bytes: u64,
    /// Times a reader found what it needed being read by another one.
    pub joined: u64,
    /// Sectors that were bad, and good on another mirror.
    pub healed_sectors: u64,
    /// Sectors that were bad on every mirror.
    pub damaged_sectors: u64,
    /// Times that something was read again because the file had changed meanwhile.
    pub stale: u64,
    /// Pieces of a readahead window that were left out for want of memory.
    pub readahead_skipped: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) fetches: AtomicU64,
    pub(crate) fetched_bytes: AtomicU64,
    pub(crate) decompressions: AtomicU64,
    pub(crate) filled_bytes: AtomicU64,
    pub(crate) joined: AtomicU64,
    pub(crate) healed_sectors: AtomicU64,
    pub(crate) damaged_sectors: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) readahead_skipped: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            fetches: read(&self.fetches),
            fetched_bytes: read(&self.fetched_bytes),
            decompressions: read(&self.decompressions),
            filled_bytes: read(&self.filled_bytes),
            joined: read(&self.joined),
            healed_sectors: read(&self.healed_sectors),
            damaged_sectors: read(&self.damaged_sectors),
            stale: read(&self.stale),
            readahead_skipped: read(&self.readahead_skipped),
        }
    }
}
