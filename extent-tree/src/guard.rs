use std::fmt;
use std::ops::Range;

use crate::ExtentIoTree;
use crate::sync::Arc;

/// Alone on a range of a tree, until dropped.
#[must_use = "the range is unlocked when the guard is dropped"]
pub struct RangeGuard<'a> {
    tree: &'a ExtentIoTree,
    held: Held,
}

/// A [`RangeGuard`] that keeps its tree alive and can go anywhere.
#[must_use = "the range is unlocked when the guard is dropped"]
pub struct OwnedRangeGuard {
    tree: Arc<ExtentIoTree>,
    held: Held,
}

/// A granted request; none was queued for an empty range.
pub(crate) struct Held {
    pub(crate) range: Range<u64>,
    pub(crate) slot: Option<usize>,
}

impl<'a> RangeGuard<'a> {
    pub(crate) fn new(tree: &'a ExtentIoTree, held: Held) -> Self {
        Self { tree, held }
    }

    /// The range that is locked.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.held.range.clone()
    }
}

impl OwnedRangeGuard {
    pub(crate) fn new(tree: Arc<ExtentIoTree>, held: Held) -> Self {
        Self { tree, held }
    }

    /// The range that is locked.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.held.range.clone()
    }
}

impl Drop for RangeGuard<'_> {
    fn drop(&mut self) {
        self.tree.unlock(&self.held);
    }
}

impl Drop for OwnedRangeGuard {
    fn drop(&mut self) {
        self.tree.unlock(&self.held);
    }
}

impl fmt::Debug for RangeGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RangeGuard").field(&self.held.range).finish()
    }
}

impl fmt::Debug for OwnedRangeGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedRangeGuard")
            .field(&self.held.range)
            .finish()
    }
}
