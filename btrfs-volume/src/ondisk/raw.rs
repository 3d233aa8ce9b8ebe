//! The fixed structs as they lie on disk, and how bytes become them.

use uuid::Uuid;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::bad_item::BadItem;
use super::key::Key;

/// Takes a `T` off the front of `bytes`.
pub(super) fn take<'a, T: FromBytes + KnownLayout + Immutable + Unaligned>(
    what: &'static str,
    bytes: &mut &'a [u8],
) -> Result<&'a T, BadItem> {
    let (value, rest) = T::ref_from_prefix(bytes).map_err(|_| BadItem::Short {
        what,
        need: size_of::<T>(),
        have: bytes.len(),
    })?;
    *bytes = rest;
    Ok(value)
}

/// Takes `len` bytes off the front of `bytes`.
pub(super) fn take_bytes<'a>(
    what: &'static str,
    bytes: &mut &'a [u8],
    len: usize,
) -> Result<&'a [u8], BadItem> {
    let (value, rest) = bytes.split_at_checked(len).ok_or(BadItem::Short {
        what,
        need: len,
        have: bytes.len(),
    })?;
    *bytes = rest;
    Ok(value)
}

/// Nothing may be left.
pub(super) fn finish(what: &'static str, bytes: &[u8]) -> Result<(), BadItem> {
    match bytes.len() {
        0 => Ok(()),
        extra => Err(BadItem::Trailing { what, extra }),
    }
}

macro_rules! on_disk {
    ($($(#[$meta:meta])* struct $name:ident [$size:literal] { $($field:ident: $ty:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
        #[repr(C)]
        pub(crate) struct $name { $(pub(crate) $field: $ty,)* }
        const _: () = assert!(size_of::<$name>() == $size);
    )*};
}

on_disk! {
    struct RawKey[17] {
        objectid: U64,
        item_type: u8,
        offset: U64,
    }
    struct RawTimespec[12] {
        secs: U64,
        nanos: U32,
    }
    struct RawDevItem[98] {
        devid: U64,
        total_bytes: U64,
        bytes_used: U64,
        io_align: U32,
        io_width: U32,
        sector_size: U32,
        dev_type: U64,
        generation: U64,
        start_offset: U64,
        dev_group: U32,
        seek_speed: u8,
        bandwidth: u8,
        uuid: [u8; 16],
        fsid: [u8; 16],
    }
    struct RawChunk[48] {
        length: U64,
        owner: U64,
        stripe_len: U64,
        flags: U64,
        io_align: U32,
        io_width: U32,
        sector_size: U32,
        num_stripes: U16,
        sub_stripes: U16,
    }
    struct RawStripe[32] {
        devid: U64,
        offset: U64,
        dev_uuid: [u8; 16],
    }
    struct RawDevExtent[48] {
        chunk_tree: U64,
        chunk_objectid: U64,
        chunk_offset: U64,
        length: U64,
        chunk_tree_uuid: [u8; 16],
    }
    struct RawBackupRoot[168] {
        tree_root: U64,
        tree_root_generation: U64,
        chunk_root: U64,
        chunk_root_generation: U64,
        extent_root: U64,
        extent_root_generation: U64,
        fs_root: U64,
        fs_root_generation: U64,
        dev_root: U64,
        dev_root_generation: U64,
        csum_root: U64,
        csum_root_generation: U64,
        total_bytes: U64,
        bytes_used: U64,
        num_devices: U64,
        unused: [U64; 4],
        tree_root_level: u8,
        chunk_root_level: u8,
        extent_root_level: u8,
        fs_root_level: u8,
        dev_root_level: u8,
        csum_root_level: u8,
        unused_8: [u8; 10],
    }
    struct RawSuperblock[4096] {
        csum: [u8; 32],
        fsid: [u8; 16],
        bytenr: U64,
        flags: U64,
        magic: U64,
        generation: U64,
        root: U64,
        chunk_root: U64,
        log_root: U64,
        log_root_transid: U64,
        total_bytes: U64,
        bytes_used: U64,
        root_dir_objectid: U64,
        num_devices: U64,
        sectorsize: U32,
        nodesize: U32,
        leafsize: U32,
        stripesize: U32,
        sys_chunk_array_size: U32,
        chunk_root_generation: U64,
        compat_flags: U64,
        compat_ro_flags: U64,
        incompat_flags: U64,
        csum_type: U16,
        root_level: u8,
        chunk_root_level: u8,
        log_root_level: u8,
        dev_item: RawDevItem,
        label: [u8; 256],
        cache_generation: U64,
        uuid_tree_generation: U64,
        metadata_uuid: [u8; 16],
        nr_global_roots: U64,
        reserved: [U64; 27],
        sys_chunk_array: [u8; 2048],
        backup_roots: [RawBackupRoot; 4],
        padding: [u8; 565],
    }
    struct RawInodeItem[160] {
        generation: U64,
        transid: U64,
        size: U64,
        nbytes: U64,
        block_group: U64,
        nlink: U32,
        uid: U32,
        gid: U32,
        mode: U32,
        rdev: U64,
        flags: U64,
        sequence: U64,
        reserved: [U64; 4],
        atime: RawTimespec,
        ctime: RawTimespec,
        mtime: RawTimespec,
        otime: RawTimespec,
    }
    struct RawRootItem[239] {
        inode: RawInodeItem,
        generation: U64,
        root_dirid: U64,
        bytenr: U64,
        byte_limit: U64,
        bytes_used: U64,
        last_snapshot: U64,
        flags: U64,
        refs: U32,
        drop_progress: RawKey,
        drop_level: u8,
        level: u8,
    }
    struct RawRootItemV2[200] {
        generation_v2: U64,
        uuid: [u8; 16],
        parent_uuid: [u8; 16],
        received_uuid: [u8; 16],
        ctransid: U64,
        otransid: U64,
        stransid: U64,
        rtransid: U64,
        ctime: RawTimespec,
        otime: RawTimespec,
        stime: RawTimespec,
        rtime: RawTimespec,
        reserved: [U64; 8],
    }
    struct RawRootRef[18] {
        dirid: U64,
        sequence: U64,
        name_len: U16,
    }
    struct RawInodeRef[10] {
        index: U64,
        name_len: U16,
    }
    struct RawInodeExtref[18] {
        parent: U64,
        index: U64,
        name_len: U16,
    }
    struct RawDirItem[30] {
        location: RawKey,
        transid: U64,
        data_len: U16,
        name_len: U16,
        dir_type: u8,
    }
    struct RawFileExtent[21] {
        generation: U64,
        ram_bytes: U64,
        compression: u8,
        encryption: u8,
        other_encoding: U16,
        extent_type: u8,
    }
    struct RawFileExtentDisk[32] {
        disk_bytenr: U64,
        disk_num_bytes: U64,
        offset: U64,
        num_bytes: U64,
    }
    struct RawExtentItem[24] {
        refs: U64,
        generation: U64,
        flags: U64,
    }
    struct RawTreeBlockInfo[18] {
        key: RawKey,
        level: u8,
    }
    struct RawExtentDataRef[28] {
        root: U64,
        objectid: U64,
        offset: U64,
        count: U32,
    }
    struct RawBlockGroupItem[24] {
        used: U64,
        chunk_objectid: U64,
        flags: U64,
    }
    struct RawFreeSpaceInfo[8] {
        extent_count: U32,
        flags: U32,
    }
}

impl From<RawKey> for Key {
    fn from(raw: RawKey) -> Self {
        Self::new(raw.objectid.get(), raw.item_type, raw.offset.get())
    }
}

impl From<Key> for RawKey {
    fn from(key: Key) -> Self {
        Self {
            objectid: key.objectid.into(),
            item_type: key.item_type,
            offset: key.offset.into(),
        }
    }
}

/// A UUID as it lies on disk.
pub(crate) fn uuid(bytes: [u8; 16]) -> Uuid {
    Uuid::from_bytes(bytes)
}

/// `encode` on top of `encode_into`.
macro_rules! impl_encode {
    ($($ty:ty),* $(,)?) => {$(
        impl $ty {
            /// The bytes of this alone.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                let mut out = Vec::new();
                self.encode_into(&mut out);
                out
            }
        }
    )*};
}
pub(super) use impl_encode;
