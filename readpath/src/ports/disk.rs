//! Bytes of disk extents.

use bytes::Bytes;

use super::BoxError;

/// A part of a disk extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DiskRange<L> {
    /// The disk extent.
    pub disk: L,
    /// First byte, counted from the extent's beginning; a multiple of the sector size.
    pub offset: u64,
    /// Bytes.
    pub len: usize,
}

/// Reads disk extents, unverified. Called from several threads at once.
pub trait DiskRead<L>: Send + Sync {
    /// Unit of damage and checksums, in bytes; a power of two.
    fn sector_size(&self) -> u32;
    /// How many copies there are of what `disk` names; at least 1.
    fn mirrors(&self, disk: L) -> usize;
    /// One answer for each request, in order, from copy `mirror` (from 0).
    ///
    /// All are passed at once so that what lies next to each other on the device can be read
    /// together; they come in file order.
    fn read(&self, requests: &[DiskRange<L>], mirror: usize) -> Vec<Result<Bytes, BoxError>>;
    /// Told that `sectors` of what `request` names were bad and came from another copy.
    fn healed(&self, request: &DiskRange<L>, sectors: usize) {
        let _ = (request, sectors);
    }
}
