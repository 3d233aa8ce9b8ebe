//! Cached file contents as folios under one byte budget. (Skeleton: the signatures are final, the bodies follow.)
mod skeleton;
pub use skeleton::*;

/// Bytes of a page, the unit of every state bit.
pub const PAGE_SIZE: u64 = 4096;
/// Bytes of a folio, an aligned window of a file.
pub const FOLIO_SIZE: u64 = 128 * 1024;
