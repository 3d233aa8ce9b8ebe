//! Delayed allocation, ordered compression and the page cache wired into one filesystem.
//!
//! Its counterpart in the kernel is what `fs/btrfs/inode.c`, `file.c` and `ordered-data.c` make
//! of their parts.
//!
//! # Model
//!
//! A [`Filesystem`] stands on a [`Volume`], which it reaches through narrow ports. A write copies
//! bytes into folios and makes the range delalloc. Writeback claims the range, cuts it into pieces
//! of at most 128 KiB and puts each on the ordered work queue, where they are compressed in
//! parallel. In the order in which they were claimed, each piece (or run of raw neighbours) gets
//! an address and becomes an ordered extent. A writer thread takes the bytes to the device and
//! then records the extent. [`PipelineStep`] lists the steps, and an observer sees each.
//!
//! A read that the cache cannot answer goes to [`readpath`], with the same threads and codecs, and
//! ahead of a sequential reader.
//!
//! Writeback starts when a claim's worth of a file went by, on demand ([`File::fsync`],
//! [`File::sync_range`], [`Filesystem::sync`]), when the cache has no room, and, with a
//! [`Background`], by age and by the amount of what is dirty; then writers are slowed down in
//! proportion. Whoever waits, for room or for data, lends a hand.
//!
//! # Invariants
//!
//! - I1: space is reserved before a range becomes delalloc; whoever takes the range takes the
//!   reservation along, and it is settled once on every path.
//! - I2: a range is claimed once; what is in flight or ordered is not claimed again.
//! - I3: no lock but that of the range that a writer changes is held while a piece is queued. A buffer under compression is shared with
//!   writers, who copy it before they change it.
//! - I4: allocation and the joining of raw pieces depend on the order of claims alone; and that, with
//!   one file written at a time and no [`Background`], on the calls of its writer alone.
//! - I5: the volume knows an extent before its pages may leave the cache.
//! - I6: after [`Filesystem::unmount`] nothing is dirty, in flight, ordered, reserved, queued
//!   or being read.
//!
//! # Locking
//!
//! Whoever changes content or size locks that range of the inode, outermost and for the whole call;
//! the queue and the writer thread never do, and readers only past the cache, or when writers
//! disturbed them again and again. Inside it, in this order where two are held: the table of inodes, the
//! books (shared by whoever takes space or gives it back, alone for who compares the ledger with the
//! volume), what one commit must hold whole (shared by whoever makes several changes of that kind, alone
//! for a commit), the attributes, and the locks of cache, delalloc and volume. While extents are dropped, whoever wants to
//! fetch pages of their range waits. A handle's readahead window has a lock inside which no
//! other is taken.
//!
//! # Errors
//!
//! [`Error`] names inode and range; [`Error::kind`] decides an errno. A failure of writeback is told
//! once to each handle that is open, by `fsync`, and by [`Filesystem::sync`] if nobody was told; the
//! pages are clean then, as on Linux, and their data may be lost. After a failed commit a volume
//! takes nothing more.
//!
//! # What it is not
//!
//! It knows nothing of btrfs's format, of FUSE, or of clocks: times change when a caller sets them.
//! It does not rename yet, and knows no shared mappings of files.
//!
//! # Example
//!
//! ```
//! use compress::CodecId;
//! use fs_core::{Compression, FileType, Filesystem, MemoryVolume, NewInode};
//! # fn main() -> Result<(), fs_core::Error> {
//! let fs = Filesystem::builder(MemoryVolume::new(64 << 20))
//!     .compression(Some(Compression { codec: CodecId::ZSTD, level: 3 }))
//!     .build()?;
//! let new = NewInode::new(FileType::Regular, 0o644);
//! let id = fs.create(fs.root(), b"greeting", &new)?;
//! let file = fs.open(id)?;
//! file.write(0, &b"hello ".repeat(100_000))?;
//! file.fsync()?;
//! assert!(fs.volume().bytes_allocated() < 100_000);
//! let mut five = [0; 5];
//! file.read(6, &mut five)?;
//! assert_eq!(&five, b"hello");
//! drop(file);
//! fs.unmount()?;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod builder;
mod error;
mod failures;
mod file;
mod filesystem;
mod flusher;
mod inode;
pub mod memory;
mod piece;
mod pipeline_trace;
mod policy;
mod read;
mod shared;
mod stats;
mod submit;
mod sync;
mod under_writeback;
mod unrecorded;
mod volume;
mod writeback;
mod writer;

#[cfg(all(test, shuttle))]
mod models;

pub use builder::Builder;
pub use compress::CodecId;
pub use error::{Error, ErrorKind};
pub use file::File;
pub use filesystem::{Filesystem, SetAttrs};
pub use flusher::Background;
pub use memory::MemoryVolume;
pub use pagecache::Stats as CacheStats;
pub use pipeline_trace::{PipelineEvent, PipelineObserver, PipelineStep};
pub use policy::{Compression, Policy};
pub use readpath::{Error as ReadError, ExtentKind, ExtentMap, Stats as ReadStats};
pub use stats::Stats;
pub use volume::{
    Attrs, Commit, DataIo, DataSpace, DirEntry, ExtentStore, FileExtent, FileType, InodeId,
    InodeStore, Locator, Namespace, NewInode, StoredExtent, Timestamp, Unlinked, Volume,
    VolumeError, VolumeErrorKind, VolumeLimits, VolumeResult, XattrSet, XattrStore,
};
