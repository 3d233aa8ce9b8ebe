use std::ops::Range;

/// How the pages of a file are locked: the port towards a page cache.
pub trait PageLocks {
    /// Locked pages; dropping it unlocks them.
    type Locked;

    /// Locks the pages of a range that is page-aligned and not empty, in
    /// ascending order, sleeping for each.
    ///
    /// The answer holds the locks and tells up to which offset they reach:
    /// less than asked for where a page is gone (truncated meanwhile). `None`
    /// if that is the first one.
    ///
    /// For implementers: never lock a page before `range.start`, never keep a
    /// lock behind the offset told, and take no range lock in here.
    fn lock_pages(&self, range: Range<u64>) -> Option<(Self::Locked, u64)>;
}

/// Pages of a cache that needs no locks for a claim, since it takes snapshots
/// atomically by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPageLocks;

impl PageLocks for NoPageLocks {
    type Locked = ();

    fn lock_pages(&self, range: Range<u64>) -> Option<((), u64)> {
        Some(((), range.end))
    }
}
