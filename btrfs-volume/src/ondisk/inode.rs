//! Attributes of inodes.

use zerocopy::IntoBytes;

use super::bad_item::BadItem;
use super::raw::{RawInodeItem, RawTimespec, finish, impl_encode, take};

/// Bits of [`InodeItem::flags`].
pub mod inode_flags {
    /// Data has no checksums.
    pub const NODATASUM: u64 = 1 << 0;
    /// Data is overwritten in place.
    pub const NODATACOW: u64 = 1 << 1;
    /// Of a root item's inode: read-only.
    pub const READONLY: u64 = 1 << 2;
    /// Do not compress.
    pub const NOCOMPRESS: u64 = 1 << 3;
    /// Has prealloc extents.
    pub const PREALLOC: u64 = 1 << 4;
    /// Synchronous updates.
    pub const SYNC: u64 = 1 << 5;
    /// Immutable.
    pub const IMMUTABLE: u64 = 1 << 6;
    /// Append only.
    pub const APPEND: u64 = 1 << 7;
    /// Not for dump(8).
    pub const NODUMP: u64 = 1 << 8;
    /// No updates of atime.
    pub const NOATIME: u64 = 1 << 9;
    /// Synchronous directory.
    pub const DIRSYNC: u64 = 1 << 10;
    /// Compress.
    pub const COMPRESS: u64 = 1 << 11;
    /// In the inode of a root item: the item's inode flags are set up.
    pub const ROOT_ITEM_INIT: u64 = 1 << 31;
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timespec {
    /// Seconds since 1970, rounded towards minus infinity.
    pub secs: i64,
    /// Nanoseconds on top of them.
    pub nanos: u32,
}

impl From<RawTimespec> for Timespec {
    fn from(raw: RawTimespec) -> Self {
        Self {
            secs: raw.secs.get().cast_signed(),
            nanos: raw.nanos.get(),
        }
    }
}

impl From<Timespec> for RawTimespec {
    fn from(time: Timespec) -> Self {
        Self {
            secs: time.secs.cast_unsigned().into(),
            nanos: time.nanos.into(),
        }
    }
}

/// `INODE_ITEM`: key (inode, type, 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InodeItem {
    /// Transaction that made the inode.
    pub generation: u64,
    /// Transaction that changed it last.
    pub transid: u64,
    /// Bytes of a file or symlink; twice the lengths of the names in a directory.
    pub size: u64,
    /// Bytes that extents take up in the file.
    pub nbytes: u64,
    /// A hint of old; 0.
    pub block_group: u64,
    /// Names that lead here.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permissions as in POSIX's `st_mode`.
    pub mode: u32,
    /// Device number as Linux encodes it on disk; see [`InodeItem::device`].
    pub rdev: u64,
    /// See [`inode_flags`]; the upper half are flags that a kernel may not ignore for writing.
    pub flags: u64,
    /// Changes, for NFS.
    pub sequence: u64,
    /// Last access.
    pub atime: Timespec,
    /// Last change of the inode.
    pub ctime: Timespec,
    /// Last change of the content.
    pub mtime: Timespec,
    /// Creation.
    pub otime: Timespec,
}

impl InodeItem {
    /// Bytes of the item.
    pub const SIZE: usize = size_of::<RawInodeItem>();

    /// The item in `bytes`.
    ///
    /// # Errors
    /// Not an item of this kind.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BadItem> {
        const WHAT: &str = "inode item";
        let raw: &RawInodeItem = take(WHAT, &mut bytes)?;
        finish(WHAT, bytes)?;
        Ok(Self::from_raw(raw))
    }

    /// Appends its bytes to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_raw().as_bytes());
    }

    /// Major and minor number of a device: 12 bits above the 20 bits of the minor.
    #[must_use]
    pub fn device(&self) -> (u32, u32) {
        // Both parts are masked to their width.
        (
            ((self.rdev >> 20) & 0xfff) as u32,
            (self.rdev & 0xf_ffff) as u32,
        )
    }

    /// The value of [`InodeItem::rdev`] for a device; `None` if a number is too large for it.
    #[must_use]
    pub fn encode_device(major: u32, minor: u32) -> Option<u64> {
        (major <= 0xfff && minor <= 0xf_ffff).then(|| u64::from(major) << 20 | u64::from(minor))
    }

    pub(super) fn from_raw(raw: &RawInodeItem) -> Self {
        Self {
            generation: raw.generation.get(),
            transid: raw.transid.get(),
            size: raw.size.get(),
            nbytes: raw.nbytes.get(),
            block_group: raw.block_group.get(),
            nlink: raw.nlink.get(),
            uid: raw.uid.get(),
            gid: raw.gid.get(),
            mode: raw.mode.get(),
            rdev: raw.rdev.get(),
            flags: raw.flags.get(),
            sequence: raw.sequence.get(),
            atime: raw.atime.into(),
            ctime: raw.ctime.into(),
            mtime: raw.mtime.into(),
            otime: raw.otime.into(),
        }
    }

    pub(super) fn to_raw(self) -> RawInodeItem {
        RawInodeItem {
            generation: self.generation.into(),
            transid: self.transid.into(),
            size: self.size.into(),
            nbytes: self.nbytes.into(),
            block_group: self.block_group.into(),
            nlink: self.nlink.into(),
            uid: self.uid.into(),
            gid: self.gid.into(),
            mode: self.mode.into(),
            rdev: self.rdev.into(),
            flags: self.flags.into(),
            sequence: self.sequence.into(),
            reserved: Default::default(),
            atime: self.atime.into(),
            ctime: self.ctime.into(),
            mtime: self.mtime.into(),
            otime: self.otime.into(),
        }
    }
}

impl_encode!(InodeItem);
