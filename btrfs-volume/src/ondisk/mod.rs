//! The format: every item as a plain struct, decoded with full bounds checks and encoded back.
//!
//! A decoder takes the item's bytes and nothing else, never panics, allocates in proportion to
//! the bytes it was given, and checks what can be seen in the item alone. Fields that this crate
//! has no use for are kept, so that what is decoded and encoded again is the same bytes, except
//! reserved ones.
//!
//! Source: the kernel's documentation `Documentation/filesystems/btrfs` and the on-disk format
//! page of the btrfs documentation.

mod bad_item;
mod block_group;
mod chunk;
pub mod csum;
mod dir_item;
mod extent_item;
mod file_extent;
pub mod hash;
mod inode;
mod inode_ref;
pub mod item_type;
pub mod key;
pub mod objectid;
mod raw;
mod root;
mod superblock;

pub use bad_item::BadItem;
pub use block_group::{BlockGroupItem, FreeSpaceInfo, block_group_flags};
pub use chunk::{Chunk, DevExtent, DevItem, Stripe};
pub use dir_item::{DirItem, dir_type};
pub use extent_item::{ExtentData, ExtentItem, InlineRef, SharedDataRef, extent_flags};
pub use file_extent::{ExtentKind, FileExtentItem, compression};
pub use inode::{InodeItem, Timespec, inode_flags};
pub use inode_ref::{InodeExtref, InodeRef};
pub use key::Key;
pub use root::{RootItem, RootRef, root_flags};
pub use superblock::{
    BackupRoot, SUPER_MAGIC, SUPER_OFFSETS, SUPER_SIZE, Superblock, compat_ro, incompat,
};

#[cfg(test)]
mod tests;
