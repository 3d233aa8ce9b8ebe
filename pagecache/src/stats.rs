//! What the cache holds and did.

use crate::sync::{AtomicU64, Ordering};

/// A reading of a cache's counters; bytes unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The budget.
    pub budget: u64,
    /// Buffers in use: folios, snapshots and `Buffer`s that callers hold.
    pub resident: u64,
    /// Recycled buffers that wait to be used again; `resident + free` counts against the budget.
    pub free: u64,
    /// Highest `resident + free` so far.
    pub high_water: u64,
    /// Dirty pages.
    pub dirty: u64,
    /// Pages under writeback.
    pub writeback: u64,
    /// Folios, not bytes, that reclaim may look at: the clean ones.
    pub clean_folios: u64,
    /// Pages that reads found.
    pub hits: u64,
    /// Pages that reads did not find.
    pub misses: u64,
    /// Pages that were filled although nobody had asked for them: by readahead, or because they are
    /// in an extent with others that somebody had. Each is a hit or waste one day:
    /// `readahead_pages - readahead_hits - readahead_wasted` are cached and wait for a reader.
    pub readahead_pages: u64,
    /// Those that were read, or overwritten in part, afterwards; counted once.
    pub readahead_hits: u64,
    /// Those that were evicted, dropped or overwritten before anybody read them.
    pub readahead_wasted: u64,
    /// Folios that reclaim dropped.
    pub evictions: u64,
    /// Folios copied because a snapshot shared their buffer.
    pub cow_copies: u64,
    /// Buffers that came from the system and not out of recycling.
    pub fresh_buffers: u64,
}

/// Counters that are kept without a lock.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) dirty: AtomicU64,
    pub(crate) writeback: AtomicU64,
    /// Bytes of pages that are either or both.
    pub(crate) unsettled: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) readahead_pages: AtomicU64,
    pub(crate) readahead_hits: AtomicU64,
    pub(crate) readahead_wasted: AtomicU64,
    pub(crate) evictions: AtomicU64,
    pub(crate) cow_copies: AtomicU64,
}

/// Adds to a counter of events, which orders nothing.
pub(crate) fn count(counter: &AtomicU64, n: u64) {
    if n > 0 {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}
