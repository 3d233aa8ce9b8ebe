//! A volume as a whole, for `info`.

use uuid::Uuid;

use crate::error::{InItem, Result};
use crate::features;
use crate::items::Items;
use crate::ondisk::objectid::{BLOCK_GROUP_TREE, EXTENT_TREE};
use crate::ondisk::{BlockGroupItem, Key, Superblock, compat_ro, item_type};
use crate::reader::BlockGroupUsage;
use crate::volume::Committed;

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its label.
    pub label: Vec<u8>,
    /// Its UUID.
    pub fsid: Uuid,
    /// The UUID of its nodes, if it is another one.
    pub metadata_uuid: Option<Uuid>,
    /// Bytes of the device.
    pub total_bytes: u64,
    /// Allocated bytes, each copy counted once.
    pub bytes_used: u64,
    /// Bytes of a sector.
    pub sectorsize: u32,
    /// Bytes of a node.
    pub nodesize: u32,
    /// The last transaction.
    pub generation: u64,
    /// Name of the checksum.
    pub checksum: String,
    /// Names of its features.
    pub features: Vec<String>,
    /// Whether it has a log tree, which is ignored.
    pub has_log: bool,
    /// How full the block groups are, by kind.
    pub block_groups: Vec<BlockGroupUsage>,
}

impl Committed {
    /// What the volume is.
    ///
    /// # Errors
    /// The block groups cannot be read.
    pub fn info(&self) -> Result<Info> {
        let superblock: &Superblock = self.superblock();
        let node_fsid = superblock.node_fsid();
        Ok(Info {
            label: superblock.label.clone(),
            fsid: superblock.fsid,
            metadata_uuid: (node_fsid != superblock.fsid).then_some(node_fsid),
            total_bytes: superblock.total_bytes,
            bytes_used: superblock.bytes_used,
            sectorsize: superblock.sectorsize,
            nodesize: superblock.nodesize,
            generation: superblock.generation,
            checksum: features::csum_name(superblock.csum_type),
            features: features::names(superblock),
            has_log: superblock.log_root != 0,
            block_groups: self.block_groups()?,
        })
    }

    /// How full the block groups are, by kind, in the order of the flags.
    fn block_groups(&self) -> Result<Vec<BlockGroupUsage>> {
        let own_tree = self.superblock().compat_ro_flags & compat_ro::BLOCK_GROUP_TREE != 0;
        let tree = if own_tree {
            BLOCK_GROUP_TREE
        } else {
            EXTENT_TREE
        };
        let mut kinds: Vec<BlockGroupUsage> = Vec::new();
        for (start, chunk) in self.storage().chunks().iter() {
            let key = Key::new(start.0, item_type::BLOCK_GROUP_ITEM, chunk.length);
            let Some(data) = self.get(tree, &key)? else {
                continue;
            };
            let item = BlockGroupItem::decode(&data).in_item(tree, key)?;
            let at = kinds
                .binary_search_by_key(&item.flags, |kind| kind.flags)
                .unwrap_or_else(|at| {
                    let empty = BlockGroupUsage {
                        flags: item.flags,
                        total_bytes: 0,
                        used_bytes: 0,
                    };
                    kinds.insert(at, empty);
                    at
                });
            let kind = &mut kinds[at];
            kind.total_bytes = kind.total_bytes.saturating_add(chunk.length);
            kind.used_bytes = kind.used_bytes.saturating_add(item.used);
        }
        Ok(kinds)
    }
}
