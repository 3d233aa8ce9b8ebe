//! A volume in memory: the default for programs that embed the filesystem, and for tests.
//!
//! It bounds space, and on request fails, reorders, and loses what was not flushed: see [`Faults`].

mod faults;
mod inodes;
mod space;

pub use faults::{FaultOp, Faults};

use std::ops::Range;

use bytes::Bytes;
use compress::CodecId;
use readpath::ExtentMap;

use crate::policy::Policy;
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::volume::{
    Attrs, Commit, DataIo, DataSpace, DirEntry, ExtentStore, FileExtent, InodeId, InodeStore,
    Locator, Namespace, NewInode, Unlinked, Volume, VolumeError, VolumeErrorKind, VolumeLimits,
    VolumeResult, XattrSet, XattrStore,
};
use inodes::Inodes;
use space::Space;

const SECTOR: u64 = 4096;

/// A place in a [`MemoryVolume`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemoryLocator(u64);

impl Locator for MemoryLocator {
    fn plus(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

/// Files, directories and extents in memory.
///
/// Locking: inodes and space have a mutex each, taken in that order where both are.
#[derive(Debug)]
pub struct MemoryVolume {
    inodes: Mutex<Inodes>,
    space: Mutex<Space>,
    faults: Faults,
    codecs: Vec<CodecId>,
    committed: Mutex<Option<Inodes>>,
    /// A commit failed: nothing is written any more.
    failed: AtomicBool,
}

impl MemoryVolume {
    /// An empty volume with room for `capacity` bytes of data (`u64::MAX`: as memory allows)
    /// that takes every codec of btrfs.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self::with_faults(capacity, Faults::default())
    }

    /// Like [`MemoryVolume::new`], with things going wrong as `faults` says.
    #[must_use]
    pub fn with_faults(capacity: u64, faults: Faults) -> Self {
        Self {
            inodes: Mutex::new(Inodes::new()),
            space: Mutex::new(Space::new(
                capacity,
                faults.loses_unflushed(),
                faults.reuses_space(),
            )),
            faults,
            codecs: vec![CodecId::ZLIB, CodecId::LZO, CodecId::ZSTD],
            committed: Mutex::new(None),
            failed: AtomicBool::new(false),
        }
    }

    /// Adds a codec of the user's own to those whose output may be stored.
    #[must_use]
    pub fn allow_codec(mut self, codec: CodecId) -> Self {
        self.codecs.push(codec);
        self
    }

    /// What goes wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Bytes of data allocated, whether their extent has been recorded or not.
    #[must_use]
    pub fn bytes_allocated(&self) -> u64 {
        self.space.lock().allocated()
    }

    /// Whether space was given back once and not more often: says what was not. While nothing is on
    /// its way, all that is allocated must belong to a file.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn audit(&self) -> Result<(), String> {
        match self.space.lock().audit() {
            (0, 0) => Ok(()),
            (lost, twice) => Err(format!(
                "{lost} bytes belong to no file, {twice} times space was given back that was free"
            )),
        }
    }

    /// Flips a bit of what is stored at byte `offset` of the extent that holds byte `file_offset`
    /// of the file. `false` if there is no such extent.
    pub fn damage(&self, id: InodeId, file_offset: u64, offset: u64) -> bool {
        let at = self.inodes.lock().disk_extent(id, file_offset);
        at.is_some_and(|at| self.space.lock().flip(at + offset))
    }

    /// Forgets everything since the last commit, as a power cut would, and of what was written since
    /// what [`Faults::losing_unflushed`] says; inodes that had no name left
    /// are freed. The volume can be written again.
    pub fn power_cut(&self) {
        let mut inodes = self.inodes.lock();
        *inodes = self.committed.lock().clone().unwrap_or_else(Inodes::new);
        inodes.free_orphans();
        self.space.lock().recover(inodes.places());
        self.failed.store(false, Ordering::SeqCst);
    }

    /// The volume as it is after a power cut, to be built upon anew.
    #[must_use]
    pub fn after_power_cut(self) -> Self {
        self.power_cut();
        self
    }

    fn check(&self, op: FaultOp) -> VolumeResult<()> {
        if self.failed.load(Ordering::SeqCst) {
            return Err(VolumeError::new(
                VolumeErrorKind::ReadOnly,
                "a commit failed, and nothing is written since",
            ));
        }
        self.faults.check(op)
    }
}

fn no_inode(id: InodeId) -> VolumeError {
    VolumeError::new(
        VolumeErrorKind::NotFound,
        format!("there is no inode {}", id.ino),
    )
}

impl InodeStore for MemoryVolume {
    fn root(&self) -> InodeId {
        Inodes::ROOT
    }

    fn attrs(&self, id: InodeId) -> VolumeResult<Attrs> {
        self.inodes.lock().get(id).map(|n| n.attrs.clone())
    }

    fn put_attrs(&self, id: InodeId, attrs: &Attrs) -> VolumeResult<()> {
        self.check(FaultOp::Metadata)?;
        let mut inodes = self.inodes.lock();
        let node = inodes.get_mut(id)?;
        node.attrs = Attrs {
            file_type: node.attrs.file_type,
            nlink: node.attrs.nlink,
            nbytes: node.attrs.nbytes,
            ..attrs.clone()
        };
        Ok(())
    }

    fn read_link(&self, id: InodeId) -> VolumeResult<Bytes> {
        self.inodes.lock().get(id).map(|n| n.symlink_target.clone())
    }

    fn free_inode(&self, id: InodeId) -> VolumeResult<()> {
        self.check(FaultOp::Metadata)?;
        self.inodes.lock().free(id, &mut self.space.lock())
    }

    fn policy(&self, id: InodeId) -> VolumeResult<Option<Policy>> {
        self.inodes.lock().get(id).map(|n| n.policy)
    }

    fn put_policy(&self, id: InodeId, policy: Option<Policy>) -> VolumeResult<()> {
        self.check(FaultOp::Metadata)?;
        self.inodes.lock().get_mut(id)?.policy = policy;
        Ok(())
    }
}

impl Namespace for MemoryVolume {
    fn lookup(&self, dir: InodeId, name: &[u8]) -> VolumeResult<Option<InodeId>> {
        self.inodes.lock().lookup(dir, name)
    }

    fn read_dir(&self, dir: InodeId, after: u64, max: usize) -> VolumeResult<Vec<DirEntry>> {
        self.inodes.lock().read_dir(dir, after, max)
    }

    fn create(&self, dir: InodeId, name: &[u8], new: &NewInode) -> VolumeResult<InodeId> {
        self.check(FaultOp::Metadata)?;
        self.inodes.lock().create(dir, name, new)
    }

    fn link(&self, id: InodeId, dir: InodeId, name: &[u8]) -> VolumeResult<()> {
        self.check(FaultOp::Metadata)?;
        self.inodes.lock().link(id, dir, name)
    }

    fn unlink(&self, dir: InodeId, name: &[u8]) -> VolumeResult<Unlinked> {
        self.check(FaultOp::Metadata)?;
        self.inodes.lock().unlink(dir, name)
    }
}

impl XattrStore for MemoryVolume {
    fn xattrs(&self, id: InodeId) -> VolumeResult<XattrSet> {
        let inodes = self.inodes.lock();
        let node = inodes.get(id)?;
        Ok(node
            .xattrs
            .iter()
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect())
    }

    fn set_xattr(&self, id: InodeId, name: &[u8], value: &[u8]) -> VolumeResult<()> {
        let mut inodes = self.inodes.lock();
        inodes
            .get_mut(id)?
            .xattrs
            .insert(Bytes::copy_from_slice(name), Bytes::copy_from_slice(value));
        Ok(())
    }
}

impl ExtentStore for MemoryVolume {
    type Locator = MemoryLocator;

    fn extent_maps(
        &self,
        id: InodeId,
        range: Range<u64>,
    ) -> VolumeResult<Vec<ExtentMap<MemoryLocator>>> {
        self.inodes.lock().extent_maps(id, range)
    }

    fn insert_extent(&self, id: InodeId, extent: FileExtent<MemoryLocator>) -> VolumeResult<()> {
        self.check(FaultOp::Metadata)?;
        let mut inodes = self.inodes.lock();
        let range = extent.file_offset..extent.file_offset + extent.num_bytes;
        inodes.get(id)?;
        let mut space = self.space.lock();
        space.record(extent.stored.at.0, extent.checksums.clone());
        inodes.drop_extents(id, range, &mut space)?;
        inodes.insert_extent(id, &extent)
    }

    fn insert_inline(
        &self,
        id: InodeId,
        data: Bytes,
        codec: Option<CodecId>,
        ram_bytes: u64,
    ) -> VolumeResult<()> {
        self.check(FaultOp::Metadata)?;
        let mut inodes = self.inodes.lock();
        inodes.drop_extents(id, 0..u64::MAX, &mut self.space.lock())?;
        inodes.insert_inline(id, data, codec, ram_bytes)
    }

    fn drop_extents(&self, id: InodeId, range: Range<u64>) -> VolumeResult<()> {
        self.check(FaultOp::Metadata)?;
        self.inodes
            .lock()
            .drop_extents(id, range, &mut self.space.lock())
    }

    fn preallocate(&self, id: InodeId, range: Range<u64>, at: MemoryLocator) -> VolumeResult<()> {
        self.check(FaultOp::Metadata)?;
        let mut inodes = self.inodes.lock();
        inodes.preallocate(id, range, at)?;
        self.space.lock().record(at.0, Bytes::new());
        Ok(())
    }
}

impl DataSpace for MemoryVolume {
    fn data_available(&self) -> u64 {
        self.space.lock().available()
    }

    fn allocate(&self, num_bytes: u64) -> VolumeResult<MemoryLocator> {
        self.check(FaultOp::Allocate)?;
        self.space.lock().allocate(num_bytes).map(MemoryLocator)
    }

    fn release(&self, at: MemoryLocator, _num_bytes: u64) {
        self.space.lock().free(at.0);
    }
}

impl DataIo for MemoryVolume {
    fn write(&self, what: &[(MemoryLocator, Bytes)]) -> VolumeResult<()> {
        for index in self.faults.order(what.len()) {
            self.check(FaultOp::Write)?;
            let (at, bytes) = &what[index];
            self.space.lock().store(at.0, bytes)?;
        }
        Ok(())
    }

    fn read(&self, at: MemoryLocator, len: usize, _mirror: usize) -> VolumeResult<Bytes> {
        self.faults.check(FaultOp::Read)?;
        self.space.lock().load(at.0, len)
    }

    fn mirrors(&self, _at: MemoryLocator) -> usize {
        1
    }

    fn checksum(&self, bytes: &[u8]) -> Bytes {
        space::checksum(bytes)
    }

    fn verify(&self, at: MemoryLocator, bytes: &[u8]) -> VolumeResult<Vec<usize>> {
        self.space.lock().verify(at.0, bytes)
    }
}

impl Commit for MemoryVolume {
    fn commit(&self) -> VolumeResult<()> {
        let flushed = self.check(FaultOp::Flush);
        if flushed.is_err() {
            self.failed.store(true, Ordering::SeqCst);
            return flushed;
        }
        let inodes = self.inodes.lock();
        // First the bytes, then what points to them, and nothing enters the trees in between.
        let mut space = self.space.lock();
        space.flush();
        if self.faults.remembers_commits() {
            *self.committed.lock() = Some(inodes.clone());
        }
        space.unpin();
        Ok(())
    }
}

impl Volume for MemoryVolume {
    fn limits(&self) -> VolumeLimits {
        VolumeLimits {
            sector_size: SECTOR as u32,
            metadata_per_extent: 0,
            max_inline: 2048,
            codecs: self.codecs.clone(),
            read_only: self.failed.load(Ordering::SeqCst),
        }
    }
}
