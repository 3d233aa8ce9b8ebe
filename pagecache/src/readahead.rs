//! How far to read ahead of one reader.

use std::ops::Range;

use crate::pages::FOLIO_SIZE;

/// The readahead state of one open file: a pure state machine.
///
/// Sequential reads double the window up to the maximum, others halve it down to one folio. The
/// next window is handed out when the reader has come within half a window of the end of the one
/// before, so that fetching runs ahead of it.
///
/// ```
/// let mut window = pagecache::ReadaheadWindow::new(1 << 20);
/// assert_eq!(window.next(0, 4096), 4096..131072);
/// assert_eq!(window.next(4096, 4096), 0..0);
/// assert_eq!(window.next(5 << 30, 4096), 0..0);
/// ```
#[derive(Clone, Debug)]
pub struct ReadaheadWindow {
    max_len: u64,
    /// Length of the next window.
    len: u64,
    /// Where a sequential reader goes on.
    expected: u64,
    /// Up to where windows were handed out.
    ahead: u64,
    /// How close to `ahead` the reader comes before the next window is handed out.
    trigger: u64,
}

impl ReadaheadWindow {
    /// A window that grows up to `max_len`, but is never shorter than one folio.
    #[must_use]
    pub fn new(max_len: u64) -> Self {
        Self {
            max_len: max_len.max(FOLIO_SIZE),
            len: FOLIO_SIZE,
            expected: 0,
            ahead: 0,
            trigger: 0,
        }
    }

    /// The reader asks for `len` bytes at `offset`: what to prefetch besides, empty if nothing.
    ///
    /// Begins at or behind the request's end and ends at a folio's end; the caller clips it to the
    /// file's size.
    pub fn next(&mut self, offset: u64, len: u64) -> Range<u64> {
        let end = offset.saturating_add(len);
        if !self.continues(offset) {
            self.len = (self.len / 2).max(FOLIO_SIZE);
            self.expected = end;
            self.ahead = end;
            self.trigger = 0;
            return 0..0;
        }
        self.expected = self.expected.max(end);
        self.ahead = self.ahead.max(end);
        if self.ahead - end > self.trigger {
            return 0..0;
        }
        let start = self.ahead;
        let until = start.saturating_add(self.len);
        // Folios are fetched whole; a window that ends inside one ends before it.
        let until = (until / FOLIO_SIZE * FOLIO_SIZE).max(start);
        self.ahead = until;
        self.trigger = (until - start) / 2;
        self.len = self.len.saturating_mul(2).min(self.max_len);
        start..until
    }

    /// The current length of the window in bytes.
    #[must_use]
    pub fn window_len(&self) -> u64 {
        self.len
    }

    /// Whether a read at `offset` goes on where an earlier one ended, or close to it: kernels
    /// reorder the reads of one stream, and readers skip and repeat a little.
    fn continues(&self, offset: u64) -> bool {
        let from = self.expected.saturating_sub(FOLIO_SIZE);
        let to = self.expected.saturating_add(FOLIO_SIZE);
        (from..=to).contains(&offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequential_reads_grow_it_and_leave_no_gap() {
        let mut window = ReadaheadWindow::new(1 << 20);
        let mut fetched = 0;
        let mut longest = 0;
        for offset in (0..8 << 20).step_by(4096) {
            let ahead = window.next(offset, 4096);
            if ahead.is_empty() {
                assert!(fetched >= offset + 4096, "a read before what was fetched");
                continue;
            }
            assert_eq!(ahead.start, fetched.max(offset + 4096));
            fetched = ahead.end;
            longest = longest.max(ahead.end - ahead.start);
        }
        assert_eq!(longest, 1 << 20);
    }

    #[test]
    fn random_reads_shrink_it_to_one_folio() {
        let mut window = ReadaheadWindow::new(1 << 20);
        for offset in (0..4 << 20).step_by(65536) {
            let _ = window.next(offset, 65536);
        }
        assert_eq!(window.window_len(), 1 << 20);
        for n in 1..10 {
            assert!(window.next(n << 30, 4096).is_empty());
        }
        assert_eq!(window.window_len(), FOLIO_SIZE);
    }

    /// Guarded by `saturating_mul` in `ReadaheadWindow::next`.
    #[test]
    fn a_window_without_a_limit_overflows() {
        let mut window = ReadaheadWindow::new(u64::MAX);
        let _ = window.next(0, u64::MAX);
        for _ in 0..100 {
            let before = window.window_len();
            assert!(window.next(u64::MAX, 4096).is_empty());
            assert!(window.window_len() >= before);
        }
        assert_eq!(window.window_len(), u64::MAX);
    }

    proptest! {
        #[test]
        fn never_overlaps_the_request_nor_grows_beyond(
            max in 0..4u64 << 20,
            reads in prop::collection::vec((any::<u64>(), 0..2u64 << 20, any::<bool>()), 1..50),
        ) {
            let mut window = ReadaheadWindow::new(max);
            let mut at = 0;
            for (offset, len, jump) in reads {
                if jump {
                    at = offset;
                }
                let ahead = window.next(at, len);
                at = at.saturating_add(len);
                if !ahead.is_empty() {
                    prop_assert!(ahead.start >= at);
                    prop_assert!(ahead.end - ahead.start <= max.max(FOLIO_SIZE));
                    prop_assert_eq!(ahead.end % FOLIO_SIZE, 0);
                }
                prop_assert!(window.window_len() >= FOLIO_SIZE);
            }
        }
    }
}
