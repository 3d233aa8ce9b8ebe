//! The whole path of a small file under a scheduler that tries interleavings.
//!
//! A lost wake-up is a deadlock here, which the checker reports.

use std::env;

use shuttle::thread::{self, JoinHandle};

use crate::memory::{FaultOp, Faults};
use crate::sync::Arc;
use crate::{
    DataSpace, ExtentKind, ExtentStore, File, FileType, Filesystem, InodeId, InodeStore,
    MemoryVolume, NewInode,
};

/// Runs a model under random schedules and under ones with few preemptions.
fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    let told = env::var("UBTRFS_MODEL_ITERATIONS").ok();
    let iterations = told.map_or(1000, |told| told.parse().expect("a number"));
    shuttle::check_random(model, iterations);
    shuttle::check_pct(model, iterations, 3);
}

const P: u64 = 4096;

/// A filesystem with one file, `pages` long and durable, each page in version 1.
#[derive(Clone)]
struct Model {
    fs: Filesystem<MemoryVolume>,
    file: Arc<File<MemoryVolume>>,
    id: InodeId,
}

impl Model {
    fn new(pages: u64) -> Self {
        let faults = Faults::remembering_commits().losing_unflushed(1);
        Self::on(MemoryVolume::with_faults(u64::MAX, faults), pages)
    }

    fn on(volume: MemoryVolume, pages: u64) -> Self {
        let fs = Filesystem::builder(volume).threads(1).build().unwrap();
        let new = NewInode::new(FileType::Regular, 0o644);
        let id = fs.create(fs.root(), b"a", &new).unwrap();
        let file = Arc::new(fs.open(id).unwrap());
        let model = Self { fs, file, id };
        for page in 0..pages {
            model.write(page, 1);
        }
        model.file.fsync().unwrap();
        model
    }

    fn write(&self, page: u64, version: u8) {
        self.file.write(page * P, &[version; P as usize]).unwrap();
    }

    /// A page's version, 0 in a hole, `None` behind the end.
    fn read(&self, page: u64) -> Option<u8> {
        let mut bytes = [0xee; P as usize];
        let got = self.file.read(page * P, &mut bytes).unwrap();
        assert!(bytes[..got].iter().all(|b| *b == bytes[0]), "a torn page");
        (got > 0).then_some(bytes[0])
    }

    fn spawn(&self, work: impl FnOnce(&Self) + Send + 'static) -> JoinHandle<()> {
        let model = self.clone();
        thread::spawn(move || work(&model))
    }

    /// The versions of all pages after what is running was cut off.
    fn after_power_cut(self) -> Vec<u8> {
        let Self { fs, file, id } = self;
        drop(file);
        let volume = fs.into_volume().expect("the last handle").after_power_cut();
        let fs = Filesystem::builder(volume).threads(1).build().unwrap();
        let file = fs.open(id).unwrap();
        let all = file.read_bytes(0, u64::MAX).unwrap().concat();
        drop(file);
        fs.unmount().unwrap();
        versions(&all)
    }

    /// Nothing is left on its way, and the device has what readers have.
    fn unmount(self) -> Vec<u8> {
        let Self { fs, file, .. } = self;
        fs.sync().unwrap();
        fs.drop_caches();
        let all = file.read_bytes(0, u64::MAX).unwrap().concat();
        drop(file);
        fs.unmount().unwrap();
        versions(&all)
    }
}

fn versions(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(P as usize).map(|page| page[0]).collect()
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// What was written before `fsync` began is on the volume when it returns, also where another one
/// had begun to write it back: in the queue, with the writer thread, or half recorded.
#[test]
fn fsync_against_the_queue() {
    check(|| {
        let model = Model::new(2);
        model.write(0, 2);
        let flusher = model.spawn(|model| model.file.sync_range(0..2 * P, false).unwrap());
        let writer = model.spawn(|model| model.write(1, 3));
        model.file.fsync().unwrap();
        join([flusher, writer]);
        let after = model.after_power_cut();
        assert_eq!(after[0], 2, "{after:?}");
        // The other page was not promised.
        assert!(matches!(after[1], 1 | 3), "{after:?}");
    });
}

/// An extent failed on its way, and what it held had been written anew. Who waited for it began nothing
/// else, and the new bytes were still dirty. Guard: `once_more` in `Shared::wait_range`.
#[test]
fn fsync_stopped_at_the_failure_of_older_bytes() {
    check(|| {
        let model = Model::new(1);
        model.write(0, 2);
        model.fs.volume().faults().fail_nth(FaultOp::Metadata, 1);
        model.file.sync_range(0..P, false).unwrap();
        model.write(0, 3);
        let told = model.file.fsync();
        assert_eq!(model.fs.cache_stats().dirty, 0, "{told:?}");
    });
}

/// A writer, writeback, a truncation that the file grows back from, by a hole or by a page, and a
/// reader: what anybody sees of a page goes up, what was cut off is gone, and in the end the device
/// has what was written last. Guard: the wait in `File::set_size`.
#[test]
fn writeback_truncation_and_readers() {
    check(|| grows_back(false));
    check(|| grows_back(true));
}

fn grows_back(written: bool) {
    let model = Model::new(2);
    model.write(1, 2);
    join([
        model.spawn(|model| model.write(0, 3)),
        model.spawn(move |model| {
            model.file.set_size(P).unwrap();
            match written {
                true => model.write(1, 4),
                false => model.file.set_size(2 * P).unwrap(),
            }
        }),
        model.spawn(|model| model.file.sync_range(0..2 * P, false).unwrap()),
        model.spawn(|model| model.file.fsync().unwrap()),
        model.spawn(|model| {
            let (mut first, mut cut) = (1, false);
            for _ in 0..2 {
                let version = model.read(0).unwrap();
                assert!(first <= version, "{version} after {first}");
                first = version;
                match model.read(1) {
                    Some(2) => assert!(!cut, "what was cut off is back"),
                    None | Some(0 | 4) => cut = true,
                    other => panic!("{other:?}"),
                }
            }
        }),
    ]);
    assert_eq!(model.unmount(), [3, if written { 4 } else { 0 }]);
}

/// Two who sync, one of whom has written nothing: each returns with all of it on the volume, and
/// with the size.
#[test]
fn whoever_syncs_second_has_it_as_well() {
    check(|| {
        let model = Model::new(1);
        model.write(1, 2);
        let other = model.spawn(|model| model.file.fsync().unwrap());
        model.fs.sync().unwrap();
        let stored = model.fs.volume().attrs(model.id).unwrap();
        assert_eq!(stored.size, 2 * P);
        other.join().unwrap();
        assert_eq!(model.after_power_cut(), [1, 2]);
    });
}

/// A file is longer before its writer says that the new bytes are dirty. Who syncs in between has not
/// waited for them, and must not store the size. Guard: `Inode::reach` counts what was said to be dirty.
#[test]
fn fsync_stored_the_size_of_an_append_that_was_not_dirty() {
    check(|| {
        let model = Model::new(1);
        model.write(0, 2);
        let appends = model.spawn(|model| model.write(1, 3));
        model.file.fsync().unwrap();
        let volume = model.fs.volume();
        volume.power_cut();
        let size = volume.attrs(model.id).unwrap().size;
        let maps = volume.extent_maps(model.id, 0..size).unwrap();
        join([appends]);
        let holes = maps.iter().any(|map| map.kind == ExtentKind::Hole);
        assert!(!holes, "{size} bytes, {maps:?}");
    });
}

/// The space of a direct write that failed was free already, and reserved still. Who compared the ledger
/// with the volume in between promised it twice from then on. Guard: `drop(allocated)` in
/// `File::write_extent`.
#[test]
fn space_of_a_direct_write_that_failed_was_promised_twice() {
    check(|| {
        let model = Model::on(MemoryVolume::new(8 * P), 1);
        model.fs.volume().faults().fail_nth(FaultOp::Metadata, 1);
        let compares = model.spawn(|model| {
            let _ = model.file.shared.reserve_anew(0, || None::<()>);
        });
        let data = bytes::Bytes::from(vec![2; P as usize]);
        assert!(model.file.write_direct(0, &data).is_err());
        join([compares]);
        let promised = model.file.shared.ledger.available(delalloc::Space::Data);
        assert!(promised <= model.fs.volume().data_available());
    });
}

/// A file that is removed while it is on its way is freed once, by whoever ends it; also where its
/// writer has finished with it, and it is about to leave memory. Guard: `let_go` looks for a name
/// under the lock of the table.
#[test]
fn a_file_removed_while_its_writeback_ended_stayed() {
    check(|| {
        for parting in [false, true] {
            let Model { fs, file, id } = Model::new(1);
            file.write(0, &[2; P as usize]).unwrap();
            let file = Arc::into_inner(file).unwrap();
            if parting {
                file.finish().unwrap();
            } else {
                file.sync_range(0..P, false).unwrap();
                drop(file);
            }
            // When it is about to end.
            while fs.stats().extents_finished < 2 {
                thread::yield_now();
            }
            fs.unlink(fs.root(), b"a").unwrap();
            fs.sync().unwrap();
            assert!(fs.attrs(id).is_err(), "it stayed");
            assert_eq!(fs.volume().bytes_allocated(), 0);
            fs.unmount().unwrap();
        }
    });
}

/// Who asks for attributes while a file leaves memory sees what writers made of them. Guard:
/// `Filesystem::attrs` looks into memory first.
#[test]
fn attributes_showed_a_size_of_the_past() {
    check(|| {
        let Model { fs, file, id } = Model::new(1);
        file.write(P, &[2; 100]).unwrap();
        let asks = {
            let fs = fs.clone();
            thread::spawn(move || assert_eq!(fs.attrs(id).unwrap().size, P + 100))
        };
        Arc::into_inner(file).unwrap().finish().unwrap();
        asks.join().unwrap();
        fs.unmount().unwrap();
    });
}
