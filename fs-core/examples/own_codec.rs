//! A codec of one's own in a filesystem: runs of equal bytes as pairs of length and byte.
//!
//! `cargo run --release -p fs-core --example own_codec`

use std::ops::RangeInclusive;

use compress::{Codec, CodecId, Compressor, Decompressor, Error, Registry};
use fs_core::{Compression, FileType, Filesystem, MemoryVolume, NewInode, Policy};

/// 1 to 3 are btrfs's own.
const RUNS: CodecId = CodecId(200);

struct Runs;

impl Codec for Runs {
    fn id(&self) -> CodecId {
        RUNS
    }
    fn name(&self) -> &'static str {
        "runs"
    }
    fn levels(&self) -> RangeInclusive<i32> {
        1..=1
    }
    fn default_level(&self) -> i32 {
        1
    }
    fn compressor(&self, _: i32) -> Result<Box<dyn Compressor>, Error> {
        Ok(Box::new(Self))
    }
    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
        Ok(Box::new(Self))
    }
}

impl Compressor for Runs {
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Option<usize>, Error> {
        let mut made = 0;
        for run in src.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255)) {
            // Where it does not fit the piece is stored as it is.
            let Some(pair) = dst.get_mut(made..made + 2) else {
                return Ok(None);
            };
            pair.copy_from_slice(&[run.len() as u8, run[0]]);
            made += 2;
        }
        Ok(Some(made))
    }
}

impl Decompressor for Runs {
    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, Error> {
        let mut made = 0;
        for pair in src.chunks_exact(2) {
            let len = usize::from(pair[0]).min(dst.len() - made);
            dst[made..made + len].fill(pair[1]);
            made += len;
        }
        Ok(made)
    }
}

fn main() -> Result<(), fs_core::Error> {
    // The volume must say that it can store what the codec makes.
    let volume = MemoryVolume::new(64 << 20).allow_codec(RUNS);
    let fs = Filesystem::builder(volume)
        .codecs(Registry::btrfs().with(Runs))
        .policy(Policy::Always(Compression {
            codec: RUNS,
            level: 1,
        }))
        .build()?;
    let new = NewInode::new(FileType::Regular, 0o644);
    let file = fs.open(fs.create(fs.root(), b"runs", &new)?)?;
    let picture: Vec<u8> = (0..1 << 20).map(|n: u32| (n / 5000 % 7) as u8).collect();
    file.write(0, &picture)?;
    file.fsync()?;
    fs.drop_caches();
    let back = file.read_bytes(0, u64::MAX)?.concat();
    assert!(back == picture);
    let stats = fs.stats();
    println!(
        "{} bytes in {}, {} pieces compressed, ratio {:.1}",
        back.len(),
        stats.bytes_stored,
        stats.pieces_compressed,
        stats.ratio()
    );
    drop(file);
    fs.unmount()
}
