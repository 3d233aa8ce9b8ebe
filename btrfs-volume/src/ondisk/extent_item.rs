//! Allocated extents and their back references.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use super::bad_item::BadItem;
use super::item_type;
use super::key::Key;
use super::raw::{RawExtentDataRef, RawExtentItem, RawTreeBlockInfo, finish, impl_encode, take};

/// Bits of [`ExtentItem::flags`].
pub mod extent_flags {
    /// It holds data.
    pub const DATA: u64 = 1 << 0;
    /// It is a node.
    pub const TREE_BLOCK: u64 = 1 << 1;
    /// Its children's back references name this node instead of a tree.
    pub const FULL_BACKREF: u64 = 1 << 8;
}

/// `EXTENT_DATA_REF`: which file items refer to a data extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtentData {
    /// The subvolume's tree.
    pub root: u64,
    /// The inode.
    pub objectid: u64,
    /// Offset in the file at which the extent itself would start (may wrap below 0).
    pub offset: u64,
    /// Items that do so.
    pub count: u32,
}

/// `SHARED_DATA_REF`: which leaf's file items refer to a data extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedDataRef {
    /// Logical address of the leaf.
    pub parent: u64,
    /// Items that do so.
    pub count: u32,
}

/// A back reference inside an extent item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InlineRef {
    /// Of a node: the tree.
    TreeBlock {
        /// The tree.
        root: u64,
    },
    /// Of a node: the parent's logical address.
    SharedBlock {
        /// The parent.
        parent: u64,
    },
    /// Of data: the file.
    ExtentData(ExtentData),
    /// Of data: the leaf.
    SharedData(SharedDataRef),
    /// Of data, with simple quotas: who allocated it.
    Owner {
        /// The subvolume's tree.
        root: u64,
    },
}

/// `EXTENT_ITEM`: key (first byte, type, length); or `METADATA_ITEM`: key (first byte, type,
/// level).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtentItem {
    /// Back references, inline or not.
    pub refs: u64,
    /// Transaction that allocated it.
    pub generation: u64,
    /// See [`extent_flags`].
    pub flags: u64,
    /// First key and level of a node in an `EXTENT_ITEM`; `None` otherwise.
    pub tree_block: Option<(Key, u8)>,
    /// Those back references that fit.
    pub inline_refs: Vec<InlineRef>,
}

impl ExtentItem {
    const WHAT: &str = "extent item";

    /// The item in `bytes`; `kind` is the item type of its key.
    ///
    /// # Errors
    /// Not an item of this kind.
    pub fn decode(kind: u8, mut bytes: &[u8]) -> Result<Self, BadItem> {
        let raw: &RawExtentItem = take(Self::WHAT, &mut bytes)?;
        let flags = raw.flags.get();
        let has_info = kind == item_type::EXTENT_ITEM && flags & extent_flags::TREE_BLOCK != 0;
        let tree_block = if has_info {
            let info: &RawTreeBlockInfo = take(Self::WHAT, &mut bytes)?;
            Some((info.key.into(), info.level))
        } else {
            None
        };
        let mut inline_refs = Vec::new();
        while !bytes.is_empty() {
            inline_refs.push(InlineRef::decode_prefix(&mut bytes)?);
        }
        Ok(Self {
            refs: raw.refs.get(),
            generation: raw.generation.get(),
            flags,
            tree_block,
            inline_refs,
        })
    }

    /// Appends its bytes to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let raw = RawExtentItem {
            refs: self.refs.into(),
            generation: self.generation.into(),
            flags: self.flags.into(),
        };
        out.extend_from_slice(raw.as_bytes());
        if let Some((key, level)) = self.tree_block {
            let raw = RawTreeBlockInfo {
                key: key.into(),
                level,
            };
            out.extend_from_slice(raw.as_bytes());
        }
        for inline_ref in &self.inline_refs {
            inline_ref.encode_into(out);
        }
    }
}

impl InlineRef {
    /// The item type that names this kind of reference.
    #[must_use]
    pub fn item_type(&self) -> u8 {
        match self {
            Self::TreeBlock { .. } => item_type::TREE_BLOCK_REF,
            Self::SharedBlock { .. } => item_type::SHARED_BLOCK_REF,
            Self::ExtentData(_) => item_type::EXTENT_DATA_REF,
            Self::SharedData(_) => item_type::SHARED_DATA_REF,
            Self::Owner { .. } => item_type::EXTENT_OWNER_REF,
        }
    }

    fn decode_prefix(bytes: &mut &[u8]) -> Result<Self, BadItem> {
        const WHAT: &str = "inline back reference";
        let kind = *take::<u8>(WHAT, bytes)?;
        Ok(match kind {
            item_type::TREE_BLOCK_REF => Self::TreeBlock {
                root: take::<U64>(WHAT, bytes)?.get(),
            },
            item_type::SHARED_BLOCK_REF => Self::SharedBlock {
                parent: take::<U64>(WHAT, bytes)?.get(),
            },
            item_type::EXTENT_DATA_REF => Self::ExtentData(ExtentData::decode_prefix(bytes)?),
            item_type::SHARED_DATA_REF => Self::SharedData(SharedDataRef {
                parent: take::<U64>(WHAT, bytes)?.get(),
                count: take::<U32>(WHAT, bytes)?.get(),
            }),
            item_type::EXTENT_OWNER_REF => Self::Owner {
                root: take::<U64>(WHAT, bytes)?.get(),
            },
            other => {
                return Err(BadItem::Field {
                    what: WHAT,
                    field: "type",
                    found: other.into(),
                    expected: "the type of a back reference",
                });
            }
        })
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(self.item_type());
        match self {
            Self::TreeBlock { root } | Self::Owner { root } => {
                out.extend_from_slice(&root.to_le_bytes());
            }
            Self::SharedBlock { parent } => out.extend_from_slice(&parent.to_le_bytes()),
            Self::ExtentData(data) => data.encode_into(out),
            Self::SharedData(shared) => {
                out.extend_from_slice(&shared.parent.to_le_bytes());
                out.extend_from_slice(&shared.count.to_le_bytes());
            }
        }
    }
}

impl ExtentData {
    /// The item in `bytes`, when it is not inline: key (extent, type,
    /// [`extent_data_ref_hash`](super::hash::extent_data_ref_hash)).
    ///
    /// # Errors
    /// Not an item of this kind.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BadItem> {
        let item = Self::decode_prefix(&mut bytes)?;
        finish("data back reference", bytes)?;
        Ok(item)
    }

    fn decode_prefix(bytes: &mut &[u8]) -> Result<Self, BadItem> {
        let raw: &RawExtentDataRef = take("data back reference", bytes)?;
        Ok(Self {
            root: raw.root.get(),
            objectid: raw.objectid.get(),
            offset: raw.offset.get(),
            count: raw.count.get(),
        })
    }

    /// Appends its bytes to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let raw = RawExtentDataRef {
            root: self.root.into(),
            objectid: self.objectid.into(),
            offset: self.offset.into(),
            count: self.count.into(),
        };
        out.extend_from_slice(raw.as_bytes());
    }
}

impl_encode!(ExtentItem, ExtentData);
