//! A volume: opening it, and what it is as a whole.

mod committed;
mod info;

pub use committed::Committed;
pub use info::Info;

use std::ops::{ControlFlow, RangeInclusive};

use bytes::Bytes;

use crate::address::Bytenr;
use crate::device::{Access, BlockDevice};
use crate::error::{Error, InItem, Result};
use crate::features;
use crate::items::Items;
use crate::ondisk::objectid::{CHUNK_TREE, FIRST_CHUNK_TREE};
use crate::ondisk::{Chunk, Key, Superblock, item_type};
use crate::storage::{Geometry, Storage};
use crate::superblock;
use crate::sync::{Arc, RwLock};
use crate::tree::{Root, Walk};
use crate::write::Writer;

/// How to open a volume.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Most bytes of nodes to keep in memory. Default: 16 MiB.
    pub cache_bytes: usize,
    /// What for. Default: reading.
    pub access: Access,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 16 << 20,
            access: Access::Read,
        }
    }
}

/// A volume on one device.
///
/// All methods take `&self` and may be called from several threads at once.
#[derive(Debug)]
pub struct Volume {
    storage: Arc<Storage>,
    committed: RwLock<Arc<Committed>>,
    /// Of a volume that may be changed.
    writer: Option<Writer>,
}

impl Volume {
    /// Opens the volume on `device`.
    ///
    /// What is damaged but has a good copy is read from there, with a [warning](Self::warnings).
    /// A log tree is ignored, with a warning.
    ///
    /// # Errors
    /// [`Error::NotBtrfs`], [`Error::Superblock`]; [`Error::Unsupported`] with the names of the
    /// features; what reading the chunk and root tree may answer.
    pub fn open(device: Arc<dyn BlockDevice>, options: &OpenOptions) -> Result<Self> {
        let (superblock, warning) = superblock::read(&*device)?;
        features::check(&superblock, options.access)?;
        let storage = Storage::new(device, Geometry::of(&superblock), options.cache_bytes);
        if let Some(warning) = warning {
            storage.warn(warning);
        }
        let total = superblock.total_bytes;
        if let Ok(size) = storage.device().size()
            && size < total
        {
            storage.warn(format!(
                "the image was cut short: it has {size} bytes, the volume {total}"
            ));
        }
        if superblock.log_root != 0 {
            storage.warn(
                "the volume was not unmounted: what was fsynced last is in a log tree, \
                 which is ignored"
                    .into(),
            );
        }
        load_chunks(&storage, &superblock)?;
        let storage = Arc::new(storage);
        let committed = Committed::new(Arc::clone(&storage), superblock);
        committed.check_roots()?;
        Ok(Self {
            storage,
            committed: RwLock::new(Arc::new(committed)),
            writer: None,
        })
    }

    /// A volume that may be changed, at its last commit.
    pub(crate) fn with_writer(committed: Arc<Committed>, writer: Writer) -> Self {
        Self {
            storage: Arc::clone(committed.storage()),
            committed: RwLock::new(committed),
            writer: Some(writer),
        }
    }

    /// The write side; `None` if the volume may only be read.
    pub(crate) fn writer(&self) -> Option<&Writer> {
        self.writer.as_ref()
    }

    /// Goes on to the next commit.
    pub(crate) fn set_committed(&self, committed: Arc<Committed>) {
        *self.committed.write() = committed;
    }

    /// Device, chunk map and node cache.
    #[must_use]
    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// The last commit.
    #[must_use]
    pub fn committed(&self) -> Arc<Committed> {
        Arc::clone(&self.committed.read())
    }

    /// The first hundred things that the user should know, and how many there were.
    #[must_use]
    pub fn warnings(&self) -> (Vec<String>, u64) {
        self.storage.warnings()
    }
}

/// Fills the chunk map: from the superblock what leads to the chunk tree, from there the rest.
fn load_chunks(storage: &Storage, superblock: &Superblock) -> Result<()> {
    let bad_array = |problem: String| Error::Superblock {
        at: superblock.bytenr,
        problem: format!("system chunk array: {problem}"),
    };
    let sys_chunks = superblock
        .sys_chunks()
        .map_err(|bad| bad_array(bad.to_string()))?;
    for (key, chunk) in sys_chunks {
        if key.item_type != item_type::CHUNK_ITEM {
            return Err(bad_array(format!("key {key} is no chunk's")));
        }
        storage.add_chunk(Bytenr(key.offset), chunk)?;
    }
    let root = Root {
        tree: CHUNK_TREE,
        bytenr: Bytenr(superblock.chunk_root),
        generation: superblock.chunk_root_generation,
        level: superblock.chunk_root_level,
    };
    let first = Key::new(FIRST_CHUNK_TREE, item_type::CHUNK_ITEM, 0);
    let last = Key::new(FIRST_CHUNK_TREE, item_type::CHUNK_ITEM, u64::MAX);
    for item in Walk::new(storage, root, first..=last) {
        let (key, data) = item?;
        let chunk = Chunk::decode(&data).in_item(CHUNK_TREE, key)?;
        storage.add_chunk(Bytenr(key.offset), chunk)?;
    }
    Ok(())
}

impl Items for Volume {
    fn geometry(&self) -> Geometry {
        self.storage.geometry()
    }

    fn get(&self, tree: u64, key: &Key) -> Result<Option<Bytes>> {
        match &self.writer {
            Some(writer) => writer.get(tree, key),
            None => self.committed().get(tree, key),
        }
    }

    fn scan(
        &self,
        tree: u64,
        range: RangeInclusive<Key>,
        visit: &mut dyn FnMut(Key, &Bytes) -> ControlFlow<()>,
    ) -> Result<()> {
        match &self.writer {
            Some(writer) => writer.scan(tree, range, visit),
            None => self.committed().scan(tree, range, visit),
        }
    }

    fn last(&self, tree: u64, range: RangeInclusive<Key>) -> Result<Option<(Key, Bytes)>> {
        match &self.writer {
            Some(writer) => writer.last(tree, range),
            None => self.committed().last(tree, range),
        }
    }

    fn scan_around(
        &self,
        tree: u64,
        keys: [Key; 3],
        visit: &mut dyn FnMut(Key, &Bytes) -> ControlFlow<()>,
    ) -> Result<()> {
        match &self.writer {
            Some(writer) => writer.scan_around(tree, keys, visit),
            None => self.committed().scan_around(tree, keys, visit),
        }
    }
}
