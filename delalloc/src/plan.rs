use std::iter::FusedIterator;
use std::ops::Range;

use crate::units::{PAGE_SIZE, is_page_aligned, window_end, windows};

/// One piece of work: at most a window of a file, and within one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The pages, as bytes of the file.
    pub range: Range<u64>,
    /// Bytes of data from `range.start` on; the rest of the last page lies past
    /// the end of the file and is zeros.
    pub data_len: u64,
}

/// The pieces of a claimed range, ascending.
#[derive(Clone, Debug)]
pub struct Pieces {
    left: Range<u64>,
    past_eof: Range<u64>,
    i_size: u64,
}

/// Cuts a claimed range into pieces, at the windows of the file.
///
/// Which pieces there are depends on the range and `i_size` alone. Read
/// `i_size` once for a claim: it may move meanwhile.
///
/// ```
/// use delalloc::{Piece, plan_pieces};
/// let pieces: Vec<Piece> = plan_pieces(0x1f000..0x23000, 0x20800).collect();
/// assert_eq!(pieces[0], Piece { range: 0x1f000..0x20000, data_len: 0x1000 });
/// assert_eq!(pieces[1], Piece { range: 0x20000..0x21000, data_len: 0x800 });
/// assert_eq!(pieces.len(), 2);
/// assert_eq!(plan_pieces(0x1f000..0x23000, 0x20800).past_eof(), 0x21000..0x23000);
/// ```
///
/// # Panics
///
/// When the range is not page-aligned.
#[must_use]
pub fn plan_pieces(range: Range<u64>, i_size: u64) -> Pieces {
    assert!(is_page_aligned(&range), "{range:?} is not page-aligned");
    let eof = i_size
        .checked_next_multiple_of(PAGE_SIZE)
        .unwrap_or(u64::MAX);
    let end = range.end.min(eof).max(range.start);
    Pieces {
        left: range.start..end,
        past_eof: end..range.end,
        i_size,
    }
}

impl Pieces {
    /// Pages of the claim that lie wholly past the end of the file, and so in
    /// no piece: there is nothing to write, only to let go of.
    #[must_use]
    pub fn past_eof(&self) -> Range<u64> {
        self.past_eof.clone()
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.left.is_empty() {
            return None;
        }
        let start = self.left.start;
        let end = window_end(start).min(self.left.end);
        self.left.start = end;
        Some(Piece {
            range: start..end,
            data_len: end.min(self.i_size) - start,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = usize::try_from(windows(self.left.clone())).unwrap_or(usize::MAX);
        (count, Some(count))
    }
}

impl ExactSizeIterator for Pieces {}
impl FusedIterator for Pieces {}

/// What a volume can store within a tree item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlineLimits {
    /// Bytes in a sector.
    pub sector_size: u64,
    /// Most bytes of an inline payload; zero: none.
    pub max_inline: u64,
}

impl InlineLimits {
    /// Whether a payload of so many bytes, as it will be stored, fits.
    #[must_use]
    pub const fn fits(self, payload_len: u64) -> bool {
        payload_len < self.sector_size && payload_len <= self.max_inline
    }
}

/// What writeback does with a claimed range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritebackPlan {
    /// All of it lies past the end of the file: let go of it.
    Discard,
    /// The whole file may fit into an item: compress `len` bytes if that is
    /// wanted, ask [`InlineLimits::fits`] about the result, and go on as for
    /// [`WritebackPlan::Compress`] or [`WritebackPlan::Raw`] if it doesn't.
    TryInline {
        /// Bytes of the file.
        len: u64,
    },
    /// In pieces, each compressed if that shrinks it.
    Compress,
    /// As it is.
    Raw,
}

/// Decides what writeback does with a claimed range of a file of `i_size`
/// bytes.
#[must_use]
pub fn plan_writeback(
    range: &Range<u64>,
    i_size: u64,
    compress: bool,
    limits: InlineLimits,
) -> WritebackPlan {
    if range.is_empty() || range.start >= i_size {
        return WritebackPlan::Discard;
    }
    let small = range.start == 0 && i_size <= limits.sector_size && limits.max_inline > 0;
    if small && (compress || limits.fits(i_size)) {
        return WritebackPlan::TryInline { len: i_size };
    }
    if compress {
        WritebackPlan::Compress
    } else {
        WritebackPlan::Raw
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::WINDOW;

    const LIMITS: InlineLimits = InlineLimits {
        sector_size: 4096,
        max_inline: 2048,
    };

    proptest! {
        #[test]
        fn pieces_cover_the_range_up_to_eof_once(
            start in 0_u64..200, len in 0_u64..300, i_size in 0_u64..(600 * PAGE_SIZE),
        ) {
            let range = start * PAGE_SIZE..(start + len) * PAGE_SIZE;
            let pieces = plan_pieces(range.clone(), i_size);
            prop_assert_eq!(pieces.len(), pieces.clone().count());
            let past_eof = pieces.past_eof();
            let mut done = range.start;
            let mut data = 0;
            for piece in pieces {
                prop_assert_eq!(piece.range.start, done);
                prop_assert!(piece.range.end - piece.range.start <= WINDOW);
                prop_assert_eq!(piece.range.start / WINDOW, (piece.range.end - 1) / WINDOW);
                prop_assert!(is_page_aligned(&piece.range));
                prop_assert!(piece.data_len > 0);
                prop_assert!(piece.range.end - piece.range.start - piece.data_len < PAGE_SIZE);
                data += piece.data_len;
                done = piece.range.end;
            }
            prop_assert_eq!(past_eof, done..range.end);
            prop_assert_eq!(data, i_size.clamp(range.start, range.end) - range.start);
        }
    }

    #[test]
    fn too_much_written() {
        // The guard: ends are exclusive. The page behind the claim is nobody's.
        let pieces: Vec<_> = plan_pieces(0..WINDOW, u64::MAX).collect();
        assert_eq!(
            pieces,
            [Piece {
                range: 0..WINDOW,
                data_len: WINDOW
            }]
        );
    }

    #[test]
    #[should_panic(expected = "not page-aligned")]
    fn a_page_shared_by_two_ranges() {
        // The guard: the assertion of `plan_pieces`. A claim that ends within a page would leave
        // the rest of it to the next one, and both would write the page.
        let _ = plan_pieces(0..PAGE_SIZE + 1, 1 << 20);
    }

    #[test]
    fn the_plan_of_a_file() {
        let plan =
            |range: Range<u64>, i_size, compress| plan_writeback(&range, i_size, compress, LIMITS);
        assert_eq!(plan(0..4096, 0, true), WritebackPlan::Discard);
        assert_eq!(plan(4096..8192, 4096, true), WritebackPlan::Discard);
        for (i_size, compress, expected) in [
            (2048, false, WritebackPlan::TryInline { len: 2048 }),
            (2049, false, WritebackPlan::Raw),
            (4096, false, WritebackPlan::Raw),
            (4096, true, WritebackPlan::TryInline { len: 4096 }),
            (4097, true, WritebackPlan::Compress),
        ] {
            assert_eq!(plan(0..8192, i_size, compress), expected, "{i_size}");
        }
        assert_eq!(plan(4096..8192, 8192, true), WritebackPlan::Compress);
        let never = InlineLimits {
            max_inline: 0,
            ..LIMITS
        };
        assert_eq!(
            plan_writeback(&(0..4096), 10, true, never),
            WritebackPlan::Compress
        );
        assert!(LIMITS.fits(2048) && !LIMITS.fits(2049));
        let wide = InlineLimits {
            max_inline: 4096,
            ..LIMITS
        };
        assert!(wide.fits(4095) && !wide.fits(4096));
    }
}
