//! Pages, folios, and the arithmetic between them.

use std::ops::Range;

/// Bytes of a page, the unit of every state bit.
pub const PAGE_SIZE: u64 = 4096;

/// Bytes of a folio: an aligned window of a file, as many pages as a `u32` has bits.
pub const FOLIO_SIZE: u64 = PAGE_SIZE * PAGES as u64;

/// Pages of a folio.
pub(crate) const PAGES: u32 = u32::BITS;
/// `PAGE_SIZE` where it indexes memory.
pub(crate) const PAGE: usize = PAGE_SIZE as usize;
/// `FOLIO_SIZE` where it indexes memory.
pub(crate) const FOLIO: usize = FOLIO_SIZE as usize;

/// One bit for each page of a folio, the first page lowest.
pub(crate) type PageMask = u32;

/// The bits of `pages` (of one folio).
pub(crate) fn mask(pages: Range<u32>) -> PageMask {
    debug_assert!(pages.end <= PAGES);
    if pages.start >= pages.end {
        return 0;
    }
    (PageMask::MAX >> (PAGES - (pages.end - pages.start))) << pages.start
}

/// The bits of all pages that `bytes` of a folio touch.
pub(crate) fn touched(bytes: &Range<usize>) -> PageMask {
    if bytes.is_empty() {
        return 0;
    }
    mask((bytes.start / PAGE) as u32..bytes.end.div_ceil(PAGE) as u32)
}

/// The bits of all pages that lie wholly in `bytes` of a folio.
pub(crate) fn covered(bytes: &Range<usize>) -> PageMask {
    mask(bytes.start.div_ceil(PAGE) as u32..(bytes.end / PAGE) as u32)
}

/// Bytes of the pages in `mask`.
pub(crate) fn bytes_of(mask: PageMask) -> u64 {
    u64::from(mask.count_ones()) * PAGE_SIZE
}

/// The smallest range of pages that holds all of `mask`, which isn't 0.
pub(crate) fn hull(mask: PageMask) -> Range<u32> {
    debug_assert_ne!(mask, 0);
    mask.trailing_zeros()..PAGES - mask.leading_zeros()
}

/// The maximal runs of set bits, ascending.
pub(crate) fn runs(mask: PageMask) -> impl Iterator<Item = Range<u32>> {
    let mut rest = mask;
    std::iter::from_fn(move || {
        if rest == 0 {
            return None;
        }
        let start = rest.trailing_zeros();
        let end = start + (rest >> start).trailing_ones();
        rest &= !self::mask(start..end);
        Some(start..end)
    })
}

/// Pages of a folio as bytes of it.
pub(crate) fn to_bytes(pages: Range<u32>) -> Range<usize> {
    pages.start as usize * PAGE..pages.end as usize * PAGE
}

/// The folio that holds the byte at `offset`.
pub(crate) fn folio_index(offset: u64) -> u64 {
    offset / FOLIO_SIZE
}

/// Where folio `index` begins in the file; behind the last one, where offsets end.
pub(crate) fn folio_start(index: u64) -> u64 {
    index.saturating_mul(FOLIO_SIZE)
}

/// The folios that `range` touches.
pub(crate) fn folios_of(range: &Range<u64>) -> Range<u64> {
    if range.start >= range.end {
        return 0..0;
    }
    folio_index(range.start)..folio_index(range.end - 1) + 1
}

/// The part of `range` in folio `index`, as bytes of the folio.
pub(crate) fn within(range: &Range<u64>, index: u64) -> Range<usize> {
    let base = folio_start(index);
    let start = range.start.saturating_sub(base).min(FOLIO_SIZE) as usize;
    let end = range.end.saturating_sub(base).min(FOLIO_SIZE) as usize;
    start..end.max(start)
}

/// The bits of all pages of folio `index` that lie wholly in `range`. The last page that there can
/// be counts as one, though no range holds its last byte.
pub(crate) fn covered_in(range: &Range<u64>, index: u64) -> PageMask {
    let mut bytes = within(range, index);
    if range.end == u64::MAX && index == folio_index(u64::MAX) {
        bytes.end = FOLIO;
    }
    covered(&bytes)
}

/// Bytes of folio `index` as a range of the file.
pub(crate) fn in_file(index: u64, bytes: Range<usize>) -> Range<u64> {
    let base = folio_start(index);
    let at = |offset: usize| base.saturating_add(offset as u64);
    at(bytes.start)..at(bytes.end)
}

/// Rounded up to a page; what has no page above it is where offsets end.
pub(crate) fn page_up(offset: u64) -> u64 {
    offset
        .checked_next_multiple_of(PAGE_SIZE)
        .unwrap_or(u64::MAX)
}

/// How many bytes of folio `index` lie below the file's end.
pub(crate) fn below(size: u64, index: u64) -> usize {
    size.saturating_sub(folio_start(index)).min(FOLIO_SIZE) as usize
}

/// Adds a range to an ascending list, joined with the last one where they touch.
pub(crate) fn push_joined(list: &mut Vec<Range<u64>>, range: Range<u64>) {
    match list.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => list.push(range),
    }
}

/// Panics unless `range` consists of whole pages.
#[track_caller]
pub(crate) fn assert_page_aligned(range: &Range<u64>) {
    assert!(
        range.start.is_multiple_of(PAGE_SIZE)
            && (range.end.is_multiple_of(PAGE_SIZE) || range.end == u64::MAX),
        "{range:?} is not page-aligned"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        assert_eq!(mask(0..32), u32::MAX);
        assert_eq!(mask(31..32), 1 << 31);
        assert_eq!(mask(5..5), 0);
        assert_eq!(touched(&(4095..4097)), 0b11);
        assert_eq!(touched(&(4096..4096)), 0);
        assert_eq!(covered(&(4095..3 * 4096 - 1)), 0b10);
        assert_eq!(covered(&(1..4095)), 0);
        assert_eq!(runs(0b1011_0111).collect::<Vec<_>>(), [0..3, 4..6, 7..8]);
        assert_eq!(runs(u32::MAX).collect::<Vec<_>>().len(), 1);
        assert_eq!(hull(0b1011_0000), 4..8);
    }

    #[test]
    fn folios_of_ranges() {
        assert_eq!(folios_of(&(0..FOLIO_SIZE)), 0..1);
        assert_eq!(folios_of(&(FOLIO_SIZE - 1..FOLIO_SIZE + 1)), 0..2);
        assert!(folios_of(&(7..7)).is_empty());
        assert_eq!(within(&(100..FOLIO_SIZE + 5), 1), 0..5);
        assert_eq!(within(&(100..FOLIO_SIZE + 5), 0), 100..FOLIO);
        assert!(within(&(100..200), 3).is_empty());
    }
}
