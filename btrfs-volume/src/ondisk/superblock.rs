//! The superblock: where everything starts.

use uuid::Uuid;
use zerocopy::{FromZeros, IntoBytes};

use super::bad_item::BadItem;
use super::chunk::{Chunk, DevItem};
use super::csum;
use super::key::Key;
use super::raw::{RawBackupRoot, RawKey, RawSuperblock, take, uuid};

/// Bytes of a superblock.
pub const SUPER_SIZE: usize = 4096;
/// Where its copies are on the device; those beyond its end are not there.
pub const SUPER_OFFSETS: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];
/// `_BHRfS_M`.
pub const SUPER_MAGIC: u64 = u64::from_le_bytes(*b"_BHRfS_M");
/// Bytes for system chunks.
const SYS_CHUNK_ARRAY_SIZE: usize = 2048;
/// Bytes for the label, the final NUL included.
const LABEL_SIZE: usize = 256;

/// Bits of [`Superblock::incompat_flags`].
#[expect(missing_docs, reason = "the format's own names")]
pub mod incompat {
    pub const MIXED_BACKREF: u64 = 1 << 0;
    pub const DEFAULT_SUBVOL: u64 = 1 << 1;
    pub const MIXED_GROUPS: u64 = 1 << 2;
    pub const COMPRESS_LZO: u64 = 1 << 3;
    pub const COMPRESS_ZSTD: u64 = 1 << 4;
    pub const BIG_METADATA: u64 = 1 << 5;
    pub const EXTENDED_IREF: u64 = 1 << 6;
    pub const RAID56: u64 = 1 << 7;
    pub const SKINNY_METADATA: u64 = 1 << 8;
    pub const NO_HOLES: u64 = 1 << 9;
    pub const METADATA_UUID: u64 = 1 << 10;
    pub const RAID1C34: u64 = 1 << 11;
    pub const ZONED: u64 = 1 << 12;
    pub const EXTENT_TREE_V2: u64 = 1 << 13;
    pub const RAID_STRIPE_TREE: u64 = 1 << 14;
    pub const SIMPLE_QUOTA: u64 = 1 << 16;
    pub const REMAP_TREE: u64 = 1 << 17;
}

/// Bits of [`Superblock::compat_ro_flags`].
#[expect(missing_docs, reason = "the format's own names")]
pub mod compat_ro {
    pub const FREE_SPACE_TREE: u64 = 1 << 0;
    pub const FREE_SPACE_TREE_VALID: u64 = 1 << 1;
    pub const VERITY: u64 = 1 << 2;
    pub const BLOCK_GROUP_TREE: u64 = 1 << 3;
}

/// Where the roots of the trees were in one of the last four transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "named as in the superblock")]
pub struct BackupRoot {
    pub tree_root: u64,
    pub tree_root_generation: u64,
    pub chunk_root: u64,
    pub chunk_root_generation: u64,
    pub extent_root: u64,
    pub extent_root_generation: u64,
    pub fs_root: u64,
    pub fs_root_generation: u64,
    pub dev_root: u64,
    pub dev_root_generation: u64,
    pub csum_root: u64,
    pub csum_root_generation: u64,
    pub total_bytes: u64,
    pub bytes_used: u64,
    pub num_devices: u64,
    pub tree_root_level: u8,
    pub chunk_root_level: u8,
    pub extent_root_level: u8,
    pub fs_root_level: u8,
    pub dev_root_level: u8,
    pub csum_root_level: u8,
}

/// The superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Of the volume, as users see it.
    pub fsid: Uuid,
    /// Offset of this copy on the device.
    pub bytenr: u64,
    /// Bit 0: written; bit 1: relocated.
    pub flags: u64,
    /// The last transaction.
    pub generation: u64,
    /// Logical address of the root tree's root.
    pub root: u64,
    /// Logical address of the chunk tree's root.
    pub chunk_root: u64,
    /// Logical address of the log tree's root; 0: none.
    pub log_root: u64,
    /// 0.
    pub log_root_transid: u64,
    /// Bytes of all devices.
    pub total_bytes: u64,
    /// Allocated bytes.
    pub bytes_used: u64,
    /// [`ROOT_TREE_DIR`](super::objectid::ROOT_TREE_DIR).
    pub root_dir_objectid: u64,
    /// Devices of the volume.
    pub num_devices: u64,
    /// Unit of data, in bytes.
    pub sectorsize: u32,
    /// Bytes of a node.
    pub nodesize: u32,
    /// `nodesize` again.
    pub leafsize: u32,
    /// The sector size.
    pub stripesize: u32,
    /// Transaction that wrote the chunk tree's root.
    pub chunk_root_generation: u64,
    /// Features that nobody needs to know.
    pub compat_flags: u64,
    /// Features that a writer must know; see [`compat_ro`].
    pub compat_ro_flags: u64,
    /// Features that everybody must know; see [`incompat`].
    pub incompat_flags: u64,
    /// 0: crc32c.
    pub csum_type: u16,
    /// Level of the root tree's root.
    pub root_level: u8,
    /// Level of the chunk tree's root.
    pub chunk_root_level: u8,
    /// Level of the log tree's root.
    pub log_root_level: u8,
    /// This device.
    pub dev_item: DevItem,
    /// At most 255 bytes, without NUL.
    pub label: Vec<u8>,
    /// Of the free space cache; `u64::MAX` or 0: none.
    pub cache_generation: u64,
    /// Transaction that left the UUID tree complete.
    pub uuid_tree_generation: u64,
    /// Of the volume, as the nodes carry it, with [`incompat::METADATA_UUID`].
    pub metadata_uuid: Uuid,
    /// Of extent tree v2; 0.
    pub nr_global_roots: u64,
    /// The packed array of keys and chunks that lead to the chunk tree; at most 2048 bytes.
    pub sys_chunk_array: Vec<u8>,
    /// Older roots.
    pub backup_roots: [BackupRoot; 4],
}

impl Superblock {
    const WHAT: &str = "superblock";

    /// The superblock in `bytes`. The checksum is the caller's to check.
    ///
    /// # Errors
    /// Not a superblock.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BadItem> {
        let raw: &RawSuperblock = take(Self::WHAT, &mut bytes)?;
        if raw.magic.get() != SUPER_MAGIC {
            return Err(BadItem::Field {
                what: Self::WHAT,
                field: "magic",
                found: raw.magic.get(),
                expected: "_BHRfS_M",
            });
        }
        let array_size = raw.sys_chunk_array_size.get();
        let sys_chunk_array = usize::try_from(array_size)
            .ok()
            .and_then(|size| raw.sys_chunk_array.get(..size))
            .ok_or(BadItem::Field {
                what: Self::WHAT,
                field: "size of the system chunk array",
                found: array_size.into(),
                expected: "at most 2048",
            })?
            .to_vec();
        let label = raw.label.split(|&b| b == 0).next().unwrap_or_default();
        Ok(Self {
            fsid: uuid(raw.fsid),
            bytenr: raw.bytenr.get(),
            flags: raw.flags.get(),
            generation: raw.generation.get(),
            root: raw.root.get(),
            chunk_root: raw.chunk_root.get(),
            log_root: raw.log_root.get(),
            log_root_transid: raw.log_root_transid.get(),
            total_bytes: raw.total_bytes.get(),
            bytes_used: raw.bytes_used.get(),
            root_dir_objectid: raw.root_dir_objectid.get(),
            num_devices: raw.num_devices.get(),
            sectorsize: raw.sectorsize.get(),
            nodesize: raw.nodesize.get(),
            leafsize: raw.leafsize.get(),
            stripesize: raw.stripesize.get(),
            chunk_root_generation: raw.chunk_root_generation.get(),
            compat_flags: raw.compat_flags.get(),
            compat_ro_flags: raw.compat_ro_flags.get(),
            incompat_flags: raw.incompat_flags.get(),
            csum_type: raw.csum_type.get(),
            root_level: raw.root_level,
            chunk_root_level: raw.chunk_root_level,
            log_root_level: raw.log_root_level,
            dev_item: DevItem::from_raw(&raw.dev_item),
            label: label.to_vec(),
            cache_generation: raw.cache_generation.get(),
            uuid_tree_generation: raw.uuid_tree_generation.get(),
            metadata_uuid: uuid(raw.metadata_uuid),
            nr_global_roots: raw.nr_global_roots.get(),
            sys_chunk_array,
            backup_roots: raw.backup_roots.each_ref().map(BackupRoot::from_raw),
        })
    }

    /// The [`SUPER_SIZE`] bytes of the copy at `self.bytenr`, with checksum. What does not fit
    /// (a label of more than 255 bytes, more than 2048 bytes of system chunks) is cut.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut raw = RawSuperblock::new_zeroed();
        raw.fsid = self.fsid.into_bytes();
        raw.bytenr = self.bytenr.into();
        raw.flags = self.flags.into();
        raw.magic = SUPER_MAGIC.into();
        raw.generation = self.generation.into();
        raw.root = self.root.into();
        raw.chunk_root = self.chunk_root.into();
        raw.log_root = self.log_root.into();
        raw.log_root_transid = self.log_root_transid.into();
        raw.total_bytes = self.total_bytes.into();
        raw.bytes_used = self.bytes_used.into();
        raw.root_dir_objectid = self.root_dir_objectid.into();
        raw.num_devices = self.num_devices.into();
        raw.sectorsize = self.sectorsize.into();
        raw.nodesize = self.nodesize.into();
        raw.leafsize = self.leafsize.into();
        raw.stripesize = self.stripesize.into();
        raw.chunk_root_generation = self.chunk_root_generation.into();
        raw.compat_flags = self.compat_flags.into();
        raw.compat_ro_flags = self.compat_ro_flags.into();
        raw.incompat_flags = self.incompat_flags.into();
        raw.csum_type = self.csum_type.into();
        raw.root_level = self.root_level;
        raw.chunk_root_level = self.chunk_root_level;
        raw.log_root_level = self.log_root_level;
        raw.dev_item = self.dev_item.to_raw();
        let label = &self.label[..self.label.len().min(LABEL_SIZE - 1)];
        raw.label[..label.len()].copy_from_slice(label);
        raw.cache_generation = self.cache_generation.into();
        raw.uuid_tree_generation = self.uuid_tree_generation.into();
        raw.metadata_uuid = self.metadata_uuid.into_bytes();
        raw.nr_global_roots = self.nr_global_roots.into();
        let size = self.sys_chunk_array.len().min(SYS_CHUNK_ARRAY_SIZE);
        raw.sys_chunk_array[..size].copy_from_slice(&self.sys_chunk_array[..size]);
        raw.sys_chunk_array_size = (size as u32).into();
        raw.backup_roots = self.backup_roots.map(BackupRoot::to_raw);
        let mut bytes = raw.as_bytes().to_vec();
        csum::seal(&mut bytes);
        bytes
    }

    /// The UUID that the nodes carry.
    #[must_use]
    pub fn node_fsid(&self) -> Uuid {
        if self.incompat_flags & incompat::METADATA_UUID != 0 {
            self.metadata_uuid
        } else {
            self.fsid
        }
    }

    /// The chunks of [`Superblock::sys_chunk_array`] with their keys.
    ///
    /// # Errors
    /// The array is not made of keys and chunks.
    pub fn sys_chunks(&self) -> Result<Vec<(Key, Chunk)>, BadItem> {
        let mut rest: &[u8] = &self.sys_chunk_array;
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let key: &RawKey = take("system chunk array", &mut rest)?;
            chunks.push(((*key).into(), Chunk::decode_prefix(&mut rest)?));
        }
        Ok(chunks)
    }

    /// Packs `chunks` as [`Superblock::sys_chunk_array`] holds them.
    #[must_use]
    pub fn pack_sys_chunks(chunks: &[(Key, Chunk)]) -> Vec<u8> {
        let mut array = Vec::new();
        for (key, chunk) in chunks {
            array.extend_from_slice(RawKey::from(*key).as_bytes());
            chunk.encode_into(&mut array);
        }
        array
    }
}

impl BackupRoot {
    fn from_raw(raw: &RawBackupRoot) -> Self {
        Self {
            tree_root: raw.tree_root.get(),
            tree_root_generation: raw.tree_root_generation.get(),
            chunk_root: raw.chunk_root.get(),
            chunk_root_generation: raw.chunk_root_generation.get(),
            extent_root: raw.extent_root.get(),
            extent_root_generation: raw.extent_root_generation.get(),
            fs_root: raw.fs_root.get(),
            fs_root_generation: raw.fs_root_generation.get(),
            dev_root: raw.dev_root.get(),
            dev_root_generation: raw.dev_root_generation.get(),
            csum_root: raw.csum_root.get(),
            csum_root_generation: raw.csum_root_generation.get(),
            total_bytes: raw.total_bytes.get(),
            bytes_used: raw.bytes_used.get(),
            num_devices: raw.num_devices.get(),
            tree_root_level: raw.tree_root_level,
            chunk_root_level: raw.chunk_root_level,
            extent_root_level: raw.extent_root_level,
            fs_root_level: raw.fs_root_level,
            dev_root_level: raw.dev_root_level,
            csum_root_level: raw.csum_root_level,
        }
    }

    fn to_raw(self) -> RawBackupRoot {
        RawBackupRoot {
            tree_root: self.tree_root.into(),
            tree_root_generation: self.tree_root_generation.into(),
            chunk_root: self.chunk_root.into(),
            chunk_root_generation: self.chunk_root_generation.into(),
            extent_root: self.extent_root.into(),
            extent_root_generation: self.extent_root_generation.into(),
            fs_root: self.fs_root.into(),
            fs_root_generation: self.fs_root_generation.into(),
            dev_root: self.dev_root.into(),
            dev_root_generation: self.dev_root_generation.into(),
            csum_root: self.csum_root.into(),
            csum_root_generation: self.csum_root_generation.into(),
            total_bytes: self.total_bytes.into(),
            bytes_used: self.bytes_used.into(),
            num_devices: self.num_devices.into(),
            unused: Default::default(),
            tree_root_level: self.tree_root_level,
            chunk_root_level: self.chunk_root_level,
            extent_root_level: self.extent_root_level,
            fs_root_level: self.fs_root_level,
            dev_root_level: self.dev_root_level,
            csum_root_level: self.csum_root_level,
            unused_8: [0; 10],
        }
    }
}
