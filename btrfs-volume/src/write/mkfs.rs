//! Making a volume.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use super::arena::Arena;
use super::btree::{Body, NodeStore};
use super::engine::Engine;
use super::inodes::Inodes;
use super::space::{Kind, Space};
use super::state::{State, Tree};
use crate::device::BlockDevice;
use crate::error::{Error, Result};
use crate::ondisk::hash::name_hash;
use crate::ondisk::objectid::{
    CHUNK_TREE, CSUM_TREE, DATA_RELOC_TREE, DEV_STATS, DEV_TREE, EXTENT_TREE, FIRST_FREE,
    FREE_SPACE_TREE, FS_TREE, ROOT_TREE, ROOT_TREE_DIR, UUID_TREE,
};
use crate::ondisk::{
    BackupRoot, DevItem, DirItem, InodeItem, InodeRef, Key, RootItem, SUPER_OFFSETS, Superblock,
    Timespec, block_group_flags, compat_ro, dir_type, incompat, item_type,
};
use crate::storage::{Geometry, Storage};
use crate::sync::Arc;
use crate::tree::Root;

/// How many copies of the metadata there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataProfile {
    /// One.
    Single,
    /// Two, on the one device.
    Dup,
}

/// How to make a volume.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MkfsOptions {
    /// Size in bytes. `None`: the device grows as chunks are allocated, until
    /// [`Volume::finish_growth`](crate::Volume::finish_growth).
    pub size: Option<u64>,
    /// At most 255 bytes, without NUL.
    pub label: Vec<u8>,
    /// All other UUIDs derive from it. `None`: they are random.
    pub uuid: Option<Uuid>,
    /// Default: [`MetadataProfile::Dup`].
    pub metadata: MetadataProfile,
    /// When everything that is made here says that it was made. Default: 1970.
    pub time: Timespec,
    /// Most bytes of nodes to keep in memory. Default: 16 MiB.
    pub cache_bytes: usize,
}

impl Default for MkfsOptions {
    fn default() -> Self {
        Self {
            size: None,
            label: Vec::new(),
            uuid: None,
            metadata: MetadataProfile::Dup,
            time: Timespec::default(),
            cache_bytes: 16 << 20,
        }
    }
}

const SECTORSIZE: u32 = 4096;
const NODESIZE: u32 = 16384;
const TREES: [u64; 9] = [
    ROOT_TREE,
    EXTENT_TREE,
    CHUNK_TREE,
    DEV_TREE,
    FS_TREE,
    CSUM_TREE,
    UUID_TREE,
    FREE_SPACE_TREE,
    DATA_RELOC_TREE,
];

/// A new volume as a transaction that was not committed yet.
pub(crate) fn start(device: Arc<dyn BlockDevice>, options: &MkfsOptions) -> Result<State> {
    check(options)?;
    let fsid = options.uuid.unwrap_or_else(Uuid::new_v4);
    let derived = |what: &str| match options.uuid {
        Some(uuid) => derive(uuid, what),
        None => Uuid::new_v4(),
    };
    let dev_uuid = derived("device");
    let geometry = Geometry {
        sectorsize: SECTORSIZE,
        nodesize: NODESIZE,
        node_fsid: fsid,
        devid: 1,
    };
    wipe(&*device, options.size)?;
    let storage = Arc::new(Storage::new(device, geometry, options.cache_bytes));
    let profile = match options.metadata {
        MetadataProfile::Single => 0,
        MetadataProfile::Dup => block_group_flags::DUP,
    };
    let size = options.size.map(|size| size / 4096 * 4096);
    let mut space = Space::new(Arc::clone(&storage), size, dev_uuid, profile);
    space.add_chunk(Kind::System, 0)?;
    space.add_chunk(Kind::Metadata, 0)?;
    space.add_chunk(Kind::Data, 0)?;
    let engine = Engine::new(storage, space, 1, derived("chunk tree"));
    let superblock = superblock(fsid, dev_uuid, options);
    let mut state = State {
        committed: None,
        engine,
        trees: BTreeMap::new(),
        overlays: BTreeMap::new(),
        inodes: Inodes::default(),
        superblock,
        failed: None,
        pending_bytes: 0,
        room_checked_at: None,
        scattered: 0,
        arena: Arena::default(),
        scratch: Vec::new(),
    };
    for tree in TREES {
        let uuid = if tree == FS_TREE {
            derived("top level subvolume")
        } else {
            Uuid::nil()
        };
        add_tree(&mut state, tree, uuid, options.time)?;
    }
    Ok(state)
}

fn check(options: &MkfsOptions) -> Result<()> {
    if options.label.len() > 255 || options.label.contains(&0) || options.label.contains(&b'\n') {
        return Err(Error::Invalid {
            what: "label",
            problem: "it may have at most 255 bytes, without NUL and newline".into(),
        });
    }
    if options.uuid.is_some_and(|uuid| uuid.is_nil()) {
        return Err(Error::Invalid {
            what: "UUID",
            problem: "it may not be nil".into(),
        });
    }
    if let Some(size) = options.size
        && size < Space::smallest()
    {
        return Err(Error::Invalid {
            what: "size",
            problem: format!(
                "{size} bytes, but at least {} are needed",
                Space::smallest()
            ),
        });
    }
    Ok(())
}

/// Whatever was on the device must not look like a volume any more, ours least of all.
fn wipe(device: &dyn BlockDevice, size: Option<u64>) -> Result<()> {
    let failed = |source| Error::Io {
        op: "write",
        offset: 0,
        len: 0,
        source,
    };
    if let Some(size) = size
        && device.size().map_err(failed)? < size
    {
        device.set_size(size).map_err(failed)?;
    }
    let end = device.size().map_err(failed)?;
    let zeros = [0; 4096];
    for at in SUPER_OFFSETS {
        if at + 4096 <= end {
            device
                .write_vectored_at(at, &[std::io::IoSlice::new(&zeros)])
                .map_err(failed)?;
        }
    }
    Ok(())
}

fn superblock(fsid: Uuid, dev_uuid: Uuid, options: &MkfsOptions) -> Superblock {
    Superblock {
        fsid,
        bytenr: SUPER_OFFSETS[0],
        flags: 1,
        generation: 0,
        root: 0,
        chunk_root: 0,
        log_root: 0,
        log_root_transid: 0,
        total_bytes: 0,
        bytes_used: 0,
        root_dir_objectid: ROOT_TREE_DIR,
        num_devices: 1,
        sectorsize: SECTORSIZE,
        nodesize: NODESIZE,
        leafsize: NODESIZE,
        stripesize: SECTORSIZE,
        chunk_root_generation: 0,
        compat_flags: 0,
        compat_ro_flags: compat_ro::FREE_SPACE_TREE | compat_ro::FREE_SPACE_TREE_VALID,
        incompat_flags: incompat::MIXED_BACKREF
            | incompat::BIG_METADATA
            | incompat::EXTENDED_IREF
            | incompat::SKINNY_METADATA
            | incompat::NO_HOLES,
        csum_type: 0,
        root_level: 0,
        chunk_root_level: 0,
        log_root_level: 0,
        dev_item: DevItem {
            devid: 1,
            io_align: SECTORSIZE,
            io_width: SECTORSIZE,
            sector_size: SECTORSIZE,
            uuid: dev_uuid,
            fsid,
            ..DevItem::default()
        },
        label: options.label.clone(),
        cache_generation: 0,
        uuid_tree_generation: 0,
        metadata_uuid: Uuid::nil(),
        nr_global_roots: 0,
        sys_chunk_array: Vec::new(),
        backup_roots: [BackupRoot::default(); 4],
    }
}

/// An empty tree, with a root directory where it holds files.
fn add_tree(state: &mut State, tree: u64, uuid: Uuid, time: Timespec) -> Result<()> {
    let transid = state.engine.transid;
    let bytenr = state.engine.allocate(tree, 0)?;
    state.engine.store(tree, bytenr, 0, Body::Leaf(Vec::new()));
    let has_files = matches!(tree, FS_TREE | DATA_RELOC_TREE);
    let item = RootItem {
        inode: InodeItem {
            generation: 1,
            size: 3,
            nbytes: NODESIZE.into(),
            nlink: 1,
            mode: 0o040_755,
            flags: if tree == FS_TREE {
                crate::ondisk::inode_flags::ROOT_ITEM_INIT
            } else {
                0
            },
            ..InodeItem::default()
        },
        root_dirid: if has_files { FIRST_FREE } else { 0 },
        refs: 1,
        uuid,
        ctime: if has_files { time } else { Timespec::default() },
        otime: if has_files { time } else { Timespec::default() },
        ..RootItem::default()
    };
    let root = Root {
        tree,
        bytenr,
        generation: transid,
        level: 0,
    };
    state.trees.insert(
        tree,
        Tree {
            root,
            item,
            next_ino: None,
        },
    );
    if has_files {
        add_directory(state, tree, FIRST_FREE, time);
    }
    match tree {
        ROOT_TREE => {
            add_directory(state, tree, ROOT_TREE_DIR, time);
            let entry = DirItem {
                location: Key::new(FS_TREE, item_type::ROOT_ITEM, u64::MAX),
                transid,
                dir_type: dir_type::DIR,
                name: Bytes::from_static(b"default"),
                data: Bytes::new(),
            };
            let hash = name_hash(b"default");
            let key = Key::new(ROOT_TREE_DIR, item_type::DIR_ITEM, hash);
            state.put(tree, key, entry.encode());
        }
        FS_TREE => {
            let (high, low) = uuid_halves(uuid);
            let key = Key::new(high, item_type::UUID_SUBVOL, low);
            state.put(UUID_TREE, key, FS_TREE.to_le_bytes().to_vec());
        }
        DEV_TREE => {
            let key = Key::new(DEV_STATS, item_type::PERSISTENT_ITEM, 1);
            state.put(tree, key, vec![0; 40]);
        }
        _ => {}
    }
    Ok(())
}

fn add_directory(state: &mut State, tree: u64, ino: u64, time: Timespec) {
    let item = InodeItem {
        generation: state.engine.transid,
        transid: state.engine.transid,
        nbytes: if tree == ROOT_TREE {
            NODESIZE.into()
        } else {
            0
        },
        nlink: 1,
        mode: 0o040_755,
        atime: time,
        ctime: time,
        mtime: time,
        otime: time,
        ..InodeItem::default()
    };
    state.put(tree, Key::new(ino, item_type::INODE_ITEM, 0), item.encode());
    let parent = InodeRef {
        index: 0,
        name: Bytes::from_static(b".."),
    };
    let key = Key::new(ino, item_type::INODE_REF, ino);
    state.put(tree, key, parent.encode());
}

/// The halves by which the UUID tree finds a UUID: both little endian.
fn uuid_halves(uuid: Uuid) -> (u64, u64) {
    let (first, second) = uuid.as_u64_pair();
    (first.swap_bytes(), second.swap_bytes())
}

/// A UUID that follows from another one and a purpose: splitmix64 over both.
fn derive(from: Uuid, what: &str) -> Uuid {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut mix = |value: u64| {
        state = state
            .wrapping_add(value)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= z ^ (z >> 31);
        state
    };
    let (a, b) = from.as_u64_pair();
    for value in [a, b].into_iter().chain(what.bytes().map(u64::from)) {
        mix(value);
    }
    let (high, low) = (mix(1), mix(2));
    uuid::Builder::from_random_bytes(Uuid::from_u64_pair(high, low).into_bytes()).into_uuid()
}
