use std::ops::Range;

use extent_tree::{ExtentIoTree, RangeGuard, Select, StateBits};

use crate::PageLocks;
use crate::units::{PAGE_SIZE, WINDOW, page_hull};

/// Delalloc that nothing is on its way for: a byte is not claimed again before
/// the extent it was claimed for last has finished, or an older completion
/// would overwrite newer metadata.
pub const CLAIMABLE: Select = Select::all(StateBits::DELALLOC).without(
    StateBits::IN_FLIGHT
        .union(StateBits::ORDERED)
        .union(StateBits::WRITEBACK),
);

/// The most bytes that are claimed at once.
pub const MAX_CLAIM: u64 = 128 << 20;

/// A range that is claimable, its pages and its state locked.
#[derive(Debug)]
#[must_use = "it is unlocked when dropped"]
pub struct LockedDelalloc<'a, L> {
    // Dropped first: the state lock is the inner one.
    state: RangeGuard<'a>,
    /// The page locks.
    pub pages: L,
}

impl<L> LockedDelalloc<'_, L> {
    /// The range.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.state.range()
    }

    /// Gives up the state lock and keeps the pages.
    pub fn into_pages(self) -> L {
        self.pages
    }
}

/// Finds the first claimable range within `within`, at most `cap` bytes of it,
/// and locks its pages and then its state.
///
/// Whole pages are found, all that `within` touches. The range never begins
/// before the page of `within.start`, even where the delalloc does:
/// the pages before it may be locked by others who wait for ours. Between
/// finding and locking it may change: under the locks it is tested again, and
/// if it is claimable no more, everything is unlocked and a shorter range is
/// tried. A range that is cut by `cap` ends with a window if it can.
///
/// `None` if nothing is claimable, or `cap` is less than a page.
pub fn find_lock_delalloc<'a, P: PageLocks>(
    tree: &'a ExtentIoTree,
    pages: &P,
    within: Range<u64>,
    cap: u64,
) -> Option<LockedDelalloc<'a, P::Locked>> {
    let mut within = page_hull(&within);
    let mut cap = cap - cap % PAGE_SIZE;
    loop {
        let found = tree.find_contiguous_where(within.clone(), CLAIMABLE, cap)?;
        let found = cut_at_window(found, cap);
        let Some((locked, end)) = pages.lock_pages(found.clone()) else {
            // The first page is gone. Its delalloc goes with it, by whoever
            // truncates; what lies behind may still be wanted.
            within.start = found.start + PAGE_SIZE;
            continue;
        };
        let range = found.start..end.min(found.end);
        let state = tree.lock(range.clone());
        if tree.test_all_where(range.clone(), CLAIMABLE) {
            return Some(LockedDelalloc {
                state,
                pages: locked,
            });
        }
        drop(state);
        drop(locked);
        tracing::trace!(?range, "delalloc changed before it was locked");
        // Somebody else got on; a shorter range is less likely to change.
        let half = (range.end - range.start) / 2;
        cap = (half - half % PAGE_SIZE).max(PAGE_SIZE);
    }
}

fn cut_at_window(found: Range<u64>, cap: u64) -> Range<u64> {
    let end = found.end - found.end % WINDOW;
    if found.end - found.start == cap && end > found.start {
        found.start..end
    } else {
        found
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::NoPageLocks;

    const P: u64 = PAGE_SIZE;

    /// Given the attempt and the range: how far the pages can be locked.
    type OnLock<'a> = Box<dyn Fn(usize, &Range<u64>) -> Option<u64> + 'a>;

    /// Records what was locked, and lets the world change in between.
    struct Pages<'a> {
        asked: RefCell<Vec<Range<u64>>>,
        on_lock: OnLock<'a>,
        held: Cell<usize>,
    }

    struct Locked<'a>(&'a Cell<usize>);

    impl Drop for Locked<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    impl<'a> Pages<'a> {
        fn new(on_lock: impl Fn(usize, &Range<u64>) -> Option<u64> + 'a) -> Self {
            Self {
                asked: RefCell::default(),
                on_lock: Box::new(on_lock),
                held: Cell::new(0),
            }
        }
    }

    impl<'a> PageLocks for &'a Pages<'_> {
        type Locked = Locked<'a>;

        fn lock_pages(&self, range: Range<u64>) -> Option<(Locked<'a>, u64)> {
            let attempt = self.asked.borrow().len();
            self.asked.borrow_mut().push(range.clone());
            let end = (self.on_lock)(attempt, &range)?;
            self.held.set(self.held.get() + 1);
            Some((Locked(&self.held), end))
        }
    }

    fn delalloc(range: Range<u64>) -> ExtentIoTree {
        let tree = ExtentIoTree::new();
        tree.set_bits(range, StateBits::DELALLOC).ignore();
        tree
    }

    #[test]
    fn the_start_is_clamped_to_the_walk() {
        let tree = delalloc(0..10 * P);
        let pages = Pages::new(|_, range| Some(range.end));
        let found = find_lock_delalloc(&tree, &&pages, 4 * P..u64::MAX, MAX_CLAIM).unwrap();
        assert_eq!(found.range(), 4 * P..10 * P);
        assert_eq!(pages.asked.borrow().first(), Some(&(4 * P..10 * P)));
        assert!(tree.is_locked(4 * P..10 * P) && !tree.is_locked(0..4 * P));
        let kept = found.into_pages();
        assert_eq!((pages.held.get(), tree.is_locked(0..10 * P)), (1, false));
        drop(kept);
    }

    #[test]
    fn the_cap_cuts_at_a_window_if_it_can() {
        let tree = delalloc(P..10 * WINDOW + P);
        let range = |from, cap| {
            let within = from..u64::MAX;
            find_lock_delalloc(&tree, &NoPageLocks, within, cap).map(|found| found.range())
        };
        assert_eq!(range(0, 2 * WINDOW), Some(P..2 * WINDOW));
        assert_eq!(range(0, 2 * P), Some(P..3 * P));
        assert_eq!(range(WINDOW, 2 * P), Some(WINDOW..WINDOW + 2 * P));
        let end = 10 * WINDOW + P;
        assert_eq!(range(9 * WINDOW, 2 * WINDOW), Some(9 * WINDOW..end));
        assert_eq!(range(0, P - 1), None);
        assert_eq!(range(end, MAX_CLAIM), None);
    }

    #[test]
    fn what_is_on_its_way_is_not_found_again() {
        let tree = delalloc(0..30 * P);
        tree.set_bits(0..2 * P, StateBits::IN_FLIGHT).ignore();
        tree.set_bits(5 * P..6 * P, StateBits::ORDERED).ignore();
        tree.set_bits(8 * P..9 * P, StateBits::WRITEBACK).ignore();
        let mut from = 0;
        let mut all = Vec::new();
        while let Some(found) = find_lock_delalloc(&tree, &NoPageLocks, from..u64::MAX, MAX_CLAIM) {
            from = found.range().end;
            all.push(found.range());
        }
        assert_eq!(all, [2 * P..5 * P, 6 * P..8 * P, 9 * P..30 * P]);
    }

    #[test]
    fn a_range_that_changed_is_tried_again_shorter() {
        let tree = delalloc(4 * P..17 * P);
        let pages = Pages::new(|attempt, range| {
            if attempt == 0 {
                tree.clear_bits(14 * P..15 * P, StateBits::DELALLOC)
                    .ignore();
            } else if attempt == 1 {
                tree.clear_bits(4 * P..6 * P, StateBits::DELALLOC).ignore();
            }
            Some(range.end)
        });
        let found = find_lock_delalloc(&tree, &&pages, 0..u64::MAX, MAX_CLAIM).unwrap();
        assert_eq!(
            *pages.asked.borrow(),
            [4 * P..17 * P, 4 * P..10 * P, 6 * P..9 * P]
        );
        assert_eq!(found.range(), 6 * P..9 * P);
        assert_eq!(pages.held.get(), 1);
        drop(found);
        assert_eq!(pages.held.get(), 0);
    }

    #[test]
    fn pages_that_are_gone_shorten_it_or_are_passed_over() {
        let tree = delalloc(0..16 * P);
        let pages = Pages::new(|attempt, range| (attempt > 0).then_some(range.start + 3 * P));
        let found = find_lock_delalloc(&tree, &&pages, 0..u64::MAX, MAX_CLAIM).unwrap();
        assert_eq!(found.range(), P..4 * P);
    }
}
