use std::fmt;
use std::ops::Range;

use extent_tree::{Change, ExtentIoTree, Select, StateBits};

use crate::claim::Claim;
use crate::find::{CLAIMABLE, LockedDelalloc, find_lock_delalloc};
use crate::reservation::Reservation;
use crate::sync::{Arc, Mutex};
use crate::units::{
    PAGE_SIZE, WINDOW, is_page_aligned, page_hull, window_end, window_hull, windows,
};
use crate::{Error, PageLocks, SpaceLedger, SyncMode, WritebackControl};

/// The dirty ranges of one file and the space promised to them.
///
/// The bits DELALLOC, IN_FLIGHT and ORDERED of its tree are set and cleared
/// here, and by the [`Claim`]s and [`crate::Ordered`]s that come from here;
/// others only read them. That is why the promise always equals what is dirty:
/// one byte of data for each byte of delalloc, and metadata for each extent
/// that it will become at worst, which is one for each run within a window.
pub struct Delalloc {
    tree: Arc<ExtentIoTree>,
    ledger: SpaceLedger,
    promised: Mutex<Promised>,
}

struct Promised {
    reservation: Reservation,
    extents: u64,
}

impl Delalloc {
    /// A file in which nothing is dirty.
    #[must_use]
    pub fn new(ledger: &SpaceLedger) -> Arc<Self> {
        Arc::new(Self {
            tree: Arc::new(ExtentIoTree::new()),
            ledger: ledger.clone(),
            promised: Mutex::new(Promised {
                reservation: ledger.reserve_nothing(),
                extents: 0,
            }),
        })
    }

    /// The states of the file, to lock, look and wait.
    #[must_use]
    pub fn tree(&self) -> &Arc<ExtentIoTree> {
        &self.tree
    }

    /// Reserves for a write to a range, as if none of it were dirty yet.
    ///
    /// The range is widened to whole pages.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`].
    pub fn reserve(&self, range: Range<u64>) -> Result<Reservation, Error> {
        let range = page_hull(&range);
        self.ledger.reserve(range.end - range.start, windows(range))
    }

    /// A range was written and its pages are dirty: it is delalloc from now on.
    /// What of the reservation was not needed, because the range was dirty
    /// already, is given back at once.
    ///
    /// # Panics
    ///
    /// When the range is not page-aligned, or less was reserved than becomes
    /// delalloc, or in another ledger. Nothing becomes delalloc then.
    pub fn dirty(&self, range: Range<u64>, reservation: Reservation) -> Change {
        assert!(is_page_aligned(&range), "{range:?} is not page-aligned");
        assert!(self.ledger.is(reservation.ledger()), "one ledger");
        let mut promised = self.promised.lock();
        let before = self.extents(&range);
        let change = self.tree.set_bits(range.clone(), StateBits::DELALLOC);
        if reservation.data() < change.bytes() {
            for part in change.ranges() {
                self.tree.clear_bits(part, StateBits::DELALLOC).ignore();
            }
            panic!("less was reserved than became dirty");
        }
        let extents = promised.extents + self.extents(&range) - before;
        let data = promised.reservation.data() + change.bytes();
        promised.extents = extents;
        promised.reservation.merge(reservation);
        promised.reservation.settle_to(data, extents);
        change
    }

    /// A range is dirty no more without having been written: truncated,
    /// punched out, or written around. Its promise is given back.
    ///
    /// What is on its way is not touched: wait for that.
    pub fn discard(&self, range: Range<u64>) -> Change {
        assert!(is_page_aligned(&range), "{range:?} is not page-aligned");
        let mut promised = self.promised.lock();
        let before = self.extents(&range);
        let change = self.tree.clear_bits(range.clone(), StateBits::DELALLOC);
        let extents = promised.extents + self.extents(&range) - before;
        let data = promised.reservation.data() - change.bytes();
        promised.extents = extents;
        promised.reservation.settle_to(data, extents);
        change
    }

    /// Finds the first range at or after `from` that the walk of `wbc` should
    /// take, claims it and counts its pages in `wbc`; at most `max_bytes`. Whole
    /// pages: that in which `from` lies is the first, and the walk's range is
    /// widened likewise.
    ///
    /// The claim comes with the page locks. Take the snapshot of the pages,
    /// then drop the locks, and only then queue the claim.
    pub fn claim_next<P: PageLocks>(
        self: &Arc<Self>,
        pages: &P,
        from: u64,
        wbc: &mut WritebackControl,
        max_bytes: u64,
    ) -> Option<(Claim, P::Locked)> {
        if wbc.is_done() {
            return None;
        }
        let range = wbc.range();
        let within = page_hull(&(range.start.max(from)..range.end));
        let mut cap = max_bytes;
        if wbc.sync_mode() == SyncMode::None {
            let run = self
                .tree
                .find_contiguous_where(within.clone(), CLAIMABLE, max_bytes)?;
            wbc.raise((run.end - run.start) / PAGE_SIZE);
            // To the end of the window, even if that is more than was asked
            // for: less would leave a rest, for which the next call raises anew.
            let asked = run.start.saturating_add(wbc.cap(max_bytes));
            let asked = asked.checked_next_multiple_of(WINDOW).unwrap_or(u64::MAX);
            cap = cap.min(asked - run.start);
        }
        loop {
            let locked = find_lock_delalloc(&self.tree, pages, within.clone(), cap)?;
            if let Some(claim) = self.claim(&locked) {
                wbc.took((claim.range().end - claim.range().start) / PAGE_SIZE);
                return Some((claim, locked.into_pages()));
            }
        }
    }

    /// Claims what [`find_lock_delalloc`] found, from DELALLOC to IN_FLIGHT in
    /// one step. No byte is ever in two claims.
    ///
    /// It is all of the range, unless somebody discarded or claimed a part of
    /// it without taking the locks: then it is the first part that is left.
    pub fn claim<L>(self: &Arc<Self>, locked: &LockedDelalloc<'_, L>) -> Option<Claim> {
        self.claim_range(locked.range())
    }

    /// Claims the first claimable run of a range, without any locks: for
    /// callers who keep all others away by themselves.
    ///
    /// # Panics
    ///
    /// When the range is not page-aligned.
    pub fn claim_range(self: &Arc<Self>, range: Range<u64>) -> Option<Claim> {
        assert!(is_page_aligned(&range), "{range:?} is not page-aligned");
        let mut promised = self.promised.lock();
        let found = self
            .tree
            .find_contiguous_where(range, CLAIMABLE, u64::MAX)?;
        let before = self.extents(&found);
        let change = self.tree.convert_where(
            found.clone(),
            CLAIMABLE,
            StateBits::IN_FLIGHT,
            StateBits::DELALLOC,
        );
        debug_assert_eq!(change.single(), Some(found.clone()));
        let left = promised.extents + self.extents(&found) - before;
        let taken = windows(found.clone());
        let mut reservation = promised.reservation.split(found.end - found.start, 0);
        // Cutting a run within a window makes extents that nobody foresaw.
        if left + taken == promised.extents {
            reservation.merge(promised.reservation.split(0, taken));
        } else {
            reservation.set_extents(taken);
            promised.reservation.set_extents(left);
        }
        promised.extents = left;
        Some(Claim::new(Arc::clone(self), found, reservation))
    }

    /// Bytes that are delalloc.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.promised.lock().reservation.data()
    }

    /// Whether nothing is dirty, in flight, ordered or locked.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let promised = self.promised.lock();
        promised.reservation.is_nothing() && self.tree.is_empty()
    }

    /// Puts a claimed range back to delalloc.
    pub(crate) fn undo_claim(&self, range: Range<u64>, reservation: Reservation) {
        let mut promised = self.promised.lock();
        let before = self.extents(&range);
        let again = self.tree.count(range.clone(), StateBits::DELALLOC);
        self.tree
            .convert_bits(range.clone(), StateBits::DELALLOC, StateBits::IN_FLIGHT)
            .ignore();
        let extents = promised.extents + self.extents(&range) - before;
        let data = promised.reservation.data() + (range.end - range.start) - again;
        promised.extents = extents;
        promised.reservation.merge(reservation);
        promised.reservation.settle_to(data, extents);
    }

    /// What the delalloc of the windows that a range touches becomes at worst.
    fn extents(&self, range: &Range<u64>) -> u64 {
        let mut extents = 0;
        let delalloc = Select::all(StateBits::DELALLOC);
        self.tree.for_each_run(window_hull(range), delalloc, |run| {
            extents += windows(run);
        });
        extents
    }

    /// Fails where the promise is not what the states say it should be: for
    /// tests, when nothing else runs.
    #[doc(hidden)]
    pub fn audit(&self) {
        let promised = self.promised.lock();
        let delalloc = self.tree.count(0..u64::MAX, StateBits::DELALLOC);
        assert_eq!(promised.reservation.data(), delalloc, "data");
        let extents = self.extents(&(0..window_end(u64::MAX)));
        assert_eq!(promised.extents, extents, "extents");
        let metadata = self.ledger.metadata_for(extents);
        assert_eq!(promised.reservation.metadata(), metadata, "metadata");
    }
}

impl fmt::Debug for Delalloc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delalloc")
            .field("states", &self.tree)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    /// The tests that call it rely on that.
    #[test]
    fn an_audit_sees_a_promise_that_the_states_do_not_bear_out() {
        let file = Delalloc::new(&SpaceLedger::new(Limits::UNLIMITED));
        file.audit();
        file.promised.lock().extents += 1;
        let audit = std::panic::AssertUnwindSafe(|| file.audit());
        assert!(std::panic::catch_unwind(audit).is_err());
    }
}
