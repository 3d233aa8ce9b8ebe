//! One file read from an image, by ours (`fs-core` on `btrfs-volume`), by btrfs-fs from the same
//! image, and by backhand from a squashfs of the same file. All images are in memory.
//!
//! Ours verifies checksums and uses as many threads as there are processors for what is sequential;
//! btrfs-fs does neither, and backhand has no random reads.

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::time::Duration;

use backhand::compression::Compressor;
use backhand::{FilesystemCompressor, FilesystemReader, FilesystemWriter, InnerNode, NodeHeader};
use btrfs_volume::device::MemDevice;
use btrfs_volume::{MkfsOptions, OpenOptions, Volume};
use criterion::Criterion;
use fs_core::{CodecId, Compression, File, FileType, Filesystem, NewInode};
use peers::{Run, bench, random, shuffled, text, timed};
use tokio::runtime::Runtime;

const PAGE: u64 = 4096;
const EXTENT: u64 = 128 << 10;
const SIZE: u64 = 64 << 20;
const NAME: &str = "file";

/// The reader, its runtime, and the inode of the file.
struct Theirs {
    fs: btrfs_fs::Filesystem<Cursor<Vec<u8>>>,
    runtime: Runtime,
    file: btrfs_fs::Inode,
}

impl Theirs {
    fn open(image: Vec<u8>) -> Self {
        let fs = btrfs_fs::Filesystem::open(Cursor::new(image)).expect("it is btrfs");
        let runtime = Runtime::new().expect("threads start");
        let found = runtime.block_on(fs.lookup(fs.root(), NAME.as_bytes()));
        let (file, _) = found.expect("a root").expect("a file");
        Self { fs, runtime, file }
    }

    /// Reads at all `places`, in one call of the runtime.
    fn read(&self, places: &[u64], len: u64) -> Duration {
        timed(|| {
            self.runtime.block_on(async {
                for at in places {
                    let got = self.fs.read(self.file, *at, len as u32).await;
                    assert_eq!(got.map(|bytes| bytes.len() as u64).ok(), Some(len));
                }
            });
        })
    }
}

struct Ours {
    fs: Filesystem<Volume>,
    file: File<Volume>,
}

impl Ours {
    fn open(image: &[u8]) -> Self {
        let device = Arc::new(MemDevice::from_bytes(image));
        let volume = Volume::open(device, &OpenOptions::default()).expect("it is btrfs");
        let fs = Filesystem::builder(volume).cache_bytes(4 * SIZE).build();
        let fs = fs.expect("threads start");
        let id = fs.lookup(fs.root(), NAME.as_bytes());
        let file = fs.open(id.expect("a root").expect("a file"));
        let file = file.expect("a regular file");
        Self { fs, file }
    }

    fn read(&self, places: &[u64], len: u64) -> Duration {
        let mut buffer = vec![0; len as usize];
        timed(|| {
            for at in places {
                let got = self.file.read(*at, &mut buffer);
                assert_eq!(got.ok(), Some(buffer.len()));
            }
        })
    }
}

fn main() {
    let criterion = &mut Criterion::default().configure_from_args();
    let content = text(SIZE as usize);
    let image = btrfs(&content);
    let ours = Ours::open(&image);
    let theirs = Theirs::open(image);
    same(&ours, &theirs, &content);
    let random_reads = |criterion: &mut Criterion, what, places: &[u64], cold: bool| {
        // It takes as long for each, however many.
        let few = &places[..256];
        let runs: Vec<Run> = vec![
            (
                "ours",
                Box::new(|| {
                    if cold {
                        ours.fs.drop_caches();
                    }
                    ours.read(places, PAGE)
                }),
            ),
            (
                "btrfs-fs 0.13",
                Box::new(|| {
                    let taken = theirs.read(few, PAGE);
                    taken.mul_f64(places.len() as f64 / few.len() as f64)
                }),
            ),
        ];
        bench(criterion, what, places.len() as u64, runs);
    };
    let mut seed = 5;
    let warm: Vec<u64> = (0..20_000)
        .map(|_| random(&mut seed) % (SIZE / PAGE) * PAGE)
        .collect();
    ours.read(&places(1 << 20), 1 << 20);
    let before = ours.fs.read_stats();
    random_reads(criterion, "warm 4 KiB random reads", &warm, false);
    assert_eq!(ours.fs.read_stats(), before, "all was in the cache");
    // No extent twice.
    let cold: Vec<u64> = shuffled(SIZE / EXTENT, 9)
        .into_iter()
        .map(|extent| extent * EXTENT + random(&mut seed) % (EXTENT / PAGE) * PAGE)
        .collect();
    random_reads(criterion, "cold 4 KiB random reads", &cold, true);
    sequential(criterion, &ours, &theirs, &content);
    criterion.final_summary();
}

/// The file from its beginning to its end, so many bytes at a time.
fn places(len: u64) -> Vec<u64> {
    (0..SIZE).step_by(len as usize).collect()
}

fn sequential(criterion: &mut Criterion, ours: &Ours, theirs: &Theirs, content: &[u8]) {
    let squashed = squashfs(content);
    let squashfs = FilesystemReader::from_reader(Cursor::new(&squashed)).expect("it is squashfs");
    let node = squashfs.files().find_map(|node| match &node.inner {
        InnerNode::File(file) => Some(file),
        _ => None,
    });
    let node = node.expect("there is a file");
    let mut buffer = vec![0; 1 << 20];
    let mebibytes = SIZE >> 20;
    let runs: Vec<Run> = vec![
        (
            "ours, 1 MiB at a time",
            Box::new(|| {
                ours.fs.drop_caches();
                ours.read(&places(1 << 20), 1 << 20)
            }),
        ),
        (
            "ours, 4 KiB at a time",
            Box::new(|| {
                ours.fs.drop_caches();
                ours.read(&places(PAGE), PAGE)
            }),
        ),
        (
            "btrfs-fs 0.13, 1 MiB at a time",
            Box::new(|| theirs.read(&places(1 << 20), 1 << 20)),
        ),
        (
            "backhand 0.25 on squashfs, 1 MiB at a time",
            Box::new(|| {
                timed(|| {
                    let mut reader = squashfs.file(node).reader();
                    for _ in 0..mebibytes {
                        reader.read_exact(&mut buffer).expect("it is all there");
                    }
                })
            }),
        ),
    ];
    let what = "cold sequential reads, for each MiB";
    bench(criterion, what, mebibytes, runs);
}

/// Both read what was written.
fn same(ours: &Ours, theirs: &Theirs, content: &[u8]) {
    let mut seed = 11;
    let mut page = vec![0; PAGE as usize];
    for _ in 0..64 {
        let at = random(&mut seed) % (SIZE - PAGE);
        let wanted = &content[at as usize..][..page.len()];
        assert_eq!(ours.file.read(at, &mut page).ok(), Some(page.len()));
        assert_eq!(page, wanted);
        let got = theirs.fs.read(theirs.file, at, PAGE as u32);
        assert_eq!(theirs.runtime.block_on(got).ok().as_deref(), Some(wanted));
    }
}

/// An image with the one file, as `ubtrfs pack -c zstd:3` makes it.
fn btrfs(content: &[u8]) -> Vec<u8> {
    let device = Arc::new(MemDevice::new(0));
    let volume = Volume::mkfs(Arc::clone(&device) as _, &MkfsOptions::default());
    let fs = Filesystem::builder(volume.expect("there is memory"))
        .compression(Some(Compression {
            codec: CodecId::ZSTD,
            level: 3,
        }))
        .build()
        .expect("threads start");
    let new = NewInode::new(FileType::Regular, 0o644);
    let id = fs.create(fs.root(), NAME.as_bytes(), &new);
    let file = fs.open(id.expect("there is room")).expect("it was made");
    file.write(0, content).expect("there is room");
    file.finish().expect("there is room");
    fs.sync().expect("there is room");
    fs.volume().finish_growth().expect("there is room");
    fs.unmount().expect("nothing failed");
    device.to_bytes()
}

fn squashfs(content: &[u8]) -> Vec<u8> {
    let mut writer = FilesystemWriter::default();
    writer.set_block_size(EXTENT as u32);
    let zstd = FilesystemCompressor::new(Compressor::Zstd, None);
    writer.set_compressor(zstd.expect("it was built with zstd"));
    let pushed = writer.push_file(Cursor::new(content), NAME, NodeHeader::default());
    pushed.expect("a name that is free");
    let mut image = Cursor::new(Vec::new());
    writer.write(&mut image).expect("there is memory");
    image.into_inner()
}
