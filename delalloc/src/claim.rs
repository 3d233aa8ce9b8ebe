use std::fmt;
use std::ops::Range;

use extent_tree::StateBits;

use crate::reservation::{Allocated, Reservation};
use crate::sync::Arc;
use crate::units::windows;
use crate::{Delalloc, PAGE_SIZE};

/// A range on its way to the disk that has no address yet (IN_FLIGHT), with the
/// space promised to it. Whoever has it is the only one.
///
/// It goes on to [`Claim::order`], back to delalloc by [`Claim::redirty`], or,
/// dropped, away: the range is neither dirty nor in flight then, its space is
/// given back and waiters wake. So an item that panics hangs nobody; that its
/// data is lost has to be told by the one who dropped it.
#[must_use = "dropping it gives the data up"]
pub struct Claim {
    file: Arc<Delalloc>,
    range: Range<u64>,
    reservation: Reservation,
}

/// A range that was submitted and whose metadata is still to come (ORDERED),
/// with the space allocated for it.
///
/// Dropped without [`Ordered::complete`], its space is given back and waiters
/// wake: the write failed.
#[must_use = "dropping it gives the extent up"]
pub struct Ordered {
    file: Arc<Delalloc>,
    range: Range<u64>,
    allocated: Option<Allocated>,
}

impl Claim {
    pub(crate) fn new(file: Arc<Delalloc>, range: Range<u64>, reservation: Reservation) -> Self {
        Self {
            file,
            range,
            reservation,
        }
    }

    /// The range, page-aligned and not empty.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Takes the part before `at` out, as a claim of its own; the rest stays.
    /// At the end of the range, nothing stays: a claim of no bytes.
    ///
    /// # Panics
    ///
    /// When `at` is not between two pages within the range, or at its end.
    pub fn split_to(&mut self, at: u64) -> Self {
        let between_pages = at.is_multiple_of(PAGE_SIZE) || at == self.range.end;
        assert!(
            self.range.start < at && at <= self.range.end && between_pages,
            "{at} does not cut {:?}",
            self.range
        );
        let front = self.range.start..at;
        let back = at..self.range.end;
        let all = windows(self.range.clone());
        let (front_extents, back_extents) = (windows(front.clone()), windows(back.clone()));
        let mut reservation = self.reservation.split(at - front.start, 0);
        if front_extents + back_extents == all {
            reservation.merge(self.reservation.split(0, front_extents));
        } else {
            reservation.set_extents(front_extents);
            self.reservation.set_extents(back_extents);
        }
        self.range = back;
        Self::new(Arc::clone(&self.file), front, reservation)
    }

    /// Adds the claim that lies right behind this one: raw neighbours become
    /// one extent.
    ///
    /// # Panics
    ///
    /// When it is of another file or lies elsewhere.
    pub fn join(&mut self, mut next: Self) {
        assert!(
            Arc::ptr_eq(&self.file, &next.file) && self.range.end == next.range.start,
            "{:?} does not follow {:?}",
            next.range,
            self.range
        );
        let (range, reservation) = next.take();
        self.range.end = range.end;
        self.reservation.merge(reservation);
        self.reservation.set_extents(windows(self.range.clone()));
    }

    /// Submits the range: `disk_num_bytes` were allocated for it, none if it
    /// became inline. What was promised beyond that is given back. The state
    /// goes from IN_FLIGHT to ORDERED in one step.
    ///
    /// # Panics
    ///
    /// When more was allocated than the range is long.
    pub fn order(mut self, disk_num_bytes: u64) -> Ordered {
        // Before the claim is taken apart, so that it is given up like any other.
        self.reservation.check_allocation(disk_num_bytes);
        let (range, reservation) = self.take();
        let allocated = reservation.allocate(disk_num_bytes);
        self.file
            .tree()
            .convert_bits(range.clone(), StateBits::ORDERED, StateBits::IN_FLIGHT)
            .ignore();
        Ordered {
            file: Arc::clone(&self.file),
            range,
            allocated: Some(allocated),
        }
    }

    /// Gives the range back to delalloc, to be tried again later. Mark its
    /// pages dirty first.
    pub fn redirty(mut self) {
        let (range, reservation) = self.take();
        self.file.undo_claim(range, reservation);
    }

    /// Leaves a claim of no bytes, which does nothing when dropped.
    fn take(&mut self) -> (Range<u64>, Reservation) {
        let end = self.range.end;
        let range = std::mem::replace(&mut self.range, end..end);
        let nothing = self.reservation.ledger().reserve_nothing();
        (range, std::mem::replace(&mut self.reservation, nothing))
    }
}

impl Ordered {
    /// The range, page-aligned and not empty.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Bytes on disk.
    #[must_use]
    pub fn disk_num_bytes(&self) -> u64 {
        let allocated = self.allocated.as_ref();
        allocated.map_or(0, Allocated::disk_num_bytes)
    }

    /// The metadata is in the trees: the bytes are used now, and the range may
    /// be claimed again.
    pub fn complete(mut self) {
        if let Some(allocated) = self.allocated.take() {
            allocated.commit();
        }
    }
}

// Space first, then the bits: who wakes finds the books settled.

impl Drop for Claim {
    fn drop(&mut self) {
        let (range, reservation) = self.take();
        drop(reservation);
        self.file
            .tree()
            .clear_bits(range, StateBits::IN_FLIGHT)
            .ignore();
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        drop(self.allocated.take());
        self.file
            .tree()
            .clear_bits(self.range.clone(), StateBits::ORDERED)
            .ignore();
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.range).finish()
    }
}

impl fmt::Debug for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ordered").field(&self.range).finish()
    }
}
