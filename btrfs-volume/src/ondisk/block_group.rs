//! Block groups and the summaries of their free space.

use zerocopy::IntoBytes;

use super::bad_item::BadItem;
use super::raw::{RawBlockGroupItem, RawFreeSpaceInfo, finish, impl_encode, take};

/// What a chunk or block group holds and how it is laid out.
pub mod block_group_flags {
    /// Data.
    pub const DATA: u64 = 1 << 0;
    /// The chunk tree.
    pub const SYSTEM: u64 = 1 << 1;
    /// All other trees.
    pub const METADATA: u64 = 1 << 2;
    /// Striped.
    pub const RAID0: u64 = 1 << 3;
    /// Two copies on two devices.
    pub const RAID1: u64 = 1 << 4;
    /// Two copies on one device.
    pub const DUP: u64 = 1 << 5;
    /// Striped over mirrored pairs.
    pub const RAID10: u64 = 1 << 6;
    /// Parity.
    pub const RAID5: u64 = 1 << 7;
    /// Double parity.
    pub const RAID6: u64 = 1 << 8;
    /// Three copies.
    pub const RAID1C3: u64 = 1 << 9;
    /// Four copies.
    pub const RAID1C4: u64 = 1 << 10;
    /// All bits that say what is held.
    pub const TYPE_MASK: u64 = DATA | SYSTEM | METADATA;
    /// All bits that say how; none of them: single.
    pub const PROFILE_MASK: u64 = RAID0 | RAID1 | DUP | RAID10 | RAID5 | RAID6 | RAID1C3 | RAID1C4;

    /// `data`, `metadata`, `system` or a mixture.
    #[must_use]
    pub fn type_name(flags: u64) -> &'static str {
        match flags & TYPE_MASK {
            DATA => "data",
            METADATA => "metadata",
            SYSTEM => "system",
            mixed if mixed == DATA | METADATA => "data+metadata",
            _ => "unknown",
        }
    }

    /// `single`, `DUP`, `RAID1`, ...
    #[must_use]
    pub fn profile_name(flags: u64) -> &'static str {
        match flags & PROFILE_MASK {
            0 => "single",
            RAID0 => "RAID0",
            RAID1 => "RAID1",
            DUP => "DUP",
            RAID10 => "RAID10",
            RAID5 => "RAID5",
            RAID6 => "RAID6",
            RAID1C3 => "RAID1C3",
            RAID1C4 => "RAID1C4",
            _ => "unknown",
        }
    }
}

/// `BLOCK_GROUP_ITEM`: key (start, type, length).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockGroupItem {
    /// Allocated bytes.
    pub used: u64,
    /// [`FIRST_CHUNK_TREE`](super::objectid::FIRST_CHUNK_TREE).
    pub chunk_objectid: u64,
    /// See [`block_group_flags`].
    pub flags: u64,
}

impl BlockGroupItem {
    /// The item in `bytes`.
    ///
    /// # Errors
    /// Not an item of this kind.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BadItem> {
        const WHAT: &str = "block group item";
        let raw: &RawBlockGroupItem = take(WHAT, &mut bytes)?;
        finish(WHAT, bytes)?;
        Ok(Self {
            used: raw.used.get(),
            chunk_objectid: raw.chunk_objectid.get(),
            flags: raw.flags.get(),
        })
    }

    /// Appends its bytes to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let raw = RawBlockGroupItem {
            used: self.used.into(),
            chunk_objectid: self.chunk_objectid.into(),
            flags: self.flags.into(),
        };
        out.extend_from_slice(raw.as_bytes());
    }
}

/// `FREE_SPACE_INFO`: key (start of the block group, type, length).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpaceInfo {
    /// Free ranges of the block group.
    pub extent_count: u32,
    /// Bit 0: they are listed as bitmaps.
    pub flags: u32,
}

impl FreeSpaceInfo {
    /// In [`FreeSpaceInfo::flags`]: listed as bitmaps.
    pub const USING_BITMAPS: u32 = 1;

    /// The item in `bytes`.
    ///
    /// # Errors
    /// Not an item of this kind.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BadItem> {
        const WHAT: &str = "free space info";
        let raw: &RawFreeSpaceInfo = take(WHAT, &mut bytes)?;
        finish(WHAT, bytes)?;
        Ok(Self {
            extent_count: raw.extent_count.get(),
            flags: raw.flags.get(),
        })
    }

    /// Appends its bytes to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let raw = RawFreeSpaceInfo {
            extent_count: self.extent_count.into(),
            flags: self.flags.into(),
        };
        out.extend_from_slice(raw.as_bytes());
    }
}

impl_encode!(BlockGroupItem, FreeSpaceInfo);
