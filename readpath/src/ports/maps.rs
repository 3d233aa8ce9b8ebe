//! Extent maps of one file.

use std::ops::Range;

use super::BoxError;
use crate::extent_map::ExtentMap;

/// Where the bytes of one file are.
pub trait ExtentMaps<L> {
    /// The maps that together cover `range` (page-aligned at its start) in ascending order without
    /// gaps; the first may start before it and the last end after it. Give whole maps where
    /// possible: what a map covers is read at once.
    ///
    /// # Errors
    ///
    /// Where they cannot be found; nothing of the range is read then.
    fn extent_maps(&self, range: Range<u64>) -> Result<Vec<ExtentMap<L>>, BoxError>;
}
