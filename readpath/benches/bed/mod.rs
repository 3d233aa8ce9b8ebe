//! A volume in memory and two files on it: what the runs read.

use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::Bytes;
use compress::{CodecId, Registry, Workspaces};
use pagecache::{Cache, Mapping};
use readpath::{
    BoxError, Decode, DiskRange, DiskRead, ExtentKind, ExtentMap, ExtentMaps, File, FileId, Job,
    ReadPath, Spawn, Verify,
};

const SECTOR: usize = 4096;
/// Bytes of a disk extent, decompressed.
pub(crate) const EXTENT: u64 = 128 << 10;
pub(crate) const EXTENTS: u64 = 256;
pub(crate) const SIZE: u64 = EXTENTS * EXTENT;
/// Bytes of an extent that one map of the second file shows.
pub(crate) const PART: u64 = 16 << 10;

/// Extents by number, with a checksum for each sector.
pub(crate) struct Disk(Vec<(Bytes, Vec<u32>)>);

impl DiskRead<u32> for Disk {
    fn sector_size(&self) -> u32 {
        SECTOR as u32
    }

    fn mirrors(&self, _: u32) -> usize {
        1
    }

    fn read(&self, all: &[DiskRange<u32>], _: usize) -> Vec<Result<Bytes, BoxError>> {
        all.iter()
            .map(|at| {
                let start = at.offset as usize;
                Ok(self.0[at.disk as usize].0.slice(start..start + at.len))
            })
            .collect()
    }
}

impl Verify<u32> for Disk {
    fn verify(&self, disk: u32, offset: u64, bytes: &[u8]) -> Result<Vec<usize>, BoxError> {
        let sums = &self.0[disk as usize].1[offset as usize / SECTOR..];
        let sectors = bytes.chunks(SECTOR).zip(sums).enumerate();
        Ok(sectors
            .filter(|(_, (sector, sum))| crc32c::crc32c(sector) != **sum)
            .map(|(nth, _)| nth)
            .collect())
    }
}

/// Maps that are all of one length, in order.
pub(crate) struct Layout {
    maps: Vec<ExtentMap<u32>>,
    map_bytes: u64,
}

impl Layout {
    pub(crate) fn len(&self) -> u64 {
        self.maps.len() as u64
    }
}

impl ExtentMaps<u32> for Layout {
    fn extent_maps(&self, range: Range<u64>) -> Result<Vec<ExtentMap<u32>>, BoxError> {
        let first = (range.start / self.map_bytes) as usize;
        let last = range.end.div_ceil(self.map_bytes) as usize;
        Ok(self.maps[first..last.min(self.maps.len())].to_vec())
    }
}

/// One thread that runs jobs.
pub(crate) struct OneThread(mpsc::Sender<Job>);

impl OneThread {
    pub(crate) fn start() -> Self {
        let (send, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || jobs.into_iter().for_each(|job| job()));
        Self(send)
    }
}

impl Spawn for OneThread {
    fn parallelism(&self) -> usize {
        1
    }

    fn spawn(&self, job: Job) {
        self.0.send(job).expect("it runs jobs until this is gone");
    }
}

pub(crate) struct Bed {
    disk: Arc<Disk>,
    codecs: Workspaces,
    cache: Cache,
    pub(crate) path: ReadPath<u32, Disk>,
    /// The first file: each map shows a whole extent.
    pub(crate) whole: Layout,
    /// The second file: parts of these extents.
    pub(crate) shared: Layout,
    /// What the first file holds.
    pub(crate) content: Vec<u8>,
}

impl Bed {
    pub(crate) fn new(spawn: Arc<dyn Spawn>) -> Self {
        let codecs = Workspaces::new(Registry::btrfs(), 4);
        let content = text(SIZE as usize);
        let extents: Vec<_> = content
            .chunks(EXTENT as usize)
            .map(|piece| stored(&codecs, piece))
            .collect();
        let map = |disk: usize, start, len, offset| ExtentMap {
            start,
            len,
            kind: ExtentKind::Compressed {
                disk: disk as u32,
                disk_num_bytes: extents[disk].0.len() as u64,
                ram_bytes: EXTENT,
                offset,
                codec: CodecId::ZSTD,
            },
        };
        let whole = (0..EXTENTS)
            .map(|nth| map(nth as usize, nth * EXTENT, EXTENT, 0))
            .collect();
        // Neighbours in the file show different extents, and each extent shows up several times.
        let shared = (0..EXTENTS)
            .map(|nth| {
                let offset = nth % (EXTENT / PART) * PART;
                map((nth * 5 % (EXTENTS / 4)) as usize, nth * PART, PART, offset)
            })
            .collect();
        let layout = |maps, map_bytes| Layout { maps, map_bytes };
        let disk = Arc::new(Disk(extents.clone()));
        Self {
            path: ReadPath::new(Arc::clone(&disk), Arc::new(codecs.clone()), spawn),
            disk,
            codecs,
            // Holds all of it, and what a run leaves to the next one.
            cache: Cache::new(4 * SIZE),
            whole: layout(whole, EXTENT),
            shared: layout(shared, PART),
            content,
        }
    }

    /// Pages of the first file; none is cached.
    pub(crate) fn mapping(&self) -> Mapping {
        self.mapping_of(SIZE)
    }

    pub(crate) fn mapping_of(&self, size: u64) -> Mapping {
        Mapping::with_size(&self.cache, size)
    }

    pub(crate) fn file<'a>(&self, mapping: &'a Mapping, maps: &'a Layout) -> File<'a, u32> {
        let id = FileId { tree: 5, ino: 257 };
        File { id, mapping, maps }
    }
}

/// Compressed, in whole sectors, with their checksums.
fn stored(codecs: &Workspaces, piece: &[u8]) -> (Bytes, Vec<u32>) {
    let mut packed = vec![0; piece.len()];
    let compressor = codecs.compressor(CodecId::ZSTD, 3);
    let len = compressor
        .expect("there is memory")
        .compress(piece, &mut packed)
        .expect("it compresses")
        .expect("text shrinks");
    packed.truncate(len);
    packed.resize(len.next_multiple_of(SECTOR), 0);
    let sums = packed.chunks(SECTOR).map(crc32c::crc32c).collect();
    (packed.into(), sums)
}

/// What a reader does that keeps nothing: fetch and verify the extent, decompress all of it, and
/// take the part that was asked for, which one map shows.
pub(crate) fn naive(bed: &Bed, layout: &Layout, at: u64, dst: &mut [u8]) {
    let map = &layout.maps[(at / layout.map_bytes) as usize];
    let ExtentKind::Compressed { disk, offset, .. } = map.kind else {
        panic!("all are compressed");
    };
    let bytes = &bed.disk.0[disk as usize].0;
    let bad = bed.disk.verify(disk, 0, bytes);
    assert_eq!(bad.ok(), Some(Vec::new()));
    let mut whole = vec![0; EXTENT as usize];
    let decoded = bed.codecs.decode(CodecId::ZSTD, bytes, &mut whole);
    assert_eq!(decoded.ok(), Some(whole.len()));
    let from = (offset + at - map.start) as usize;
    dst.copy_from_slice(&whole[from..from + dst.len()]);
}

pub(crate) fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// The same each time, and about as compressible as source code.
fn text(len: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "fn ", "let ", "self.", "extent", "(", ")", ";\n    ", "range", " = ", "start", "end",
        "&mut ", "queue", "match ", "// the ", "0x",
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        let number = random(&mut seed);
        text.extend_from_slice(WORDS[(number >> 40) as usize % WORDS.len()].as_bytes());
        if number.is_multiple_of(5) {
            text.extend_from_slice(format!("{:x}", number >> 44).as_bytes());
        }
    }
    text.truncate(len);
    text
}
