//! More bugs that reading `fs-core` with fresh eyes found.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use bytes::Bytes;
use compress::{Codec, CodecId, Compressor, Decompressor, Error, Registry, Zstd};
use fs_core::{
    DataSpace, FileType, Filesystem, InodeStore, MemoryVolume, PipelineStep, Policy, SetAttrs,
};
use support::gate::{gated, sleep, within};
use support::hooked::{Call, Hooked};
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

/// A volume panicked while data was written, and the space that the data was to have was nobody's from
/// then on. Guard: `Drop` of `Unrecorded`.
#[test]
fn space_was_lost_when_a_volume_panicked() {
    within(30, || {
        for (policy, direct) in [
            (Policy::Never, false),
            (Policy::Always(ZSTD), false),
            (Policy::Never, true),
        ] {
            let armed = Arc::new(AtomicBool::new(false));
            let panics = Arc::clone(&armed);
            let hook = move |call| {
                let now = matches!(call, Call::Write) && panics.swap(false, SeqCst);
                assert!(!now, "injected panic of the volume");
                true
            };
            let volume = Hooked::new(MemoryVolume::new(4 << 20), hook);
            let fs = Filesystem::builder(volume).policy(policy).build().unwrap();
            let new = inode(FileType::Regular);
            let id = fs.create(fs.root(), b"a", &new).unwrap();
            let file = fs.open(id).unwrap();
            armed.store(true, SeqCst);
            if direct {
                let bytes = Bytes::from(noise(100 << 10, 1));
                let write = || file.write_direct(0, &bytes);
                assert!(catch_unwind(AssertUnwindSafe(write)).is_err());
            } else {
                file.write(0, &text(100 << 10)).unwrap();
                assert!(file.fsync().is_err());
                // Whoever waits is woken before the writer thread has dropped all of it.
                let _ = fs.sync();
            }
            assert!(!armed.load(SeqCst));
            assert_eq!(
                fs.volume().inner.bytes_allocated(),
                0,
                "{policy:?} {direct}"
            );
            // All of it can be had.
            let rest = fs.volume().inner.data_available();
            file.write(0, &noise(rest as usize, 2)).unwrap();
            file.fsync().unwrap();
            drop(file);
            fs.unmount().unwrap();
        }
    });
}

/// A file that was cut where it ends kept what was preallocated behind that; on Linux it goes. Guard: the
/// look at the maps for `size == old` in `File::set_size`.
#[test]
fn preallocated_space_behind_the_end_could_not_be_given_back() {
    let (fs, _, file) = roomy_file();
    file.write(0, &noise(10_000, 1)).unwrap();
    file.fsync().unwrap();
    let before = fs.volume().bytes_allocated();
    file.allocate(0..1 << 20, true).unwrap();
    assert!(fs.volume().bytes_allocated() > before + (900 << 10));
    file.set_size(10_000).unwrap();
    file.fsync().unwrap();
    assert_eq!(fs.volume().bytes_allocated(), before);
    drop(file);
    fs.unmount().unwrap();
}

/// A small file was on its way into the tree and grew. If it was faster it was kept out of the tree, so
/// the same calls put what came next at one place or the other. Guard: `File::settle_head`.
#[test]
fn where_a_file_lies_depended_on_how_fast_it_grew() {
    within(30, || {
        let grows: [fn(&fs_core::File<MemoryVolume>); 3] = [
            |file| file.write(1000, &noise(20_000, 2)).unwrap(),
            |file| file.write(20_000, &noise(20_000, 2)).unwrap(),
            |file| file.set_size(20_000).unwrap(),
        ];
        for grow in grows {
            let (fs, gate) = gated(MemoryVolume::new(u64::MAX));
            let id = new_file(&fs, "a");
            let file = fs.open(id).unwrap();
            file.write(0, &text(1000)).unwrap();
            gate.shut(PipelineStep::MadeInline, id.ino);
            file.sync_range(0..u64::MAX, false).unwrap();
            gate.wait_inside();
            std::thread::scope(|scope| {
                scope.spawn(|| grow(&file));
                sleep(100);
                gate.open();
            });
            file.fsync().unwrap();
            let stats = fs.stats();
            assert_eq!((stats.pieces_inline, stats.raw_outgrown), (1, 0));
            assert_eq!(content(&fs, id)[..1000], text(1000)[..]);
            drop(file);
            fs.unmount().unwrap();
        }
    });
}

/// There was no room for metadata until the next commit, and whoever made a name or changed attributes was
/// told that there is none at all. Guard: `Shared::with_room`.
#[test]
fn no_room_before_a_commit_was_taken_for_none_at_all() {
    let full = Arc::new(AtomicBool::new(false));
    let is_full = Arc::clone(&full);
    let hook = move |call| match call {
        Call::Change => !is_full.load(SeqCst),
        Call::Committed => {
            is_full.store(false, SeqCst);
            true
        }
        _ => true,
    };
    let volume = Hooked::new(MemoryVolume::new(u64::MAX), hook);
    let fs = Filesystem::builder(volume).build().unwrap();
    full.store(true, SeqCst);
    let id = fs
        .create(fs.root(), b"a", &inode(FileType::Regular))
        .unwrap();
    full.store(true, SeqCst);
    fs.link(id, fs.root(), b"b").unwrap();
    full.store(true, SeqCst);
    fs.set_xattr(id, b"user.a", b"1").unwrap();
    full.store(true, SeqCst);
    fs.set_attrs(id, &SetAttrs::default()).unwrap();
    let file = fs.open(id).unwrap();
    file.write(0, &noise(10_000, 1)).unwrap();
    full.store(true, SeqCst);
    file.fsync().unwrap();
    assert_eq!(fs.volume().inner.attrs(id).unwrap().size, 10_000);
    file.write(10_000, &noise(10_000, 1)).unwrap();
    full.store(true, SeqCst);
    fs.sync().unwrap();
    assert_eq!(fs.volume().inner.attrs(id).unwrap().size, 20_000);
}

/// Two writers with one thread waited for each other's bytes of the budget. Guard: whoever waits in
/// `Budget::acquire_helping` lends a hand, and takes all that a claim needs at once.
#[test]
fn two_writers_with_one_thread_waited_for_each_other() {
    within(60, || {
        let fs = builder(MemoryVolume::new(u64::MAX)).threads(1).build();
        let fs = fs.unwrap();
        std::thread::scope(|scope| {
            for name in ["a", "b", "c"] {
                let file = fs.open(new_file(&fs, name)).unwrap();
                scope.spawn(move || {
                    let data = text(1 << 20);
                    for n in 0..40 {
                        file.write(n << 20, &data).unwrap();
                    }
                    file.fsync().unwrap();
                });
            }
        });
        fs.unmount().unwrap();
    });
}
