//! Checksums.

use super::BoxError;

/// Compares bytes with their checksums. Called from several threads at once.
pub trait Verify<L>: Send + Sync {
    /// Indexes, ascending, of the sectors of `bytes` that are not what was written. `bytes` lie
    /// `offset` bytes into the extent `disk`; `offset` is sector-aligned. A sector that has no
    /// checksum is good.
    ///
    /// # Errors
    ///
    /// Where the checksums cannot be looked up; the bytes are not used then.
    fn verify(&self, disk: L, offset: u64, bytes: &[u8]) -> Result<Vec<usize>, BoxError>;
}
