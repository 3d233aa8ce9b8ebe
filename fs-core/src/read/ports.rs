//! What `readpath` asks for, from a [`Volume`] and a [`Pool`].

use std::ops::Range;

use bytes::Bytes;
use ordered_wq::Pool;
use readpath::{BoxError, DiskRange, DiskRead, ExtentMap, ExtentMaps, Job, Spawn, Verify};

use crate::sync::Arc;
use crate::volume::{InodeId, Locator, Volume};

/// A volume's bytes and checksums.
pub(crate) struct VolumeDisk<V> {
    volume: Arc<V>,
    sector_size: u32,
}

impl<V: Volume> VolumeDisk<V> {
    pub(crate) fn new(volume: &Arc<V>, sector_size: u32) -> Self {
        Self {
            volume: Arc::clone(volume),
            sector_size,
        }
    }
}

impl<V: Volume> DiskRead<V::Locator> for VolumeDisk<V> {
    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn mirrors(&self, disk: V::Locator) -> usize {
        self.volume.mirrors(disk)
    }

    fn read(
        &self,
        requests: &[DiskRange<V::Locator>],
        mirror: usize,
    ) -> Vec<Result<Bytes, BoxError>> {
        let read = |request: &DiskRange<V::Locator>| {
            let at = request.disk.plus(request.offset);
            Ok(self.volume.read(at, request.len, mirror)?)
        };
        requests.iter().map(read).collect()
    }

    fn healed(&self, request: &DiskRange<V::Locator>, sectors: usize) {
        self.volume
            .healed(request.disk.plus(request.offset), sectors);
    }
}

impl<V: Volume> Verify<V::Locator> for VolumeDisk<V> {
    fn verify(&self, disk: V::Locator, offset: u64, bytes: &[u8]) -> Result<Vec<usize>, BoxError> {
        Ok(self.volume.verify(disk.plus(offset), bytes)?)
    }
}

/// The extent maps of one inode.
pub(crate) struct InodeMaps<'a, V> {
    pub(crate) volume: &'a V,
    pub(crate) id: InodeId,
}

impl<V: Volume> ExtentMaps<V::Locator> for InodeMaps<'_, V> {
    fn extent_maps(&self, range: Range<u64>) -> Result<Vec<ExtentMap<V::Locator>>, BoxError> {
        Ok(self.volume.extent_maps(self.id, range)?)
    }
}

/// The threads that compress also decompress.
pub(crate) struct PoolThreads(pub(crate) Pool);

impl Spawn for PoolThreads {
    fn parallelism(&self) -> usize {
        self.0.threads()
    }

    fn spawn(&self, job: Job) {
        self.0.spawn(job);
    }
}
