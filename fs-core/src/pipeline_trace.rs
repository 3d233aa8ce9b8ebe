//! The life of a write as events, for whoever wants to watch it.

use crate::sync::Arc;
use std::ops::Range;

use compress::CodecId;

use crate::volume::InodeId;

/// A step in the life of dirty data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineEvent {
    /// Whose data.
    pub id: InodeId,
    /// Bytes of the file, page-aligned.
    pub range: Range<u64>,
    /// What happened to them.
    pub step: PipelineStep,
}

/// What happened. The order of the variants is the order of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipelineStep {
    /// A writer copied bytes in; the range is delalloc and its space reserved.
    Dirtied,
    /// Writeback took the range: no longer delalloc, in flight.
    Claimed,
    /// A piece entered the ordered work queue; the state lock is not held any more.
    Queued,
    /// The parallel part compressed a piece to `stored` bytes (sector-aligned).
    Compressed {
        /// By which codec.
        codec: CodecId,
        /// Bytes it will take on the device.
        stored: u64,
    },
    /// The parallel part decided to store the piece as it is.
    KeptRaw,
    /// The parallel part made the whole file an inline extent.
    MadeInline,
    /// The ordered part allocated space, added the ordered extent and handed it to the writer.
    Submitted,
    /// The bytes are on the device.
    Written,
    /// Extent and checksums are in the running transaction; writeback has ended.
    Finished,
    /// The range did not make it; the inode holds the error.
    Failed,
}

/// Sees every event, from several threads. Must not call back into the filesystem.
pub type PipelineObserver = Arc<dyn Fn(&PipelineEvent) + Send + Sync>;
