//! More bugs that reading `fs-core` with fresh eyes found.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::ops::RangeInclusive;

use compress::{Codec, CodecId, Compressor, Decompressor, Error, Registry, Zstd};
use fs_core::MemoryVolume;
use support::gate::within;
use support::*;

/// Zstandard that panics instead of compressing.
struct Panics;

impl Compressor for Panics {
    fn compress(&mut self, _src: &[u8], _dst: &mut [u8]) -> Result<Option<usize>, Error> {
        panic!("injected panic of a codec")
    }
}

impl Codec for Panics {
    fn id(&self) -> CodecId {
        Zstd.id()
    }
    fn name(&self) -> &'static str {
        Zstd.name()
    }
    fn levels(&self) -> RangeInclusive<i32> {
        Zstd.levels()
    }
    fn default_level(&self) -> i32 {
        Zstd.default_level()
    }
    fn compressor(&self, _level: i32) -> Result<Box<dyn Compressor>, Error> {
        Ok(Box::new(Panics))
    }
    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
        Zstd.decompressor()
    }
}

/// What a codec panicked over was lost, though it could have been stored as it is. Guard: `catch_unwind`
/// in `Piece::try_codec`.
#[test]
fn what_a_codec_panicked_over_was_lost() {
    within(30, || {
        for len in [1000, 300_000] {
            let codecs = Registry::btrfs().with(Panics);
            let fs = builder(MemoryVolume::new(u64::MAX)).codecs(codecs);
            let fs = fs.build().unwrap();
            let id = new_file(&fs, "a");
            let file = fs.open(id).unwrap();
            file.write(0, &text(len)).unwrap();
            file.fsync().unwrap();
            drop(file);
            fs.drop_caches();
            assert!(content(&fs, id) == text(len));
            assert!(fs.stats().raw_codec_error > 0);
            fs.unmount().unwrap();
        }
    });
}
