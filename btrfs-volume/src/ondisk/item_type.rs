//! Types of items: the middle part of a key.

macro_rules! types {
    ($($name:ident = $value:literal: $doc:literal)*) => {
        $(#[doc = $doc] pub const $name: u8 = $value;)*

        /// The name of an item type, for messages.
        #[must_use]
        pub fn item_type_name(item_type: u8) -> Option<&'static str> {
            match item_type {
                $($value => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

types! {
    INODE_ITEM = 1: "An inode's attributes."
    INODE_REF = 12: "Names of an inode in one directory."
    INODE_EXTREF = 13: "Names of an inode whose parent and name hash alike; for what does not fit `INODE_REF`."
    XATTR_ITEM = 24: "Extended attributes whose names hash alike."
    VERITY_DESC = 36: "fs-verity descriptor."
    VERITY_MERKLE = 37: "fs-verity hashes."
    ORPHAN_ITEM = 48: "An inode without names that is still to be deleted."
    DIR_LOG_ITEM = 60: "Log tree: a range of a directory by hash."
    DIR_LOG_INDEX = 72: "Log tree: a range of a directory by index."
    DIR_ITEM = 84: "Directory entries whose names hash alike."
    DIR_INDEX = 96: "One directory entry, by index."
    EXTENT_DATA = 108: "Where a piece of a file is."
    EXTENT_CSUM = 128: "Checksums of consecutive data sectors."
    ROOT_ITEM = 132: "A tree: where its root is."
    ROOT_BACKREF = 144: "The name of a subvolume, by the subvolume."
    ROOT_REF = 156: "The name of a subvolume, by the parent."
    EXTENT_ITEM = 168: "An allocated extent: data, or a node where metadata is not skinny."
    METADATA_ITEM = 169: "An allocated node; the key's offset is its level."
    EXTENT_OWNER_REF = 172: "Simple quotas: who allocated a data extent."
    TREE_BLOCK_REF = 176: "Back reference of a node to a tree."
    EXTENT_DATA_REF = 178: "Back reference of a data extent to a file."
    SHARED_BLOCK_REF = 182: "Back reference of a node to a parent node."
    SHARED_DATA_REF = 184: "Back reference of a data extent to a leaf."
    BLOCK_GROUP_ITEM = 192: "A block group and how full it is."
    FREE_SPACE_INFO = 198: "Free space tree: summary of a block group."
    FREE_SPACE_EXTENT = 199: "Free space tree: a free range."
    FREE_SPACE_BITMAP = 200: "Free space tree: a bitmap of a range."
    DEV_EXTENT = 204: "A stripe of a chunk on a device."
    DEV_ITEM = 216: "A device."
    CHUNK_ITEM = 228: "A chunk: logical to physical."
    RAID_STRIPE = 230: "Raid stripe tree entry."
    QGROUP_STATUS = 240: "Quota groups: state."
    QGROUP_INFO = 242: "Quota groups: usage."
    QGROUP_LIMIT = 244: "Quota groups: limits."
    QGROUP_RELATION = 246: "Quota groups: hierarchy."
    TEMPORARY_ITEM = 248: "Balance state and the like."
    PERSISTENT_ITEM = 249: "Device statistics and the like."
    DEV_REPLACE = 250: "State of a device replacement."
    UUID_SUBVOL = 251: "UUID tree: subvolume by UUID."
    UUID_RECEIVED_SUBVOL = 252: "UUID tree: subvolume by the UUID it was received from."
    STRING_ITEM = 253: "A comment for tools."
}

/// Type of the key of the free space cache (version 1); shares its number with nothing else.
pub const FREE_SPACE_HEADER: u8 = 0;
