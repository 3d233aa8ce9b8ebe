use std::ops::Range;

/// Bytes in a page: ranges of dirty data are aligned to it.
pub const PAGE_SIZE: u64 = 4096;

/// Bytes in a window of a file. An extent that is compressed lies within one,
/// so it is also the unit in which metadata is reserved.
pub const WINDOW: u64 = 128 << 10;

/// How many windows a range touches: the most extents that it becomes, where
/// no piece of it is cut further.
///
/// ```
/// use delalloc::{WINDOW, windows};
/// assert_eq!(windows(0..WINDOW), 1);
/// assert_eq!(windows(WINDOW - 1..WINDOW + 1), 2);
/// assert_eq!(windows(5..5), 0);
/// ```
#[must_use]
pub const fn windows(range: Range<u64>) -> u64 {
    if range.start >= range.end {
        return 0;
    }
    (range.end - 1) / WINDOW - range.start / WINDOW + 1
}

/// The end of the window in which the byte at `offset` lies.
pub(crate) fn window_end(offset: u64) -> u64 {
    (offset - offset % WINDOW).saturating_add(WINDOW)
}

/// The whole pages that a range touches; of an empty one, none.
pub(crate) fn page_hull(range: &Range<u64>) -> Range<u64> {
    if range.is_empty() {
        return range.start..range.start;
    }
    let end = range.end.checked_next_multiple_of(PAGE_SIZE);
    range.start - range.start % PAGE_SIZE..end.unwrap_or(u64::MAX)
}

/// The whole windows that a range touches.
pub(crate) fn window_hull(range: &Range<u64>) -> Range<u64> {
    let start = range.start - range.start % WINDOW;
    let end = range
        .end
        .checked_next_multiple_of(WINDOW)
        .unwrap_or(u64::MAX);
    start..end
}

/// Whether both ends lie between pages; the end of the address space counts.
pub(crate) fn is_page_aligned(range: &Range<u64>) -> bool {
    range.start.is_multiple_of(PAGE_SIZE)
        && (range.end.is_multiple_of(PAGE_SIZE) || range.end == u64::MAX)
}
