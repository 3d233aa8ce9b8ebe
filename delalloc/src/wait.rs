use std::ops::Range;

use extent_tree::{ExtentIoTree, StateBits};

use crate::{PAGE_SIZE, SyncMode};

/// The writeback of one file, as a wait for a range needs it.
pub trait RangeWriteback {
    /// How writeback fails.
    type Error;

    /// The states of the file.
    fn tree(&self) -> &ExtentIoTree;

    /// Claims and queues everything in the range that can be claimed. With
    /// [`SyncMode::All`] it stops for no budget.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being queued; the rest is queued nevertheless.
    fn start(&self, range: Range<u64>, mode: SyncMode) -> Result<(), Self::Error>;

    /// Waits until no page of the range is under writeback.
    ///
    /// # Errors
    ///
    /// That of a page that was waited for.
    fn wait_writeback(&self, range: Range<u64>) -> Result<(), Self::Error>;

    /// Waits for the ordered extents of the range, from the end backwards, as
    /// [`crate::OrderedExtents::wait_range`] does.
    ///
    /// # Errors
    ///
    /// That of an extent that was waited for.
    fn wait_ordered(&self, range: Range<u64>) -> Result<(), Self::Error>;

    /// Waits until what is in flight in the range now is submitted, or is not
    /// in flight any more. Override it to lend a hand meanwhile.
    fn wait_in_flight(&self, range: Range<u64>) {
        wait_in_flight(self.tree(), range);
    }
}

/// Not on the device, or not in the trees.
const BUSY: StateBits = StateBits::DELALLOC
    .union(StateBits::IN_FLIGHT)
    .union(StateBits::ORDERED);

/// When a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When everything that was dirty at the call is on the device, with its
    /// metadata. Writers who dirty the range again and again don't prolong it
    /// without end: for fsync.
    Written,
    /// When nothing in the range is delalloc, in flight or ordered. The caller
    /// keeps writers out: for truncate and unmount.
    Clean,
}

/// Starts writeback of a range and waits for it.
///
/// Start all of it; wait for what was being compressed to be submitted, and
/// start again in the mode that waits, for what could not be claimed because
/// it was on its way; wait for page writeback; wait for each ordered extent
/// from the end backwards; look again. Nothing that holds a place in the queue
/// may call it.
///
/// # Errors
///
/// The first error of any step. The round in which it comes is carried on to
/// its end, so that nothing it started is still on its way; there is no other
/// round, as what failed may stay dirty for good.
pub fn wait_for_range<W: RangeWriteback + ?Sized>(
    file: &W,
    range: Range<u64>,
    until: Until,
) -> Result<(), W::Error> {
    let mut round = 0_u32;
    loop {
        let steps = [
            file.start(range.clone(), SyncMode::None),
            {
                file.wait_in_flight(range.clone());
                file.start(range.clone(), SyncMode::All)
            },
            {
                file.wait_in_flight(range.clone());
                file.wait_writeback(range.clone())
            },
            file.wait_ordered(range.clone()),
        ];
        steps.into_iter().collect::<Result<(), _>>()?;
        round += 1;
        // The first round ends every flight that it found. So what was dirty
        // at the call and not claimed in it became claimable, and either the
        // second round claims it, or somebody else had and it waits for that.
        if (until == Until::Written && round == 2) || !file.tree().test_any(range.clone(), BUSY) {
            return Ok(());
        }
        tracing::trace!(?range, round, "still dirty or on its way");
    }
}

/// Waits until each byte of the range that is in flight now was once seen not
/// to be. Page by page: a busy writer elsewhere in the range doesn't prolong it.
/// What was claimed with a page is over with it, and is not looked at again.
pub fn wait_in_flight(tree: &ExtentIoTree, range: Range<u64>) {
    let mut from = range.start;
    while let Some((found, _)) = tree.find_first(from, StateBits::IN_FLIGHT)
        && found.start < range.end
    {
        let page = found.start - found.start % PAGE_SIZE;
        let end = page.saturating_add(PAGE_SIZE).min(range.end);
        tree.wait_clear(found.start..end, StateBits::IN_FLIGHT);
        from = end;
    }
}
