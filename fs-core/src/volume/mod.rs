//! The ports through which [`Filesystem`](crate::Filesystem) reaches stored data.
//!
//! [`Volume`] is the sum of narrow traits, each about one concern, and each with few
//! methods. A volume knows nothing of pages, compression levels or threads: it is told
//! what to remember and asked for it back.
//!
//! All methods take `&self` and may be called from several threads at once. None may
//! call back into the filesystem.

mod error;
mod types;

pub use error::{VolumeError, VolumeErrorKind};
pub use types::{
    Attrs, DirEntry, FileExtent, FileType, InodeId, NewInode, StoredExtent, Timestamp, Unlinked,
    XattrSet,
};

use std::fmt::Debug;
use std::hash::Hash;
use std::ops::Range;

use bytes::Bytes;
use compress::CodecId;
use readpath::ExtentMap;

use crate::policy::Policy;

/// What every port returns.
pub type VolumeResult<T> = Result<T, VolumeError>;

/// Names an extent on the volume. Opaque to everything above it.
pub trait Locator: Copy + Eq + Ord + Hash + Debug + Send + Sync + 'static {
    /// The place `bytes` further on in the same extent.
    #[must_use]
    fn plus(self, bytes: u64) -> Self;
}

/// What a volume can hold; asked when the filesystem is built, and whether it is read-only once more after
/// a commit that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeLimits {
    /// Unit of data allocation and of checksums, in bytes; a power of two. 4096 where
    /// anything may be written.
    pub sector_size: u32,
    /// Largest payload, in bytes, that [`ExtentStore::insert_inline`] takes; 0: no inline files.
    pub max_inline: u32,
    /// Bytes of metadata that one more extent, or content in the tree, may take; 0: metadata has room
    /// without an end. See [`DataSpace::metadata_available`].
    pub metadata_per_extent: u32,
    /// Codecs whose output the volume can tag. Raw data needs none.
    pub codecs: Vec<CodecId>,
    /// Whether nothing may be written.
    pub read_only: bool,
}

/// Inode attributes.
pub trait InodeStore {
    /// The directory that a mount shows as its root.
    fn root(&self) -> InodeId;
    /// The attributes as last stored. [`VolumeErrorKind::NotFound`] if there is no such inode.
    fn attrs(&self, id: InodeId) -> VolumeResult<Attrs>;
    /// Replaces the attributes. `file_type`, `nlink` and `nbytes` are the volume's own
    /// and ignored.
    fn put_attrs(&self, id: InodeId, attrs: &Attrs) -> VolumeResult<()>;
    /// Target of a symlink.
    fn read_link(&self, id: InodeId) -> VolumeResult<Bytes>;
    /// Frees an inode that has no name any more, with all its extents. Until then it stays, as an
    /// orphan, which a volume that is opened after a crash frees by itself.
    fn free_inode(&self, id: InodeId) -> VolumeResult<()> {
        Err(cannot(format!("freeing inode {}", id.ino)))
    }
    /// How the file is to be compressed, if that was set for it; of a directory, what its new
    /// entries inherit.
    fn policy(&self, id: InodeId) -> VolumeResult<Option<Policy>> {
        let _ = id;
        Ok(None)
    }
    /// Sets that, or leaves it to the filesystem's own policy again.
    fn put_policy(&self, id: InodeId, policy: Option<Policy>) -> VolumeResult<()> {
        let _ = policy;
        Err(cannot(format!("a compression policy for inode {}", id.ino)))
    }
}

fn cannot(what: String) -> VolumeError {
    VolumeError::new(
        VolumeErrorKind::Unsupported,
        format!("this volume does not support {what}"),
    )
}

/// Directories.
pub trait Namespace {
    /// The inode that `name` leads to, crossing into a subvolume where the entry is one.
    fn lookup(&self, dir: InodeId, name: &[u8]) -> VolumeResult<Option<InodeId>>;
    /// At most `max` entries whose cursor is larger than `after`, in cursor order; `.` and `..`
    /// are not among them. An empty answer is the end. `after` is 0 at first.
    fn read_dir(&self, dir: InodeId, after: u64, max: usize) -> VolumeResult<Vec<DirEntry>>;
    /// Makes an inode and its first name. [`VolumeErrorKind::Exists`] if the name is taken.
    /// The directory's size and times are the volume's to update (mtime := `new.ctime`).
    fn create(&self, dir: InodeId, name: &[u8], new: &NewInode) -> VolumeResult<InodeId>;
    /// Gives an inode another name. [`VolumeErrorKind::TooManyLinks`] if it cannot have more.
    fn link(&self, id: InodeId, dir: InodeId, name: &[u8]) -> VolumeResult<()>;
    /// Removes a name. [`VolumeErrorKind::NotFound`] if there is none,
    /// [`VolumeErrorKind::NotEmpty`] if it leads to a directory with entries.
    fn unlink(&self, dir: InodeId, name: &[u8]) -> VolumeResult<Unlinked> {
        let _ = (dir, name);
        Err(cannot("removing names".to_owned()))
    }
}

/// Extended attributes, ACLs among them, by full name (`user.x`, `security.capability`).
pub trait XattrStore {
    /// All names and values.
    fn xattrs(&self, id: InodeId) -> VolumeResult<XattrSet>;
    /// Sets one. [`VolumeErrorKind::TooLarge`] if the volume cannot hold it.
    fn set_xattr(&self, id: InodeId, name: &[u8], value: &[u8]) -> VolumeResult<()>;
}

/// Where a file's bytes are.
pub trait ExtentStore {
    /// See [`Locator`].
    type Locator: Locator;
    /// Extent maps that together cover all of `range` in ascending order without gaps or
    /// overlaps; the first may start before it and the last end after it. What was never written
    /// is a hole. `range` is sector-aligned.
    fn extent_maps(
        &self,
        id: InodeId,
        range: Range<u64>,
    ) -> VolumeResult<Vec<ExtentMap<Self::Locator>>>;
    /// Records an extent whose bytes are on the device: drops what `extent` covers, then inserts
    /// it together with its checksums. Called once an ordered extent finishes, in submission
    /// order, or by a direct writer, of whose range none is on its way. An extent that `allocate` gave passes from reserved to used here.
    fn insert_extent(&self, id: InodeId, extent: FileExtent<Self::Locator>) -> VolumeResult<()>;
    /// Makes `data` the whole content of a small file, dropping all its extents. `ram_bytes` is
    /// the length once decompressed.
    fn insert_inline(
        &self,
        id: InodeId,
        data: Bytes,
        codec: Option<CodecId>,
        ram_bytes: u64,
    ) -> VolumeResult<()>;
    /// Makes `range` (sector-aligned) a hole.
    fn drop_extents(&self, id: InodeId, range: Range<u64>) -> VolumeResult<()>;
    /// Records that `at`, which `allocate` gave, is kept for `range` (sector-aligned, a hole before).
    /// It reads as zeroes.
    fn preallocate(&self, id: InodeId, range: Range<u64>, at: Self::Locator) -> VolumeResult<()> {
        let _ = (range, at);
        Err(cannot(format!("preallocating for inode {}", id.ino)))
    }
}

/// Space for data.
pub trait DataSpace: ExtentStore {
    /// Bytes of data that may still be promised: free now, or by allocating chunks. Space that only
    /// a commit frees does not count.
    fn data_available(&self) -> u64;
    /// Bytes of metadata that may still be promised. If there are fewer than `wanted`, the volume first
    /// sets space aside for as many as it can, but not what `data` bytes of data need that are promised
    /// and not allocated.
    fn metadata_available(&self, wanted: u64, data: u64) -> u64 {
        let _ = (wanted, data);
        u64::MAX
    }
    /// Takes `num_bytes` (sector-aligned) of contiguous space. Where it lies depends only on the
    /// sequence of earlier calls. [`VolumeErrorKind::NoSpace`] if no free run is long enough.
    fn allocate(&self, num_bytes: u64) -> VolumeResult<Self::Locator>;
    /// Gives back what `allocate` gave and `insert_extent` never took.
    fn release(&self, at: Self::Locator, num_bytes: u64);
}

/// The bytes themselves.
pub trait DataIo: ExtentStore {
    /// Writes each buffer at its place; neighbours in the list that are neighbours on the device
    /// go out together. On an error anything may have been written.
    fn write(&self, what: &[(Self::Locator, Bytes)]) -> VolumeResult<()>;
    /// Reads `len` bytes of mirror `mirror` (from 0), unverified.
    fn read(&self, at: Self::Locator, len: usize, mirror: usize) -> VolumeResult<Bytes>;
    /// How many mirrors `at` has; at least 1.
    fn mirrors(&self, at: Self::Locator) -> usize;
    /// Packed checksums of `bytes`, sector by sector, as `FileExtent::checksums` wants them.
    fn checksum(&self, bytes: &[u8]) -> Bytes;
    /// Indexes of the sectors of `bytes` (read at `at`) that do not match their stored checksum.
    /// A sector without a stored checksum matches.
    fn verify(&self, at: Self::Locator, bytes: &[u8]) -> VolumeResult<Vec<usize>>;
    /// Told that `sectors` sectors at `at` or behind it were damaged and were read from another
    /// mirror.
    fn healed(&self, at: Self::Locator, sectors: usize) {
        let _ = (at, sectors);
    }
}

/// Making it last.
pub trait Commit {
    /// Makes everything told so far durable, in one transaction. After an error that
    /// says so the volume is read-only for good.
    fn commit(&self) -> VolumeResult<()>;
}

/// Everything that [`Filesystem`](crate::Filesystem) needs of what it stands on.
pub trait Volume:
    InodeStore
    + Namespace
    + XattrStore
    + ExtentStore
    + DataSpace
    + DataIo
    + Commit
    + Send
    + Sync
    + 'static
{
    /// What this volume can hold.
    fn limits(&self) -> VolumeLimits;
}
