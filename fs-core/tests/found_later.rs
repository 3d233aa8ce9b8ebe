//! What was found after everything else, each a test named after what went wrong.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use fs_core::memory::FaultOp;
use fs_core::{ErrorKind, ExtentKind, ExtentStore, FileType, Filesystem, MemoryVolume};
use support::gate::*;
use support::hooked::{Call, Hooked};
use support::*;

/// A small file grew. Its last page, which was to be written anew for that, was claimed before the file had
/// grown, as it is where room is sought for the rest: so its content went into the tree once more, and
/// extents were put beside it. Guard: `OutOfTree` in `File::write_from`.
#[test]
fn extents_were_put_beside_content_in_the_tree() {
    within(20, || {
        let (fs, id, f) = one_file(MemoryVolume::new(40 * 4096));
        f.write(0, &noise(100, 1)).unwrap();
        f.fsync().unwrap();
        let inline = || {
            let maps = fs.volume().extent_maps(id, 0..1 << 20).unwrap();
            let inline = |kind: &ExtentKind<_>| matches!(kind, ExtentKind::Inline { .. });
            maps.iter().any(|map| inline(&map.kind))
        };
        assert!(inline());
        // It is promised more than it will take.
        let other = fs.open(new_file(&fs, "b")).unwrap();
        other.write(0, &text(38 * 4096)).unwrap();
        f.write(8192, &noise(8192, 2)).unwrap();
        f.fsync().unwrap();
        assert!(!inline());
        fs.drop_caches();
        assert_eq!(content(&fs, id)[..100], noise(100, 1));
        // It may be small again.
        f.set_size(0).unwrap();
        f.write(0, &noise(100, 3)).unwrap();
        f.fsync().unwrap();
        assert!(inline());
    });
}

/// What was cut off, or was where a hole was punched, was compressed and written first, if it was dirty: it
/// took its time, and where the device failed, `fsync` told of data that nobody wanted any more. Guard:
/// `File::hold_back`.
#[test]
fn dirty_data_was_written_before_it_was_dropped() {
    within(20, || {
        let (fs, id, f) = roomy_file();
        let all = noise(1 << 20, 1);
        fs.volume().faults().fail_every(FaultOp::Write, true);
        f.write(0, &all).unwrap();
        f.set_size(100).unwrap();
        f.set_size(0).unwrap();
        f.write(0, &all).unwrap();
        f.punch_hole(0..1 << 20).unwrap();
        assert_eq!(fs.cache_stats().dirty, 0);
        f.fsync().unwrap();
        assert_eq!(fs.volume().faults().seen(FaultOp::Write), 0);
        assert_eq!(content(&fs, id), vec![0; 1 << 20]);
        // What is on its way, and was overwritten meanwhile, is waited for.
        fs.volume().faults().fail_every(FaultOp::Write, false);
        for at in 0..100 {
            f.write(0, &all).unwrap();
            f.sync_range(0..512 << 10, false).unwrap();
            f.write(0, &all[..300 << 10]).unwrap();
            match at % 2 {
                0 => f.set_size(at * 1000).unwrap(),
                _ => f.punch_hole(at * 1000..1 << 20).unwrap(),
            }
            let len = f.size() as usize;
            let mut held = all[..at as usize * 1000].to_vec();
            held.resize(len, 0);
            assert!(content(&fs, id) == held, "{at}");
            fs.drop_caches();
            assert!(content(&fs, id) == held, "{at}");
        }
        fs.sync().unwrap();
        fs.check_idle().unwrap();
    });
}

/// Where the volume refuses to drop what it has, nothing is lost. Guard: `Unwanted` is dirty once more.
#[test]
fn what_could_not_be_cut_off_stays_dirty() {
    within(20, || {
        for punch in [false, true] {
            let (fs, id, f) = roomy_file();
            f.write(0, &noise(300_000, 1)).unwrap();
            fs.volume().faults().fail_every(FaultOp::Metadata, true);
            let refused = match punch {
                true => f.punch_hole(0..300_000),
                false => f.set_size(0),
            };
            refused.unwrap_err();
            fs.volume().faults().fail_every(FaultOp::Metadata, false);
            f.fsync().unwrap();
            fs.drop_caches();
            assert!(content(&fs, id) == noise(300_000, 1));
            drop(f);
            fs.unmount().unwrap();
        }
    });
}

/// Dirty data could not be written, and who read directly, or asked where there is data, got what the device
/// had before, or a hole, and no error. Guard: `File::wait_to_look`.
#[test]
fn who_looked_behind_the_cache_was_told_nothing_of_a_failure() {
    within(20, || {
        let (fs, _, f) = roomy_file();
        f.write(0, &noise(8192, 1)).unwrap();
        f.fsync().unwrap();
        let failing = |fail| fs.volume().faults().fail_every(FaultOp::Write, fail);
        failing(true);
        f.write(0, &noise(8192, 2)).unwrap();
        assert_eq!(f.read_direct(0, 8192).unwrap_err().kind(), ErrorKind::Io);
        f.write(1 << 20, &noise(8192, 3)).unwrap();
        assert_eq!(f.seek_data(8192).unwrap_err().kind(), ErrorKind::Io);
        failing(false);
        f.fsync().unwrap_err();
        f.fsync().unwrap();
        // What was lost is lost; others need not hear of it again.
        assert_eq!(f.read_direct(0, 8192).unwrap().concat(), noise(8192, 1));
        assert_eq!(f.seek_data(8192).unwrap(), None);
    });
}

/// Space was promised for as much as a source might have, in steps of 128 KiB, and where there was not as much
/// the few bytes that came were refused. Guard: `File::reserve_what_fits`.
#[test]
fn a_few_bytes_were_refused_since_there_might_be_more() {
    within(20, || {
        let (fs, id, f) = one_file(MemoryVolume::new(20 * 4096));
        f.write(0, &noise(18 * 4096, 1)).unwrap();
        f.fsync().unwrap();
        let mut rest = &b"a few bytes"[..];
        let wrote = f.write_from(18 * 4096, 1 << 20, &mut |window| {
            let take = rest.len().min(window.len());
            window[..take].copy_from_slice(&rest[..take]);
            rest = &rest[take..];
            Ok(take)
        });
        assert_eq!(wrote.unwrap(), 11);
        // What fits is written.
        let full = f.write(18 * 4096, &noise(128 << 10, 2)).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::NoSpace);
        f.fsync().unwrap();
        fs.drop_caches();
        let held = [noise(18 * 4096, 1), noise(128 << 10, 2)].concat();
        let got = content(&fs, id);
        assert!(got.len() >= 19 * 4096 && got == held[..got.len()]);
        drop(f);
        fs.unmount().unwrap();
    });
}

/// A write had preallocated space given up for it, and its source failed, or had no more. Others took the
/// space, and writing there failed, which was promised not to. Guard: `File::keep_again`.
#[test]
fn a_source_that_failed_cost_the_preallocation() {
    within(20, || {
        for ends_after in [0, 1, 8192, 20_001] {
            let (fs, id, f) = one_file(MemoryVolume::new(64 * 4096));
            f.allocate(0..32 * 4096, false).unwrap();
            let other = fs.open(new_file(&fs, "b")).unwrap();
            other.write(0, &noise(32 * 4096, 1)).unwrap();
            other.fsync().unwrap();
            let mut left = ends_after;
            let wrote = f.write_from(0, 32 * 4096, &mut |window| {
                let put = std::mem::take(&mut left);
                window[..put].copy_from_slice(&noise(put, 9));
                match put {
                    0 if ends_after % 2 == 0 => Err(std::io::Error::other("no more")),
                    put => Ok(put),
                }
            });
            assert_eq!(wrote.is_err(), ends_after % 2 == 0);
            let full = other.write(32 * 4096, &noise(4096, 2)).unwrap_err();
            assert_eq!(full.kind(), ErrorKind::NoSpace, "{ends_after}");
            let from = ends_after.next_multiple_of(4096);
            f.write(from as u64, &noise(32 * 4096 - from, 3)).unwrap();
            f.fsync().unwrap();
            fs.drop_caches();
            let held = [noise(ends_after, 9), vec![0; from - ends_after]].concat();
            let held = [held, noise(32 * 4096 - from, 3)].concat();
            assert!(content(&fs, id) == held, "{ends_after}");
            fs.sync().unwrap();
            fs.volume().audit().unwrap();
            drop((f, other));
            fs.unmount().unwrap();
        }
    });
}

/// Of a preallocated window a page was written, and the rest, which was to be kept, was lost where there was no
/// room for it in one place any more. Guard: the parts in `Shared::preallocate_again`.
#[test]
fn the_rest_of_a_preallocated_window_was_lost_where_free_space_was_in_small_parts() {
    within(20, || {
        let longest = Arc::new(AtomicU64::new(u64::MAX));
        let most = Arc::clone(&longest);
        let inner = MemoryVolume::new(64 * 4096);
        let volume = Hooked::new(inner, move |call| match call {
            Call::Allocate(len) => len <= most.load(SeqCst),
            _ => true,
        });
        let fs = Filesystem::builder(volume).build().unwrap();
        let new = |name: &[u8]| fs.create(fs.root(), name, &inode(FileType::Regular));
        let f = fs.open(new(b"a").unwrap()).unwrap();
        f.allocate(0..32 * 4096, false).unwrap();
        let other = fs.open(new(b"b").unwrap()).unwrap();
        other.write(0, &noise(32 * 4096, 1)).unwrap();
        other.fsync().unwrap();
        longest.store(3 * 4096, SeqCst);
        f.write(5 * 4096, &noise(4096, 2)).unwrap();
        let full = other.write(32 * 4096, &noise(4096, 3)).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::NoSpace);
        f.write(0, &noise(5 * 4096, 4)).unwrap();
        f.write(6 * 4096, &noise(26 * 4096, 5)).unwrap();
        f.fsync().unwrap();
        fs.volume().inner.audit().unwrap();
    });
}

/// A volume tells less of a file than was asked for, which it must not, and whoever allocated looked again
/// for ever. Guard: the check behind the maps of a window in `File::allocate`.
#[test]
fn allocating_did_not_end_where_extent_maps_are_missing() {
    within(20, || {
        let seen = Arc::new(AtomicU64::new(0));
        let volume = MemoryVolume::new(u64::MAX);
        let volume = Hooked::new(volume, {
            let seen = Arc::clone(&seen);
            move |call| !(matches!(call, Call::Maps(_)) && seen.load(SeqCst) > 0)
        });
        let fs = Filesystem::builder(volume).build().unwrap();
        let f = fs
            .open(
                fs.create(fs.root(), b"a", &inode(FileType::Regular))
                    .unwrap(),
            )
            .unwrap();
        seen.store(1, SeqCst);
        assert!(f.allocate(0..1 << 20, false).is_err());
    });
}
