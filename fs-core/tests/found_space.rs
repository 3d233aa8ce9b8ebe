//! Bugs that were found by looking for them, each a test named after what went wrong.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use fs_core::memory::FaultOp;
use fs_core::{
    DataSpace, ErrorKind, ExtentKind, ExtentStore, FileType, Filesystem, MemoryVolume,
    PipelineStep, Policy,
};
use support::gate::*;
use support::hooked::{Call, Hooked};
use support::*;

#[test]
fn one_page_of_preallocated_space_was_of_no_use() {
    within(20, || {
        let (fs, _, f) = one_file(MemoryVolume::new(4 << 20));
        f.allocate(0..1 << 20, false).unwrap();
        let o = fs.open(new_file(&fs, "b")).unwrap();
        let _ = o.write(0, &noise(4 << 20, 1)).unwrap_err();
        o.fsync().unwrap();
        let r = f.write(8192, &noise(4096, 2));
        assert!(r.is_ok(), "{r:?}");
    });
}

#[test]
fn direct_writes_did_not_use_preallocated_space() {
    within(20, || {
        let (fs, _, f) = one_file(MemoryVolume::new(4 << 20));
        f.allocate(0..1 << 20, false).unwrap();
        let o = fs.open(new_file(&fs, "b")).unwrap();
        let _ = o.write(0, &noise(4 << 20, 1)).unwrap_err();
        o.fsync().unwrap();
        let r = f.write_direct(0, &Bytes::from(noise(4096, 2)));
        assert!(r.is_ok(), "{r:?}");
    });
}

#[test]
fn a_write_that_failed_lost_the_preallocation() {
    within(20, || {
        let (fs, id, f) = one_file(MemoryVolume::new(4 << 20));
        f.allocate(0..64 << 10, true).unwrap();
        let o = fs.open(new_file(&fs, "b")).unwrap();
        o.write(0, &noise((4 << 20) - (64 << 10), 1)).unwrap();
        o.fsync().unwrap();
        let r = f.write(0, &noise(128 << 10, 2));
        let maps = fs.volume().extent_maps(id, 0..64 << 10).unwrap();
        assert!(r.is_err());
        assert!(
            maps.iter().all(|m| m.kind == ExtentKind::Prealloc),
            "{maps:?}"
        );
    });
}

/// Preallocated space was to be given up for a write, the volume refused, and then it was preallocated
/// once more, over itself. Guard: only what was dropped is, in `File::reserve_preallocated`.
#[test]
fn space_that_was_not_given_up_was_preallocated_twice() {
    within(20, || {
        for nth in [1, 2] {
            let (fs, id, f) = one_file(MemoryVolume::new(4 << 20));
            f.allocate(0..4096, true).unwrap();
            f.allocate(8192..12_288, true).unwrap();
            let o = fs.open(new_file(&fs, "b")).unwrap();
            o.write(0, &noise((4 << 20) - (64 << 10), 1)).unwrap();
            o.fsync().unwrap();
            let before = fs.volume().bytes_allocated();
            fs.volume().faults().fail_nth(FaultOp::Metadata, nth);
            assert!(f.write(0, &noise(128 << 10, 2)).is_err());
            fs.sync().unwrap();
            assert_eq!(fs.volume().bytes_allocated(), before, "nth {nth}");
            let maps = fs.volume().extent_maps(id, 8192..12_288).unwrap();
            assert!(maps.iter().all(|m| m.kind == ExtentKind::Prealloc));
            drop(f);
            fs.unlink(fs.root(), b"a").unwrap();
            fs.sync().unwrap();
            assert_eq!(fs.volume().bytes_allocated(), before - 8192, "nth {nth}");
        }
    });
}

#[test]
fn a_file_that_was_opened_anew_lost_its_preallocation() {
    within(20, || {
        let fs = filesystem(MemoryVolume::new(u64::MAX));
        let id = new_file(&fs, "a");
        fs.open(id).unwrap().allocate(0..1 << 20, true).unwrap();
        fs.sync().unwrap();
        let before = fs.volume().bytes_allocated();
        let f = fs.open(id).unwrap();
        f.write(0, b"small").unwrap();
        f.fsync().unwrap();
        assert!(
            fs.volume().bytes_allocated() > before / 2,
            "{before} before, {} now",
            fs.volume().bytes_allocated()
        );
    });
}

#[test]
fn preallocated_space_was_put_beside_content_in_the_tree() {
    within(20, || {
        let (fs, id, f) = roomy_file();
        f.write(0, b"small").unwrap();
        f.fsync().unwrap();
        fs.volume().faults().fail_nth(FaultOp::Allocate, 1);
        let r = f.allocate(4096..1 << 20, true);
        let maps = fs.volume().extent_maps(id, 0..1 << 20).unwrap();
        let inline = maps
            .iter()
            .any(|m| matches!(m.kind, ExtentKind::Inline { .. }));
        let pre = maps.iter().any(|m| matches!(m.kind, ExtentKind::Prealloc));
        assert!(!(inline && pre), "{r:?}, inline beside preallocated");
    });
}

/// A file of one sector, which was a hole, had one of preallocated space behind its end, and so took up as
/// much as it had. Opened anew it was stored in the tree, where nothing else may be. Guard: the look at
/// the maps in `Shared::load`.
#[test]
fn one_sector_of_space_behind_one_of_a_hole_was_given_up() {
    within(20, || {
        let (fs, id, f) = roomy_file();
        f.set_size(4096).unwrap();
        f.allocate(1 << 20..(1 << 20) + 4096, true).unwrap();
        drop(f);
        fs.sync().unwrap();
        let f = fs.open(id).unwrap();
        f.write(0, &text(4096)).unwrap();
        f.fsync().unwrap();
        let maps = fs.volume().extent_maps(id, 1 << 20..(1 << 20) + 4096);
        assert_eq!(maps.unwrap()[0].kind, ExtentKind::Prealloc);
    });
}

/// A file in the tree was cut, so that it took more bytes there than it had. Opened anew it was taken
/// for one that had left the tree long ago. Guard: `File::leave_the_tree` looks once.
#[test]
fn preallocated_space_was_put_beside_content_that_had_been_cut() {
    within(20, || {
        for direct in [false, true] {
            let (fs, id, f) = roomy_file();
            f.write(0, &text(200)).unwrap();
            f.fsync().unwrap();
            f.set_size(10).unwrap();
            drop(f);
            fs.sync().unwrap();
            let f = fs.open(id).unwrap();
            if direct {
                f.write_direct(4096, &Bytes::from(noise(4096, 1))).unwrap();
            } else {
                f.allocate(4096..1 << 20, true).unwrap();
            }
            let maps = fs.volume().extent_maps(id, 0..4096).unwrap();
            let inline = |kind: &ExtentKind<_>| matches!(kind, ExtentKind::Inline { .. });
            assert!(!maps.iter().any(|m| inline(&m.kind)), "direct: {direct}");
            assert!(content(&fs, id)[..10] == text(10));
            f.fsync().unwrap();
            fs.drop_caches();
            assert!(content(&fs, id)[..10] == text(10));
        }
    });
}

/// A file that had just been removed, and of which something was still on its way, could be opened, and
/// was empty. Guard: the look at `unlinked` in `Shared::open`.
#[test]
fn a_removed_file_was_opened_and_was_empty() {
    within(20, || {
        let (fs, gate) = gated(MemoryVolume::new(u64::MAX));
        let id = new_file(&fs, "a");
        let f = fs.open(id).unwrap();
        f.write(0, &noise(100_000, 1)).unwrap();
        gate.shut(PipelineStep::Finished, id.ino);
        f.sync_range(0..u64::MAX, false).unwrap();
        gate.wait_inside();
        fs.unlink(fs.root(), b"a").unwrap();
        // Somebody has it open, and so may others.
        assert_eq!(fs.open(id).unwrap().size(), 100_000);
        drop(f);
        let opened = fs.open(id).map(|f| f.size());
        gate.open();
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::NotFound);
        eventually(|| fs.attrs(id).is_err());
    });
}

#[test]
fn a_file_removed_while_it_was_claimed_stayed() {
    within(20, || {
        let (fs, gate) = gated(MemoryVolume::new(u64::MAX));
        let id = new_file(&fs, "a");
        let f = fs.open(id).unwrap();
        f.write(0, &noise(100_000, 1)).unwrap();
        f.fsync().unwrap();
        f.write(0, &noise(100_000, 2)).unwrap();
        gate.shut(PipelineStep::Claimed, id.ino);
        let fs2 = fs.clone();
        let t = std::thread::spawn(move || fs2.sync().unwrap());
        gate.wait_inside();
        fs.unlink(fs.root(), b"a").unwrap();
        drop(f);
        gate.open();
        t.join().unwrap();
        fs.sync().unwrap();
        assert_eq!(
            (fs.volume().bytes_allocated(), fs.attrs(id).is_err()),
            (0, true)
        );
    });
}

/// Whoever removes it finds it busy, and leaves it to whoever ends its last extent. Guard: `let_go`
/// at the end of `WriteJob::finish`.
#[test]
fn a_file_removed_while_its_writeback_ended_stayed() {
    within(20, || {
        for finished in [false, true] {
            let (fs, gate) = gated(MemoryVolume::new(u64::MAX));
            let id = new_file(&fs, "a");
            let f = fs.open(id).unwrap();
            f.write(0, &noise(100_000, 1)).unwrap();
            gate.shut(PipelineStep::Finished, id.ino);
            if finished {
                f.finish().unwrap();
            } else {
                f.sync_range(0..u64::MAX, false).unwrap();
                drop(f);
            }
            gate.wait_inside();
            fs.unlink(fs.root(), b"a").unwrap();
            assert!(fs.attrs(id).is_ok(), "freed under whoever ends it");
            gate.open();
            eventually(|| fs.attrs(id).is_err());
            fs.sync().unwrap();
            assert_eq!(fs.volume().bytes_allocated(), 0);
            fs.unmount().unwrap();
        }
    });
}

#[test]
fn promises_to_other_files_were_not_called_in() {
    within(20, || {
        let fs = filesystem(MemoryVolume::new(4 << 20));
        let b = fs.open(new_file(&fs, "b")).unwrap();
        b.write(0, &text(3 << 20)).unwrap();
        let a = fs.open(new_file(&fs, "a")).unwrap();
        let r = a.write(0, &noise(2 << 20, 1));
        assert!(r.is_ok(), "{r:?}");
    });
}

#[test]
fn a_hole_behind_the_end_gave_nothing_back() {
    within(20, || {
        let (fs, _, f) = roomy_file();
        f.allocate(0..1 << 20, true).unwrap();
        f.punch_hole(0..1 << 20).unwrap();
        fs.sync().unwrap();
        assert_eq!(fs.volume().bytes_allocated(), 0);
    });
}

#[test]
fn a_hopeless_allocation_took_all_there_was() {
    within(20, || {
        let (fs, _, f) = one_file(MemoryVolume::new(1 << 20));
        let _ = f.allocate(0..1 << 40, true).unwrap_err();
        let other = fs.open(new_file(&fs, "b")).unwrap();
        assert_eq!(fs.volume().bytes_allocated(), 0);
        other.write(0, &noise(8192, 1)).unwrap();
    });
}

#[test]
fn many_who_synced_waited_for_each_others_bytes() {
    within(25, move || {
        let data = noise(512 << 10, 1);
        // More than the budget has pieces.
        let n = 80_u64;
        let fs = builder(MemoryVolume::new(u64::MAX))
            .policy(Policy::Never)
            .cache_bytes(512 << 20)
            .build()
            .unwrap();
        let files: Vec<_> = (0..n)
            .map(|i| {
                let f = fs.open(new_file(&fs, &i.to_string())).unwrap();
                f.write(0, &data).unwrap();
                f
            })
            .collect();
        let bar = std::sync::Barrier::new(n as usize);
        std::thread::scope(|s| {
            for f in &files {
                let bar = &bar;
                s.spawn(move || {
                    bar.wait();
                    f.fsync().unwrap()
                });
            }
        });
    });
}

#[test]
fn writers_slept_in_a_cache_full_of_dirty_files() {
    within(25, || {
        let fs = filesystem(MemoryVolume::new(u64::MAX));
        std::thread::scope(|s| {
            for t in 0..4u64 {
                let fs = &fs;
                s.spawn(move || {
                    let mut keep = Vec::new();
                    for n in 0..1500 {
                        let f = fs.open(new_file(fs, &format!("{t}.{n}"))).unwrap();
                        f.write(0, &noise(20_000, n + 1)).unwrap();
                        keep.push(f);
                    }
                });
            }
        });
    });
}

#[test]
fn a_creation_that_failed_left_the_name() {
    within(20, || {
        let fs = filesystem(MemoryVolume::new(u64::MAX));
        fs.set_policy(fs.root(), Some(Policy::Never)).unwrap();
        fs.volume().faults().fail_nth(FaultOp::Metadata, 2);
        assert!(
            fs.create(fs.root(), b"a", &inode(FileType::Regular))
                .is_err()
        );
        assert_eq!(fs.lookup(fs.root(), b"a").unwrap(), None);
    });
}

#[test]
fn a_removed_file_was_given_a_name() {
    within(20, || {
        let (fs, id, f) = roomy_file();
        fs.unlink(fs.root(), b"a").unwrap();
        let error = fs.link(id, fs.root(), b"b").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(fs.lookup(fs.root(), b"b").unwrap(), None);
        drop(f);
        assert!(fs.attrs(id).is_err());
    });
}

/// A hole was punched into preallocated space while that was given up for a write and taken again: it
/// was there again, too. Guard: `punch_hole` shares the books.
#[test]
fn a_hole_in_preallocated_space_was_filled_again() {
    within(20, || {
        let looked = Arc::new(Halt::default());
        let at_look = Arc::clone(&looked);
        let hook = move |call: Call| {
            if call.looks_up(&(0..131_072)) {
                // Whoever punches may have to wait until this is done.
                at_look.pass(ms(1000));
            }
            true
        };
        let volume = Hooked::new(MemoryVolume::new(4 << 20), hook);
        let fs = Filesystem::builder(volume).threads(2).build().unwrap();
        let new = |name: &[u8]| {
            fs.create(fs.root(), name, &inode(FileType::Regular))
                .unwrap()
        };
        let id = new(b"a");
        let (f, puncher) = (fs.open(id).unwrap(), fs.open(id).unwrap());
        f.allocate(0..128 << 10, false).unwrap();
        let other = fs.open(new(b"b")).unwrap();
        let rest = fs.volume().data_available();
        other.write(0, &noise(rest as usize, 2)).unwrap();
        other.fsync().unwrap();
        looked.set();
        let spends = std::thread::spawn(move || f.write(0, &noise(4096, 3)).unwrap());
        looked.wait_held();
        puncher.punch_hole(65_536..131_072).unwrap();
        looked.let_go();
        spends.join().unwrap();
        let maps = fs.volume().extent_maps(id, 65_536..131_072).unwrap();
        assert!(maps.iter().all(|m| m.kind == ExtentKind::Hole), "{maps:?}");
    });
}

/// There was as much free space as a direct write needs, but not in one place. Guard: the halves in
/// `File::write_direct`.
#[test]
fn a_direct_write_found_no_room_where_free_space_was_in_small_parts() {
    within(20, || {
        let hook = |call| !matches!(call, Call::Allocate(len) if len > 12 << 10);
        let volume = Hooked::new(MemoryVolume::new(4 << 20), hook);
        let fs = Filesystem::builder(volume).build().unwrap();
        let new = inode(FileType::Regular);
        let id = fs.create(fs.root(), b"a", &new).unwrap();
        let f = fs.open(id).unwrap();
        let held = Bytes::from(noise(200 << 10, 1));
        f.write_direct(0, &held).unwrap();
        assert!(f.read_direct(0, 1 << 20).unwrap().concat() == held);
        fs.unlink(fs.root(), b"a").unwrap();
        drop(f);
        fs.sync().unwrap();
        assert_eq!(fs.volume().inner.bytes_allocated(), 0);
        fs.unmount().unwrap();
    });
}

/// Space was preallocated for a part of a file, and none was left. More was preallocated for another
/// part, out of that: what had been promised to the first was gone. Guard: `reserve_free` in
/// `File::allocate`.
#[test]
fn preallocated_space_was_given_up_for_space_elsewhere_in_the_file() {
    within(20, || {
        let (fs, id, f) = one_file(MemoryVolume::new(4 << 20));
        f.allocate(0..1 << 20, true).unwrap();
        let o = fs.open(new_file(&fs, "b")).unwrap();
        o.write(0, &noise(3 << 20, 1)).unwrap();
        o.fsync().unwrap();
        let error = f.allocate(1 << 20..2 << 20, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        let maps = fs.volume().extent_maps(id, 0..1 << 20).unwrap();
        let kept = maps.iter().all(|m| m.kind == ExtentKind::Prealloc);
        assert!(kept, "{maps:?}");
        f.write(0, &noise(1 << 20, 2)).unwrap();
    });
}

/// Holes were counted 64 MiB at a time, also in a range as long as a file can be. Guard: the windows
/// that grow in `File::hole_bytes`.
#[test]
fn allocating_more_than_any_volume_has_did_not_end() {
    within(20, || {
        let (_, _, f) = one_file(MemoryVolume::new(4 << 20));
        let error = f.allocate(0..1 << 62, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
    });
}
