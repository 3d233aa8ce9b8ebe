//! A volume whose calls a test can hold up, or refuse.

use std::ops::Range;

use bytes::Bytes;
use compress::CodecId;
use fs_core::memory::MemoryLocator;
use fs_core::{
    Attrs, Commit, DataIo, DataSpace, DirEntry, ExtentMap, ExtentStore, FileExtent, InodeId,
    InodeStore, MemoryVolume, Namespace, NewInode, Policy, Unlinked, Volume, VolumeError,
    VolumeErrorKind, VolumeLimits, VolumeResult, XattrSet, XattrStore,
};

/// A call of the volume.
pub(crate) enum Call {
    /// Maps of a range were looked up, and are not yet told; whether they are to be.
    Maps(Range<u64>),
    /// So many bytes are to be allocated.
    Allocate(u64),
    /// Bytes are to be written.
    Write,
    /// A policy is to be set.
    WillSetPolicy,
    /// It was set, and that is not yet told.
    SetPolicy,
    /// A range was made a hole, and that is not yet told.
    Dropped,
    /// An extent was recorded, and that is not yet told.
    Inserted,
    /// Whether anything may be written.
    MayWrite,
    /// Whether sectors have 4 KiB, and not 16.
    SmallSectors,
    /// An inode is to be freed.
    Free,
    /// A change of names or attributes is to be made.
    Change,
    /// Everything was made durable.
    Committed,
}

impl Call {
    pub(crate) fn looks_up(&self, range: &Range<u64>) -> bool {
        matches!(self, Self::Maps(looked_up) if looked_up == range)
    }
}

/// A volume in memory that asks before, or after, it does something. `false`: there is no room.
pub(crate) struct Hooked {
    pub(crate) inner: MemoryVolume,
    asks: Box<dyn Fn(Call) -> bool + Send + Sync>,
}

impl Hooked {
    pub(crate) fn new(
        inner: MemoryVolume,
        asks: impl Fn(Call) -> bool + Send + Sync + 'static,
    ) -> Self {
        let asks = Box::new(asks);
        Self { inner, asks }
    }

    fn room(&self) -> VolumeResult<()> {
        match (self.asks)(Call::Change) {
            true => Ok(()),
            false => Err(VolumeError::new(
                VolumeErrorKind::NoSpace,
                "no room for metadata",
            )),
        }
    }
}

impl InodeStore for Hooked {
    fn root(&self) -> InodeId {
        self.inner.root()
    }
    fn attrs(&self, id: InodeId) -> VolumeResult<Attrs> {
        self.inner.attrs(id)
    }
    fn put_attrs(&self, id: InodeId, attrs: &Attrs) -> VolumeResult<()> {
        self.room()?;
        self.inner.put_attrs(id, attrs)
    }
    fn read_link(&self, id: InodeId) -> VolumeResult<Bytes> {
        self.inner.read_link(id)
    }
    fn free_inode(&self, id: InodeId) -> VolumeResult<()> {
        (self.asks)(Call::Free);
        self.inner.free_inode(id)
    }
    fn policy(&self, id: InodeId) -> VolumeResult<Option<Policy>> {
        self.inner.policy(id)
    }
    fn put_policy(&self, id: InodeId, policy: Option<Policy>) -> VolumeResult<()> {
        (self.asks)(Call::WillSetPolicy);
        let put = self.inner.put_policy(id, policy);
        (self.asks)(Call::SetPolicy);
        put
    }
}

impl Namespace for Hooked {
    fn lookup(&self, dir: InodeId, name: &[u8]) -> VolumeResult<Option<InodeId>> {
        self.inner.lookup(dir, name)
    }
    fn read_dir(&self, dir: InodeId, after: u64, max: usize) -> VolumeResult<Vec<DirEntry>> {
        self.inner.read_dir(dir, after, max)
    }
    fn create(&self, dir: InodeId, name: &[u8], new: &NewInode) -> VolumeResult<InodeId> {
        self.room()?;
        self.inner.create(dir, name, new)
    }
    fn link(&self, id: InodeId, dir: InodeId, name: &[u8]) -> VolumeResult<()> {
        self.room()?;
        self.inner.link(id, dir, name)
    }
    fn unlink(&self, dir: InodeId, name: &[u8]) -> VolumeResult<Unlinked> {
        self.inner.unlink(dir, name)
    }
}

impl XattrStore for Hooked {
    fn xattrs(&self, id: InodeId) -> VolumeResult<XattrSet> {
        self.inner.xattrs(id)
    }
    fn set_xattr(&self, id: InodeId, name: &[u8], value: &[u8]) -> VolumeResult<()> {
        self.room()?;
        self.inner.set_xattr(id, name, value)
    }
}

impl ExtentStore for Hooked {
    type Locator = MemoryLocator;

    fn extent_maps(
        &self,
        id: InodeId,
        range: Range<u64>,
    ) -> VolumeResult<Vec<ExtentMap<MemoryLocator>>> {
        let maps = self.inner.extent_maps(id, range.clone());
        match (self.asks)(Call::Maps(range)) {
            true => maps,
            false => Ok(Vec::new()),
        }
    }
    fn insert_extent(&self, id: InodeId, extent: FileExtent<MemoryLocator>) -> VolumeResult<()> {
        let inserted = self.inner.insert_extent(id, extent);
        (self.asks)(Call::Inserted);
        inserted
    }
    fn insert_inline(
        &self,
        id: InodeId,
        data: Bytes,
        codec: Option<CodecId>,
        ram_bytes: u64,
    ) -> VolumeResult<()> {
        self.inner.insert_inline(id, data, codec, ram_bytes)
    }
    fn drop_extents(&self, id: InodeId, range: Range<u64>) -> VolumeResult<()> {
        let dropped = self.inner.drop_extents(id, range);
        (self.asks)(Call::Dropped);
        dropped
    }
    fn preallocate(&self, id: InodeId, range: Range<u64>, at: MemoryLocator) -> VolumeResult<()> {
        self.inner.preallocate(id, range, at)
    }
}

impl DataSpace for Hooked {
    fn data_available(&self) -> u64 {
        self.inner.data_available()
    }
    fn metadata_available(&self, wanted: u64, data: u64) -> u64 {
        self.inner.metadata_available(wanted, data)
    }
    fn allocate(&self, num_bytes: u64) -> VolumeResult<MemoryLocator> {
        if !(self.asks)(Call::Allocate(num_bytes)) {
            let why = "no free run is that long";
            return Err(VolumeError::new(VolumeErrorKind::NoSpace, why));
        }
        self.inner.allocate(num_bytes)
    }
    fn release(&self, at: MemoryLocator, num_bytes: u64) {
        self.inner.release(at, num_bytes);
    }
}

impl DataIo for Hooked {
    fn write(&self, what: &[(MemoryLocator, Bytes)]) -> VolumeResult<()> {
        (self.asks)(Call::Write);
        self.inner.write(what)
    }
    fn read(&self, at: MemoryLocator, len: usize, mirror: usize) -> VolumeResult<Bytes> {
        self.inner.read(at, len, mirror)
    }
    fn mirrors(&self, at: MemoryLocator) -> usize {
        self.inner.mirrors(at)
    }
    fn checksum(&self, bytes: &[u8]) -> Bytes {
        self.inner.checksum(bytes)
    }
    fn verify(&self, at: MemoryLocator, bytes: &[u8]) -> VolumeResult<Vec<usize>> {
        self.inner.verify(at, bytes)
    }
}

impl Commit for Hooked {
    fn commit(&self) -> VolumeResult<()> {
        let committed = self.inner.commit();
        (self.asks)(Call::Committed);
        committed
    }
}

impl Volume for Hooked {
    fn limits(&self) -> VolumeLimits {
        let read_only = !(self.asks)(Call::MayWrite);
        let limits = self.inner.limits();
        let sector_size = match (self.asks)(Call::SmallSectors) {
            true => limits.sector_size,
            false => 16 << 10,
        };
        VolumeLimits {
            sector_size,
            read_only,
            ..limits
        }
    }
}
