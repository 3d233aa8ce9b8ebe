//! Files, directories and extents, read out of items.

mod csums;
mod extents;
mod inodes;
mod names;
mod subvolumes;
mod usage;
mod xattrs;

pub use extents::{Extent, ExtentSource};
pub use names::{DirEntry, Link};
pub use subvolumes::{BlockGroupUsage, Subvolume};
pub use usage::{CodecUsage, Usage};

use std::ops::Range;

use bytes::Bytes;

use crate::address::Bytenr;
use crate::error::Result;
use crate::items::Items;
use crate::ondisk::{InodeItem, RootItem};

/// An inode: its tree (subvolume) and its number therein.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeId {
    /// The subvolume's tree.
    pub tree: u64,
    /// Inode number.
    pub ino: u64,
}

impl InodeId {
    /// An inode of its two parts.
    #[must_use]
    pub const fn new(tree: u64, ino: u64) -> Self {
        Self { tree, ino }
    }
}

/// What users see of a volume, on top of [`Items`]: of a commit or of a running transaction.
///
/// Any method may answer what reading trees may answer, and
/// [`Error::Item`](crate::Error::Item) where an item makes no sense.
pub trait Reader: Items {
    /// The directory that a mount shows: the root of the default subvolume.
    ///
    /// # Errors
    /// See [`Reader`].
    fn default_root(&self) -> Result<InodeId> {
        subvolumes::default_root(self)
    }

    /// The root directory of a subvolume.
    ///
    /// # Errors
    /// [`Error::NoTree`](crate::Error::NoTree) if there is no such subvolume.
    fn subvolume_root(&self, tree: u64) -> Result<InodeId> {
        subvolumes::root_dir(self, tree)
    }

    /// The root item of a tree.
    ///
    /// # Errors
    /// See [`Reader`].
    fn root_item(&self, tree: u64) -> Result<Option<RootItem>> {
        subvolumes::root_item(self, tree)
    }

    /// All subvolumes and snapshots, the top level first, then by id.
    ///
    /// # Errors
    /// See [`Reader`].
    fn subvolumes(&self) -> Result<Vec<Subvolume>> {
        subvolumes::list(self)
    }

    /// What an inode is and its attributes.
    ///
    /// # Errors
    /// [`Error::NoInode`](crate::Error::NoInode).
    fn inode(&self, id: InodeId) -> Result<InodeItem> {
        inodes::inode(self, id)
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// [`Error::WrongType`](crate::Error::WrongType) if it is none.
    fn read_link(&self, id: InodeId) -> Result<Bytes> {
        inodes::read_link(self, id)
    }

    /// The entry `name` of a directory.
    ///
    /// # Errors
    /// [`Error::WrongType`](crate::Error::WrongType) if it is no directory,
    /// [`Error::NoInode`](crate::Error::NoInode) if it does not exist.
    fn lookup(&self, dir: InodeId, name: &[u8]) -> Result<Option<DirEntry>> {
        names::lookup(self, dir, name)
    }

    /// At most `max` entries of a directory whose index is larger than `after`, by index. Empty
    /// at the end. Names are as they are stored: whoever makes files of them must check them.
    ///
    /// # Errors
    /// See [`Reader::lookup`].
    fn read_dir(&self, dir: InodeId, after: u64, max: usize) -> Result<Vec<DirEntry>> {
        names::read_dir(self, dir, after, max)
    }

    /// The names that lead to an inode.
    ///
    /// # Errors
    /// See [`Reader`].
    fn links(&self, id: InodeId) -> Result<Vec<Link>> {
        names::links(self, id)
    }

    /// Names and values of an inode's extended attributes.
    ///
    /// # Errors
    /// See [`Reader`].
    fn xattrs(&self, id: InodeId) -> Result<Vec<(Bytes, Bytes)>> {
        xattrs::list(self, id)
    }

    /// The value of one extended attribute.
    ///
    /// # Errors
    /// See [`Reader`].
    fn xattr(&self, id: InodeId, name: &[u8]) -> Result<Option<Bytes>> {
        xattrs::get(self, id, name)
    }

    /// The extents that together cover `range` of a file (grown to whole sectors), ascending,
    /// without gaps or overlaps; the first may start before it and the last end after it. What
    /// was never written is a hole.
    ///
    /// # Errors
    /// See [`Reader`].
    fn extents(&self, id: InodeId, range: Range<u64>) -> Result<Vec<Extent>> {
        extents::list(self, id, range)
    }

    /// The checksums of the `sectors` sectors at `bytenr`; `None` where none is stored.
    ///
    /// # Errors
    /// See [`Reader`].
    fn checksums(&self, bytenr: Bytenr, sectors: usize) -> Result<Vec<Option<u32>>> {
        csums::list(self, bytenr, sectors)
    }

    /// Indexes of the sectors of `bytes` (read at `bytenr`) that do not match their checksum. A
    /// sector without a checksum matches.
    ///
    /// # Errors
    /// See [`Reader`].
    fn verify(&self, bytenr: Bytenr, bytes: &[u8]) -> Result<Vec<usize>> {
        csums::verify(self, bytenr, bytes)
    }

    /// How much space a file, or a directory and all below it, takes: what `compsize` tells.
    /// Subvolumes below are included.
    ///
    /// # Errors
    /// See [`Reader`].
    fn usage(&self, id: InodeId) -> Result<Usage> {
        usage::of(self, id)
    }
}

impl<T: Items + ?Sized> Reader for T {}
