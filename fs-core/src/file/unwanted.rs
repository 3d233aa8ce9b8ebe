//! Dirty data that is about to be dropped.

use std::ops::Range;

use delalloc::{Claim, Until};

use super::File;
use crate::volume::Volume;

/// Dirty data that nobody writes back as long as this lives, as it is to be dropped. It is dirty once more
/// if this is dropped before [`Unwanted::was_dropped`].
pub(super) struct Unwanted(Vec<Claim>);

impl Unwanted {
    /// It has left the cache: what was promised to it comes back.
    pub(super) fn was_dropped(mut self) {
        self.0.clear();
    }
}

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Claim::redirty);
    }
}

impl<V: Volume> File<V> {
    /// Takes what is dirty in `unwanted` and not on its way, and waits until nothing else in `range`,
    /// whole pages that hold it, is. The caller keeps writers away from them.
    pub(super) fn hold_back(&self, unwanted: Range<u64>, range: Range<u64>) -> Unwanted {
        let mut held = Unwanted(Vec::new());
        if !unwanted.is_empty() {
            let claim = || self.inode.delalloc.claim_range(unwanted.clone());
            held.0.extend(std::iter::from_fn(claim));
        }
        // What ended meanwhile may have been taken behind what lies after it.
        held.0.sort_by_key(|claim| claim.range().start);
        let mut at = range.start;
        for claim in &held.0 {
            self.wait_clean(at..claim.range().start);
            at = claim.range().end;
        }
        self.wait_clean(at..range.end);
        held
    }

    fn wait_clean(&self, range: Range<u64>) {
        if !range.is_empty() {
            self.shared.wait_range(&self.inode, range, Until::Clean);
        }
    }
}
