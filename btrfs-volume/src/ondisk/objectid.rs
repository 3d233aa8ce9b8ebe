//! Object ids with a meaning, those of trees among them.

use std::borrow::Cow;

/// The tree of trees.
pub const ROOT_TREE: u64 = 1;
/// Allocated extents and their back references.
pub const EXTENT_TREE: u64 = 2;
/// Chunks and devices.
pub const CHUNK_TREE: u64 = 3;
/// Stripes by device.
pub const DEV_TREE: u64 = 4;
/// The top-level subvolume.
pub const FS_TREE: u64 = 5;
/// In the root tree: the directory that holds the entry `default`.
pub const ROOT_TREE_DIR: u64 = 6;
/// Checksums of data.
pub const CSUM_TREE: u64 = 7;
/// Quota groups.
pub const QUOTA_TREE: u64 = 8;
/// Subvolumes by UUID.
pub const UUID_TREE: u64 = 9;
/// Free space.
pub const FREE_SPACE_TREE: u64 = 10;
/// Block groups, where they are not in the extent tree.
pub const BLOCK_GROUP_TREE: u64 = 11;
/// Raid stripes.
pub const RAID_STRIPE_TREE: u64 = 12;
/// Balance state.
pub const BALANCE: u64 = 0xffff_ffff_ffff_fffc;
/// Orphans.
pub const ORPHAN: u64 = 0xffff_ffff_ffff_fffb;
/// Log tree.
pub const TREE_LOG: u64 = 0xffff_ffff_ffff_fffa;
/// Fixup of the log tree.
pub const TREE_LOG_FIXUP: u64 = 0xffff_ffff_ffff_fff9;
/// Relocation of metadata.
pub const TREE_RELOC: u64 = 0xffff_ffff_ffff_fff8;
/// Relocation of data.
pub const DATA_RELOC_TREE: u64 = 0xffff_ffff_ffff_fff7;
/// Object of every `EXTENT_CSUM`.
pub const EXTENT_CSUM: u64 = 0xffff_ffff_ffff_fff6;
/// Object of the free space cache (version 1).
pub const FREE_SPACE: u64 = 0xffff_ffff_ffff_fff5;
/// Object of the inode cache of old.
pub const FREE_INO: u64 = 0xffff_ffff_ffff_fff4;
/// Device statistics.
pub const DEV_STATS: u64 = 0;
/// Object of every `DEV_ITEM`.
pub const DEV_ITEMS: u64 = 1;
/// Object of every `CHUNK_ITEM`.
pub const FIRST_CHUNK_TREE: u64 = 256;
/// First inode number, and the root directory of every subvolume.
pub const FIRST_FREE: u64 = 256;
/// Last inode number and last subvolume id.
pub const LAST_FREE: u64 = 0xffff_ffff_ffff_ff00;
/// Inode number of the empty directory that stands where a snapshot had a subvolume.
pub const EMPTY_SUBVOL_DIR: u64 = 2;

/// Whether `tree` holds files: the top level, a subvolume or a snapshot.
#[must_use]
pub fn is_subvolume(tree: u64) -> bool {
    tree == FS_TREE || (FIRST_FREE..=LAST_FREE).contains(&tree)
}

/// The name of a tree, for messages; subvolumes by number.
#[must_use]
pub fn tree_name(tree: u64) -> Cow<'static, str> {
    Cow::Borrowed(match tree {
        ROOT_TREE => "root",
        EXTENT_TREE => "extent",
        CHUNK_TREE => "chunk",
        DEV_TREE => "dev",
        FS_TREE => "fs",
        CSUM_TREE => "csum",
        QUOTA_TREE => "quota",
        UUID_TREE => "uuid",
        FREE_SPACE_TREE => "free space",
        BLOCK_GROUP_TREE => "block group",
        RAID_STRIPE_TREE => "raid stripe",
        TREE_LOG => "log",
        TREE_RELOC => "reloc",
        DATA_RELOC_TREE => "data reloc",
        _ => return Cow::Owned(tree.to_string()),
    })
}
