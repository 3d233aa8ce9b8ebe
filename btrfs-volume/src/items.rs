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
}
