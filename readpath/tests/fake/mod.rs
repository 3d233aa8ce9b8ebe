//! A volume in memory, with mirrors that can be damaged, and a file laid out on it.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(
    clippy::allow_attributes,
    reason = "what is dead differs from test to test"
)]

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use compress::{CodecId, Registry, Workspaces};
use pagecache::{Buffer, Cache, FOLIO_SIZE, Mapping, PAGE_SIZE};
use readpath::{
    BoxError, DiskRange, DiskRead, ExtentKind, ExtentMap, ExtentMaps, File, FileId, Job, ReadPath,
    Spawn, Verify,
};

pub(crate) const SECTOR: usize = 4096;

/// Names a disk extent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Disk(pub(crate) usize);

#[derive(Default)]
pub(crate) struct Volume {
    /// What was written; stands for the checksums.
    pub(crate) written: Mutex<Vec<Vec<u8>>>,
    pub(crate) mirrors: usize,
    /// (extent, sector, mirror): holds something else.
    pub(crate) flipped: Mutex<BTreeSet<(usize, usize, usize)>>,
    /// (extent, sector, mirror): reading it fails.
    pub(crate) unreadable: Mutex<BTreeSet<(usize, usize, usize)>>,
    /// (extent, sector, mirror): reading it panics.
    pub(crate) panics: Mutex<BTreeSet<(usize, usize, usize)>>,
    /// Who verifies panics from this extent on.
    pub(crate) unverifiable: Option<usize>,
    pub(crate) reads: AtomicU64,
    pub(crate) slow: Option<Duration>,
}

impl Volume {
    pub(crate) fn add(&self, mut bytes: Vec<u8>) -> Disk {
        bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
        let mut written = self.written.lock().unwrap();
        written.push(bytes);
        Disk(written.len() - 1)
    }

    fn read_one(&self, at: &DiskRange<Disk>, mirror: usize) -> Result<Bytes, BoxError> {
        let written = self.written.lock().unwrap();
        let extent = &written[at.disk.0];
        assert_eq!(at.offset % SECTOR as u64, 0, "whole sectors");
        let start = at.offset as usize;
        let end = start.saturating_add(at.len);
        let mut bytes = extent.get(start..end).ok_or("beyond the extent")?.to_vec();
        for sector in start / SECTOR..end.div_ceil(SECTOR) {
            let name = (at.disk.0, sector, mirror);
            if self.unreadable.lock().unwrap().contains(&name) {
                return Err("medium error".into());
            }
            if self.flipped.lock().unwrap().contains(&name) {
                bytes[sector * SECTOR - start + 7] ^= 0x40;
            }
        }
        Ok(bytes.into())
    }
}

impl DiskRead<Disk> for Volume {
    fn sector_size(&self) -> u32 {
        SECTOR as u32
    }

    fn mirrors(&self, _: Disk) -> usize {
        self.mirrors
    }

    fn read(&self, all: &[DiskRange<Disk>], mirror: usize) -> Vec<Result<Bytes, BoxError>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if let Some(time) = self.slow {
            std::thread::sleep(time);
        }
        let panics = self.panics.lock().unwrap().clone();
        for at in all {
            let first = at.offset as usize / SECTOR;
            for sector in first..first + at.len.div_ceil(SECTOR) {
                assert!(!panics.contains(&(at.disk.0, sector, mirror)), "as asked");
            }
        }
        all.iter().map(|at| self.read_one(at, mirror)).collect()
    }
}

impl Verify<Disk> for Volume {
    fn verify(&self, disk: Disk, offset: u64, bytes: &[u8]) -> Result<Vec<usize>, BoxError> {
        assert!(
            self.unverifiable.is_none_or(|from| disk.0 < from),
            "as asked"
        );
        let written = self.written.lock().unwrap();
        let good = &written[disk.0][offset as usize..];
        let sectors = bytes.chunks(SECTOR).zip(good.chunks(SECTOR)).enumerate();
        Ok(sectors
            .filter(|(_, (a, b))| a != b)
            .map(|(n, _)| n)
            .collect())
    }
}

/// As many threads as asked for.
pub(crate) struct Threads(pub(crate) usize);

impl Spawn for Threads {
    fn parallelism(&self) -> usize {
        self.0
    }

    fn spawn(&self, job: Job) {
        std::thread::spawn(job);
    }
}

/// Says it has threads and drops every job.
pub(crate) struct Dropper;

impl Spawn for Dropper {
    fn parallelism(&self) -> usize {
        4
    }

    fn spawn(&self, job: Job) {
        drop(job);
    }
}

/// Maps of one file.
#[derive(Default)]
pub(crate) struct Layout(pub(crate) Vec<ExtentMap<Disk>>);

impl ExtentMaps<Disk> for Layout {
    fn extent_maps(&self, range: Range<u64>) -> Result<Vec<ExtentMap<Disk>>, BoxError> {
        let maps = self.0.iter();
        let overlapping =
            |map: &&ExtentMap<Disk>| map.range().start < range.end && range.start < map.range().end;
        Ok(maps.filter(overlapping).cloned().collect())
    }
}

pub(crate) struct World {
    pub(crate) volume: Arc<Volume>,
    pub(crate) path: ReadPath<Disk, Volume>,
    pub(crate) workspaces: Workspaces,
    pub(crate) cache: Cache,
    pub(crate) mapping: Mapping,
    pub(crate) layout: Layout,
    /// What the file holds.
    pub(crate) content: Vec<u8>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Volume::default(), ())
    }

    pub(crate) fn with(mut volume: Volume, spawn: impl Spawn + 'static) -> Self {
        volume.mirrors = volume.mirrors.max(1);
        let volume = Arc::new(volume);
        let workspaces = Workspaces::new(Registry::btrfs(), 4);
        let cache = Cache::new(8 << 20);
        Self {
            path: ReadPath::new(
                Arc::clone(&volume),
                Arc::new(workspaces.clone()),
                Arc::new(spawn),
            ),
            volume,
            workspaces,
            mapping: Mapping::new(&cache),
            cache,
            layout: Layout::default(),
            content: Vec::new(),
        }
    }

    pub(crate) fn file(&self) -> File<'_, Disk> {
        File {
            id: FileId { tree: 5, ino: 257 },
            mapping: &self.mapping,
            maps: &self.layout,
        }
    }

    pub(crate) fn compressed(&self, data: &[u8], codec: CodecId) -> (Disk, u64) {
        let bytes = squeeze(&self.workspaces, data, codec);
        let disk = self.volume.add(bytes);
        (
            disk,
            self.volume.written.lock().unwrap()[disk.0].len() as u64,
        )
    }

    /// Appends a map of `len` bytes to the file.
    pub(crate) fn push(&mut self, len: u64, kind: ExtentKind<Disk>, holds: &[u8]) {
        let start = self.layout.0.last().map_or(0, |map| map.range().end);
        self.layout.0.push(ExtentMap { start, len, kind });
        let end = (start + len) as usize;
        self.content.truncate(start as usize);
        self.content.extend_from_slice(holds);
        self.content.resize(end, 0);
    }

    pub(crate) fn push_compressed(&mut self, data: &[u8], codec: CodecId) -> Disk {
        let (disk, disk_num_bytes) = self.compressed(data, codec);
        let kind = ExtentKind::Compressed {
            disk,
            disk_num_bytes,
            ram_bytes: data.len() as u64,
            offset: 0,
            codec,
        };
        self.push(data.len() as u64, kind, data);
        disk
    }

    pub(crate) fn push_raw(&mut self, data: &[u8]) -> Disk {
        let disk = self.volume.add(data.to_vec());
        let kind = ExtentKind::Raw {
            disk,
            disk_num_bytes: data.len() as u64,
            offset: 0,
        };
        self.push(data.len() as u64, kind, data);
        disk
    }

    /// Nothing cached, and the size is what the maps cover or `size`.
    pub(crate) fn cold(&mut self, size: Option<u64>) {
        let size = size.unwrap_or(self.content.len() as u64);
        self.content.truncate(size as usize);
        self.mapping = Mapping::with_size(&self.cache, size);
        self.poison();
    }

    /// Makes all memory that the cache will recycle hold garbage.
    pub(crate) fn poison(&self) {
        let mut all: Vec<Buffer> = Vec::new();
        for len in (0..6).map(|class| PAGE_SIZE << class) {
            for _ in 0..8 {
                let mut buffer = self.cache.buffer(len.min(FOLIO_SIZE) as usize);
                buffer.fill(0xa5);
                all.push(buffer);
            }
        }
    }
}

pub(crate) fn squeeze(workspaces: &Workspaces, data: &[u8], codec: CodecId) -> Vec<u8> {
    let mut out = vec![0; 2 * data.len() + 4096];
    let level = workspaces.registry().get(codec).unwrap().default_level();
    let mut compressor = workspaces.compressor(codec, level).unwrap();
    let len = compressor.compress(data, &mut out).unwrap().unwrap();
    out.truncate(len);
    out
}

/// Bytes that compress to about a third and differ everywhere.
pub(crate) fn text(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|n| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match n % 3 {
                0 => (state >> 32) as u8,
                _ => b'a' + (seed % 26) as u8,
            }
        })
        .collect()
}
