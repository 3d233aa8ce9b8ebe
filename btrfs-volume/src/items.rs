//! The port through which everything above trees looks at them.

use std::ops::{ControlFlow, RangeInclusive};

use bytes::Bytes;

use crate::error::Result;
use crate::ondisk::Key;
use crate::storage::Geometry;

/// Trees of items, by the tree's objectid.
///
/// Implemented by the last commit of a volume and by a running transaction, so that all that
/// is built on it sees either. Implementers: a tree that is not there is
/// [`Error::NoTree`](crate::Error::NoTree). `visit` may not be called with a lock held that
/// another call of this trait needs.
pub trait Items {
    /// Sizes and ids of the volume.
    fn geometry(&self) -> Geometry;

    /// The item with exactly `key`.
    ///
    /// # Errors
    /// There is no such tree, or it cannot be read.
    fn get(&self, tree: u64, key: &Key) -> Result<Option<Bytes>>;

    /// Calls `visit` for each item with a key in `range`, ascending, until it breaks.
    ///
    /// # Errors
    /// There is no such tree, or it cannot be read.
    fn scan(
        &self,
        tree: u64,
        range: RangeInclusive<Key>,
        visit: &mut dyn FnMut(Key, &Bytes) -> ControlFlow<()>,
    ) -> Result<()>;

    /// The item with the largest key in `range`.
    ///
    /// # Errors
    /// There is no such tree, or it cannot be read.
    fn last(&self, tree: u64, range: RangeInclusive<Key>) -> Result<Option<(Key, Bytes)>>;

    /// Calls `visit` for the item with the largest key in `first..=from`, and then for each behind it up
    /// to `last`, until it breaks. Implementers whose items change: all are of one moment, or what
    /// was cut in two meanwhile overlaps itself.
    ///
    /// # Errors
    /// There is no such tree, or it cannot be read.
    fn scan_around(
        &self,
        tree: u64,
        [first, from, last]: [Key; 3],
        visit: &mut dyn FnMut(Key, &Bytes) -> ControlFlow<()>,
    ) -> Result<()> {
        let before = self.last(tree, first..=from)?;
        let from = before.map_or(from, |(key, _)| key);
        self.scan(tree, from..=last, visit)
    }
}
