//! What crosses the volume's ports.

use bytes::Bytes;
use compress::CodecId;

/// An inode: its tree (subvolume) and its number therein.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeId {
    /// The subvolume's tree. Volumes without subvolumes use 0.
    pub tree: u64,
    /// Inode number, unique within its tree.
    pub ino: u64,
}

/// Seconds since 1970 (negative before) and nanoseconds on top of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds, rounded towards minus infinity.
    pub secs: i64,
    /// 0..1_000_000_000.
    pub nanos: u32,
}

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of POSIX")]
pub enum FileType {
    Regular,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

/// The attributes of an inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attrs {
    /// What it is.
    pub file_type: FileType,
    /// Permission bits with setuid, setgid and sticky: `0..=0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names that lead here.
    pub nlink: u32,
    /// Major and minor number of a device.
    pub rdev: (u32, u32),
    /// Size in bytes.
    pub size: u64,
    /// Bytes that extents take up in the file, before compression (holes excluded).
    pub nbytes: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Creation.
    pub otime: Timestamp,
}

/// An inode to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInode {
    /// What it is.
    pub file_type: FileType,
    /// See [`Attrs::mode`].
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Major and minor number of a device.
    pub rdev: (u32, u32),
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Creation.
    pub otime: Timestamp,
    /// Where a symlink leads; empty for everything else.
    pub symlink_target: Bytes,
}

impl NewInode {
    /// One that belongs to root, with all times at the epoch; the rest is to be set where it matters.
    #[must_use]
    pub fn new(file_type: FileType, mode: u32) -> Self {
        Self {
            file_type,
            mode,
            uid: 0,
            gid: 0,
            rdev: (0, 0),
            atime: Timestamp::default(),
            mtime: Timestamp::default(),
            ctime: Timestamp::default(),
            otime: Timestamp::default(),
            symlink_target: Bytes::new(),
        }
    }
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Any bytes but `/` and NUL.
    pub name: Bytes,
    /// Where it leads; a subvolume's root where the entry is one.
    pub id: InodeId,
    /// What it is.
    pub file_type: FileType,
    /// Pass as `after` to go on behind this entry.
    pub cursor: u64,
}

/// What a name led to that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unlinked {
    /// The inode.
    pub id: InodeId,
    /// It has no other name: once nobody has it open it is to be freed.
    pub last: bool,
}

/// Names and values of extended attributes.
pub type XattrSet = Vec<(Bytes, Bytes)>;

/// An extent that has reached the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileExtent<L> {
    /// Where in the file, in bytes; sector-aligned.
    pub file_offset: u64,
    /// How much of the file it covers, in bytes; sector-aligned.
    pub num_bytes: u64,
    /// Where it is and how it is stored.
    pub stored: StoredExtent<L>,
    /// One checksum for each sector on the device, packed, from [`DataIo::checksum`](super::DataIo::checksum).
    pub checksums: Bytes,
}

/// How an extent is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredExtent<L> {
    /// First byte.
    pub at: L,
    /// Bytes on the device; sector-aligned.
    pub disk_num_bytes: u64,
    /// `None`: raw.
    pub codec: Option<CodecId>,
}
