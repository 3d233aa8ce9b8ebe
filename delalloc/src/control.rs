use std::ops::Range;

use crate::PAGE_SIZE;

/// What writeback is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// To get rid of dirty pages: stops when enough were written, and skips
    /// what is on its way already.
    None,
    /// For integrity: takes every page of the range, and waits for those that
    /// are on their way.
    All,
}

/// The most pages to which one request is raised.
pub const MAX_RAISED_PAGES: u64 = 8192;

/// The writeback control block: what a walk over dirty pages is asked for, and
/// how far it got.
///
/// Whoever takes pages says so by [`WritebackControl::took`], nobody else
/// does; so `nr_written` is exact, whichever function took them. Check
/// [`WritebackControl::is_done`] after every range.
#[derive(Clone, Debug)]
pub struct WritebackControl {
    range: Range<u64>,
    sync_mode: SyncMode,
    nr_to_write: u64,
    nr_written: u64,
}

impl WritebackControl {
    /// Asks for every dirty page that a range touches.
    #[must_use]
    pub fn new(range: Range<u64>, sync_mode: SyncMode) -> Self {
        Self {
            range,
            sync_mode,
            nr_to_write: u64::MAX,
            nr_written: 0,
        }
    }

    /// Asks for every dirty page of a file.
    #[must_use]
    pub fn whole(sync_mode: SyncMode) -> Self {
        Self::new(0..u64::MAX, sync_mode)
    }

    /// Asks for about so many pages and no more.
    #[must_use]
    pub fn limited_to(mut self, pages: u64) -> Self {
        self.nr_to_write = pages;
        self
    }

    /// Bytes of the file that are meant.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// What the writeback is for.
    #[must_use]
    pub fn sync_mode(&self) -> SyncMode {
        self.sync_mode
    }

    /// Pages that are asked for altogether.
    #[must_use]
    pub fn nr_to_write(&self) -> u64 {
        self.nr_to_write
    }

    /// Pages that were taken.
    #[must_use]
    pub fn nr_written(&self) -> u64 {
        self.nr_written
    }

    /// Pages that are still to be taken.
    #[must_use]
    pub fn remaining_pages(&self) -> u64 {
        self.nr_to_write.saturating_sub(self.nr_written)
    }

    /// Whether enough was taken. Never so for [`SyncMode::All`], which ends
    /// with its range.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.sync_mode == SyncMode::None && self.remaining_pages() == 0
    }

    /// Pages were taken: they are claimed, and no longer dirty.
    pub fn took(&mut self, pages: u64) {
        self.nr_written += pages;
    }

    /// So many pages of delalloc lie contiguous where the walk is: the request
    /// is raised to them, up to [`MAX_RAISED_PAGES`], so that an extent is not
    /// cut for the sake of a budget.
    pub fn raise(&mut self, contiguous_pages: u64) {
        let wanted = contiguous_pages.min(MAX_RAISED_PAGES);
        let raised = self.nr_written.saturating_add(wanted);
        self.nr_to_write = self.nr_to_write.max(raised);
    }

    /// The most bytes to claim at once when `max_bytes` is the cap of a claim.
    #[must_use]
    pub fn cap(&self, max_bytes: u64) -> u64 {
        match self.sync_mode {
            SyncMode::All => max_bytes,
            SyncMode::None => max_bytes.min(self.remaining_pages().saturating_mul(PAGE_SIZE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_walk_stops_and_an_integrity_walk_does_not() {
        let mut wbc = WritebackControl::whole(SyncMode::None).limited_to(10);
        wbc.took(9);
        assert!(!wbc.is_done());
        assert_eq!(wbc.cap(1 << 20), PAGE_SIZE);
        wbc.took(1);
        assert!(wbc.is_done());
        assert_eq!(wbc.cap(1 << 20), 0);
        let mut wbc = WritebackControl::new(0..8192, SyncMode::All).limited_to(1);
        wbc.took(2);
        assert!(!wbc.is_done());
        assert_eq!(wbc.cap(1 << 20), 1 << 20);
    }

    #[test]
    fn writeback_stops_early_and_leaves_a_tail() {
        // The guard: what is raised counts from what was taken before.
        let mut wbc = WritebackControl::whole(SyncMode::None).limited_to(16);
        wbc.took(10);
        wbc.raise(100);
        assert_eq!((wbc.remaining_pages(), wbc.nr_to_write()), (100, 110));
        wbc.raise(50);
        assert_eq!(wbc.nr_to_write(), 110, "never lowered");
        wbc.took(100);
        assert_eq!((wbc.nr_written(), wbc.is_done()), (110, true));
        wbc.raise(1 << 30);
        assert_eq!(wbc.remaining_pages(), MAX_RAISED_PAGES);
    }

    #[test]
    fn taking_more_than_was_asked_for_is_counted() {
        let mut wbc = WritebackControl::whole(SyncMode::None).limited_to(3);
        wbc.took(5);
        assert_eq!((wbc.nr_written(), wbc.remaining_pages()), (5, 0));
    }
}
