//! Bugs that were found by looking for them, each a test named after what went wrong. Races that no
//! step can hold up are in the models of `fs-core`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, mpsc};

use bytes::Bytes;
use fs_core::memory::{FaultOp, Faults};
use fs_core::{
    Background, DataSpace, ExtentKind, ExtentStore, File, FileType, Filesystem, InodeStore,
    MemoryVolume, NewInode, PipelineStep, Policy, SetAttrs, Timestamp,
};
use support::gate::*;
use support::hooked::{Call, Hooked};
use support::*;

fn ageing() -> Background {
    Background {
        expire: ms(50),
        interval: ms(10),
        dirty_background: u64::MAX,
        dirty_limit: u64::MAX,
    }
}

#[test]
fn a_size_that_could_not_be_stored_was_forgotten() {
    within(20, || {
        let (fs, id, f) = roomy_file();
        f.write(0, &noise(100_000, 1)).unwrap();
        f.sync_range(0..u64::MAX, true).unwrap();
        drop(f);
        fs.volume().faults().fail_nth(FaultOp::Metadata, 1);
        assert!(fs.sync().is_err());
        fs.sync().unwrap();
        assert_eq!(fs.attrs(id).unwrap().size, 100_000);
    });
}

#[test]
fn sync_forgot_what_was_written_meanwhile() {
    within(20, || {
        let (fs, id, f) = roomy_file();
        f.set_size(100).unwrap();
        fs.volume().faults().delay(FaultOp::Metadata, ms(500));
        let fs2 = fs.clone();
        let t = std::thread::spawn(move || fs2.sync().unwrap());
        sleep(150);
        fs.volume().faults().delay(FaultOp::Metadata, ms(0));
        f.write(0, &noise(100_000, 1)).unwrap();
        f.sync_range(0..u64::MAX, true).unwrap();
        drop(f);
        t.join().unwrap();
        fs.sync().unwrap();
        assert_eq!(fs.attrs(id).unwrap().size, 100_000);
    });
}

#[test]
fn fsync_did_not_wait_for_the_size_that_another_stored() {
    within(20, || {
        let fs = filesystem(remembering());
        let id = new_file(&fs, "a");
        fs.sync().unwrap();
        let (a, b) = (fs.open(id).unwrap(), fs.open(id).unwrap());
        a.write(0, &noise(100_000, 1)).unwrap();
        a.sync_range(0..u64::MAX, true).unwrap();
        fs.volume().faults().delay(FaultOp::Metadata, ms(1000));
        let t = std::thread::spawn(move || a.fsync().unwrap());
        sleep(200);
        b.fsync().unwrap(); // returned Ok: the size must be durable
        fs.volume().power_cut();
        let size = fs.volume().attrs(id).unwrap().size;
        t.join().unwrap();
        assert_eq!(size, 100_000);
    });
}

#[test]
fn a_truncation_stored_a_size_before_the_bytes() {
    within(20, || {
        let fs = filesystem(remembering());
        let id = new_file(&fs, "a");
        let o = new_file(&fs, "o");
        fs.sync().unwrap();
        let f = fs.open(id).unwrap();
        f.write(0, &noise(1 << 20, 1)).unwrap();
        f.set_size(512 << 10).unwrap();
        let of = fs.open(o).unwrap();
        of.write(0, b"x").unwrap();
        of.fsync().unwrap();
        fs.volume().power_cut();
        let size = fs.volume().attrs(id).unwrap().size;
        let maps = fs.volume().extent_maps(id, 0..512 << 10).unwrap();
        let holes = maps.iter().any(|m| m.kind == ExtentKind::Hole);
        assert!(size == 0 || !holes, "size {size}, holes {holes}");
    });
}

/// Who stored attributes while a file was cut stored the size of before, and a commit made that
/// durable with what was dropped; or, a moment later, nothing was dirty any more and the file was long
/// again when it was opened anew. Guard: the lock in `Shared::cut`.
#[test]
fn a_truncation_was_undone_by_a_sync_in_between() {
    within(20, || {
        let fs = filesystem(remembering());
        let id = new_file(&fs, "a");
        let f = fs.open(id).unwrap();
        f.write(0, &noise(1 << 20, 1)).unwrap();
        f.fsync().unwrap();
        let other = fs.open(new_file(&fs, "b")).unwrap();
        // Attributes are dirty, too.
        f.write(0, &noise(4096, 2)).unwrap();
        let seen = |fs: &Filesystem<MemoryVolume>| fs.volume().faults().seen(FaultOp::Metadata);
        let before = seen(&fs);
        fs.volume().faults().delay(FaultOp::Metadata, ms(1000));
        let cutter = std::thread::spawn(move || f.set_size(100_000).unwrap());
        // The smaller size is stored, and dropping takes its time.
        eventually(|| seen(&fs) == before + 2);
        sleep(50);
        fs.volume().faults().delay(FaultOp::Metadata, ms(0));
        fs.sync().unwrap();
        cutter.join().unwrap();
        other.fsync().unwrap();
        fs.volume().power_cut();
        let size = fs.volume().attrs(id).unwrap().size;
        let maps = fs.volume().extent_maps(id, 0..size).unwrap();
        let holes = maps.iter().any(|map| map.kind == ExtentKind::Hole);
        assert!(!holes, "size {size}, {maps:?}");
    });
}

/// A file was cut while another synced it, and what was left of it was not durable when that returned:
/// the size was not stored. Guard: `Inode::cut_at` lowers the size up to which it was written.
#[test]
fn fsync_lost_what_a_cut_beside_it_left() {
    within(20, || {
        for all in [false, true] {
            let (fs, gate) = gated(remembering());
            let id = new_file(&fs, "a");
            fs.sync().unwrap();
            let (a, b) = (fs.open(id).unwrap(), fs.open(id).unwrap());
            a.write(0, &noise(1 << 20, 1)).unwrap();
            a.sync_range(0..u64::MAX, true).unwrap();
            a.write(0, &noise(4096, 2)).unwrap();
            gate.shut(PipelineStep::Written, id.ino);
            let fs2 = fs.clone();
            let syncs = std::thread::spawn(move || match all {
                true => fs2.sync().unwrap(),
                false => a.fsync().unwrap(),
            });
            gate.wait_inside();
            b.set_size(500_000).unwrap();
            // What it grows by again is nobody's promise.
            b.write(500_000, &noise(300_000, 3)).unwrap();
            gate.open();
            syncs.join().unwrap();
            fs.volume().power_cut();
            let size = fs.volume().attrs(id).unwrap().size;
            assert_eq!(size, 500_000, "all {all}");
        }
    });
}

/// What a file grew by was in the trees when a commit came, and its size was not. When it grew again,
/// after the power had failed, what was lost came back. Guard: `File::drop_lost_tail`.
#[test]
fn lost_bytes_came_back_when_the_file_grew() {
    within(20, || {
        type Grow = fn(&File<MemoryVolume>);
        let grow: [(&str, Grow); 4] = [
            ("set_size", |f| f.set_size(1 << 20).unwrap()),
            ("write", |f| f.write((1 << 20) - 1, &[0]).unwrap()),
            ("write_direct", |f| {
                let zeroes = vec![0; 4096].into();
                f.write_direct((1 << 20) - 4096, &zeroes).unwrap();
            }),
            ("allocate", |f| f.allocate(0..1 << 20, false).unwrap()),
        ];
        for (how, grow) in grow {
            let fs = filesystem(remembering());
            let id = new_file(&fs, "a");
            let other = fs.open(new_file(&fs, "b")).unwrap();
            let f = fs.open(id).unwrap();
            f.write(0, &text(10_000)).unwrap();
            f.fsync().unwrap();
            f.write(10_000, &noise(200_000, 1)).unwrap();
            f.sync_range(0..u64::MAX, true).unwrap();
            other.fsync().unwrap();
            drop((f, other));
            let fs = filesystem(fs.into_volume().unwrap().after_power_cut());
            let f = fs.open(id).unwrap();
            assert_eq!(f.size(), 10_000, "what the test needs");
            grow(&f);
            f.fsync().unwrap();
            fs.drop_caches();
            let mut held = text(10_000);
            held.resize(1 << 20, 0);
            assert!(content(&fs, id) == held, "grown by {how}");
        }
    });
}

/// All that a file had was lost with its size, but was in the tree. Nothing could be allocated for it, or
/// written past the cache, for that could not be moved out. Guard: `drop_lost_tail` before
/// `leave_the_tree`.
#[test]
fn lost_content_in_the_tree_was_in_the_way() {
    within(20, || {
        for direct in [false, true] {
            let fs = filesystem(remembering());
            let id = new_file(&fs, "a");
            let other = fs.open(new_file(&fs, "b")).unwrap();
            other.fsync().unwrap();
            let f = fs.open(id).unwrap();
            f.write(0, &text(200)).unwrap();
            f.sync_range(0..u64::MAX, true).unwrap();
            other.fsync().unwrap();
            drop((f, other));
            let fs = filesystem(fs.into_volume().unwrap().after_power_cut());
            let f = fs.open(id).unwrap();
            assert_eq!(f.size(), 0, "what the test needs");
            match direct {
                true => f.write_direct(4096, &vec![0; 4096].into()).unwrap(),
                false => f.allocate(0..8192, false).unwrap(),
            }
            fs.drop_caches();
            assert!(content(&fs, id) == [0; 8192], "direct: {direct}");
        }
    });
}

/// Attributes of a directory were changed while a file was made in it: its times were those of before
/// again. Guard: the lock of attributes in `Filesystem::create`.
#[test]
fn a_directory_had_not_changed_when_a_file_was_made() {
    within(20, || {
        let fs = filesystem(MemoryVolume::new(u64::MAX));
        let seen = || fs.volume().faults().seen(FaultOp::Metadata);
        let before = seen();
        fs.volume().faults().delay(FaultOp::Metadata, ms(500));
        let changes = fs.clone();
        let changes = std::thread::spawn(move || {
            let mode = Some(0o700);
            let set = SetAttrs {
                mode,
                ..SetAttrs::default()
            };
            changes.set_attrs(changes.root(), &set).unwrap();
        });
        eventually(|| seen() > before);
        fs.volume().faults().delay(FaultOp::Metadata, ms(0));
        let now = Timestamp { secs: 7, nanos: 0 };
        let new = NewInode {
            ctime: now,
            ..inode(FileType::Regular)
        };
        fs.create(fs.root(), b"a", &new).unwrap();
        changes.join().unwrap();
        let attrs = fs.attrs(fs.root()).unwrap();
        assert_eq!((attrs.mtime, attrs.mode), (now, 0o700));
    });
}

/// Who read past the cache had looked up where the bytes are; what was there was freed, and another file
/// got the space: it was read instead, and its checksums were right. Who reads through the cache finds
/// out. Guard: the lock in `File::read_direct`.
#[test]
fn a_direct_read_returned_bytes_of_another_file() {
    within(30, || {
        for direct in [false, true] {
            let faults = Faults::default().reusing_space();
            let fs = filesystem(MemoryVolume::with_faults(u64::MAX, faults));
            let id = new_file(&fs, "a");
            let (f, reader) = (fs.open(id).unwrap(), fs.open(id).unwrap());
            let old = noise(100_000, 1);
            f.write(0, &old).unwrap();
            f.fsync().unwrap();
            fs.drop_caches();
            let seen = |fs: &Filesystem<MemoryVolume>| fs.volume().faults().seen(FaultOp::Read);
            let before = seen(&fs);
            fs.volume().faults().delay(FaultOp::Read, ms(1000));
            let reads = std::thread::spawn(move || match direct {
                true => reader.read_direct(0, 100_000).unwrap().concat(),
                false => reader.read_bytes(0, 100_000).unwrap().concat(),
            });
            eventually(|| seen(&fs) > before);
            fs.volume().faults().delay(FaultOp::Read, ms(0));
            f.punch_hole(0..100_000).unwrap();
            fs.sync().unwrap();
            let next = new_file(&fs, "b");
            let other = fs.open(next).unwrap();
            other.write(0, &noise(100_000, 2)).unwrap();
            other.fsync().unwrap();
            let got = reads.join().unwrap();
            let zeroes = vec![0; 100_000];
            assert!(got == old || got == zeroes, "direct: {direct}");
        }
    });
}

#[test]
fn fsync_stored_the_size_of_an_append_that_was_not_written() {
    within(20, || {
        let state = Arc::new((Mutex::new((0u32, 0u32)), Condvar::new())); // (arrived, let go)
        let st = state.clone();
        let fs = builder(remembering())
            .observe(move |e| {
                if e.step == PipelineStep::Written {
                    let mut g = st.0.lock().unwrap();
                    g.0 += 1;
                    let me = g.0;
                    st.1.notify_all();
                    while g.1 < me {
                        g = st.1.wait(g).unwrap();
                    }
                }
            })
            .build()
            .unwrap();
        let arrived = |n| {
            let mut g = state.0.lock().unwrap();
            while g.0 < n {
                g = state.1.wait(g).unwrap();
            }
        };
        let go = |n| {
            state.0.lock().unwrap().1 = n;
            state.1.notify_all();
        };
        let id = new_file(&fs, "a");
        let (a, b) = (fs.open(id).unwrap(), fs.open(id).unwrap());
        a.write(0, &noise(8192, 1)).unwrap();
        let t = std::thread::spawn(move || a.fsync().unwrap());
        arrived(1);
        sleep(100);
        b.write(8192, &noise(8192, 2)).unwrap();
        go(1);
        arrived(2);
        sleep(100);
        b.write(16384, &noise(8192, 3)).unwrap();
        go(2);
        t.join().unwrap();
        fs.volume().power_cut();
        let size = fs.volume().attrs(id).unwrap().size;
        let maps = fs.volume().extent_maps(id, 0..size).unwrap();
        go(99);
        assert!(
            !maps.iter().any(|m| m.kind == ExtentKind::Hole),
            "size {size}, {maps:?}"
        );
    });
}

/// A file of one sector may be in the tree, so whoever lets it grow writes it anew, and whoever
/// overwrites it meanwhile must not come in between. Guard: `start_now` in `File::lock_to_write`.
#[test]
fn a_write_was_lost_in_a_file_of_one_sector() {
    within(60, || {
        let (fs, id, a) = roomy_file();
        a.write(0, &noise(4096, 1)).unwrap();
        let b = fs.open(id).unwrap();
        let (inside, wait_inside) = mpsc::channel();
        let grown = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                a.write_from(0, 4096, &mut |window| {
                    inside.send(()).unwrap();
                    eventually(|| fs.stats().lock_waits > 0 || grown.load(SeqCst));
                    assert!(!grown.load(SeqCst), "it grew while it was overwritten");
                    window.fill(7);
                    Ok(window.len())
                })
                .unwrap();
            });
            wait_inside.recv().unwrap();
            b.write(100_000, b"far").unwrap();
            grown.store(true, SeqCst);
        });
        fs.sync().unwrap();
        fs.drop_caches();
        let all = content(&fs, id);
        assert_eq!((&all[..4096], all.len()), (&[7; 4096][..], 100_003));
    });
}

/// A small file's content was claimed to be stored in the tree; before it got there the file grew, and
/// what it grew by overtook. Content in the tree replaces all that a file has. Guard: the look at the
/// size in `Piece::submit`.
#[test]
fn content_for_the_tree_replaced_what_a_file_grew_by() {
    within(60, || {
        let (at_the_door, wait_there) = mpsc::channel();
        let (let_go, wait_let_go) = mpsc::channel::<()>();
        let first = Mutex::new(Some((at_the_door, wait_let_go)));
        let fs = builder(MemoryVolume::new(u64::MAX)).observe(move |event| {
            if event.step != PipelineStep::Queued {
                return;
            }
            let first = first.lock().unwrap().take();
            if let Some((at_the_door, wait_let_go)) = first {
                at_the_door.send(()).unwrap();
                wait_let_go.recv().unwrap();
            }
        });
        let fs = fs.build().unwrap();
        let id = new_file(&fs, "a");
        let (a, b) = (fs.open(id).unwrap(), fs.open(id).unwrap());
        a.write(0, &text(100)).unwrap();
        let mut small = None;
        // Once its bytes are asked for, whoever lets it grow does not look at what is on its way any more.
        b.write_from(200_000, 3, &mut |window| {
            let a = fs.open(id).unwrap();
            small = Some(std::thread::spawn(move || {
                a.sync_range(0..4096, true).unwrap();
            }));
            wait_there.recv().unwrap();
            window.copy_from_slice(b"far");
            Ok(3)
        })
        .unwrap();
        b.sync_range(196_608..200_704, true).unwrap();
        let_go.send(()).unwrap();
        small.unwrap().join().unwrap();
        fs.sync().unwrap();
        fs.drop_caches();
        let mut held = vec![0; 200_003];
        held[..100].copy_from_slice(&text(100));
        held[200_000..].copy_from_slice(b"far");
        assert!(
            content(&fs, id) == held,
            "{:?}",
            content(&fs, id)[200_000..].to_vec()
        );
    });
}

#[test]
fn seeking_data_in_a_huge_hole_did_not_end() {
    within(20, || {
        let (_, _, f) = roomy_file();
        f.set_size(1 << 62).unwrap();
        assert_eq!(f.seek_data(0).unwrap(), None);
    });
}

#[test]
fn a_failed_truncation_showed_old_bytes_later() {
    within(20, || {
        for nth in [1, 2] {
            let (fs, id, f) = roomy_file();
            f.write(0, &noise(1 << 20, 1)).unwrap();
            f.fsync().unwrap();
            fs.volume().faults().fail_nth(FaultOp::Metadata, nth);
            assert!(f.set_size(0).is_err());
            let after = f.size();
            f.set_size(1 << 20).unwrap();
            f.fsync().unwrap();
            fs.drop_caches();
            let all = content(&fs, id);
            assert!(
                after == 1 << 20 || all == vec![0; 1 << 20],
                "nth {nth}: size() said {after} after the error, and old bytes are back"
            );
        }
    });
}

#[test]
fn the_second_file_that_failed_was_told_to_nobody() {
    within(20, || {
        let fs = filesystem(MemoryVolume::new(u64::MAX));
        fs.volume().faults().fail_every(FaultOp::Write, true);
        for n in ["a", "b"] {
            let f = fs.open(new_file(&fs, n)).unwrap();
            f.write(0, &noise(100_000, 1)).unwrap();
            f.finish().unwrap();
        }
        assert!(fs.sync().is_err());
        fs.volume().faults().fail_every(FaultOp::Write, false);
        assert!(fs.sync().is_err(), "of the other one");
        fs.sync().unwrap();
    });
}

#[test]
fn a_panic_on_the_writer_thread_hung_all_others() {
    within(20, || {
        let once = AtomicBool::new(false);
        let fs = builder(MemoryVolume::new(u64::MAX))
            .observe(move |e| {
                if e.step == PipelineStep::Written && !once.swap(true, SeqCst) {
                    panic!("observer")
                }
            })
            .build()
            .unwrap();
        let f = fs.open(new_file(&fs, "a")).unwrap();
        f.write(0, &noise(100_000, 1)).unwrap();
        assert!(f.fsync().is_err());
        f.write(0, &noise(100_000, 2)).unwrap();
        f.fsync().unwrap();
    });
}

/// Whoever queued a claim panicked in the middle of it. What of it was queued before waited for the rest,
/// and who synced for both. Guards: `Unqueued`, and pages that are owned before anybody sees them.
#[test]
fn a_panic_between_two_pieces_hung_who_synced() {
    within(20, || {
        let once = AtomicBool::new(false);
        let fs = builder(MemoryVolume::new(u64::MAX))
            .policy(Policy::Never)
            .observe(move |e| {
                let third = e.step == PipelineStep::Queued && e.range.start == 262_144;
                assert!(!third || once.swap(true, SeqCst), "observer");
            })
            .build()
            .unwrap();
        let id = new_file(&fs, "a");
        let (a, b) = (fs.open(id).unwrap(), fs.open(id).unwrap());
        let held = noise(500_000, 1);
        a.write(0, &held).unwrap();
        let panics = std::thread::spawn(move || a.sync_range(0..u64::MAX, false));
        assert!(panics.join().is_err());
        // What was not queued is lost, and told.
        assert!(b.fsync().is_err());
        b.write(262_144, &held[262_144..]).unwrap();
        b.fsync().unwrap();
        fs.drop_caches();
        assert!(content(&fs, id) == held);
        drop(b);
        fs.unmount().unwrap();
    });
}

#[test]
fn zeroes_of_a_punched_page_did_not_age() {
    within(20, || {
        let fs = builder(MemoryVolume::new(u64::MAX))
            .background(Some(ageing()))
            .build()
            .unwrap();
        let f = fs.open(new_file(&fs, "a")).unwrap();
        f.write(0, &noise(100_000, 1)).unwrap();
        f.fsync().unwrap();
        sleep(200);
        f.punch_hole(100..200).unwrap();
        sleep(1500);
        assert_eq!(fs.cache_stats().dirty, 0);
    });
}

#[test]
fn what_was_dirtied_on_its_way_did_not_age() {
    within(20, || {
        let fs = builder(MemoryVolume::new(u64::MAX))
            .background(Some(ageing()))
            .build()
            .unwrap();
        let f = fs.open(new_file(&fs, "a")).unwrap();
        fs.volume().faults().delay(FaultOp::Write, ms(400));
        f.write(0, &noise(8192, 1)).unwrap();
        sleep(150);
        f.write(0, &noise(8192, 2)).unwrap();
        sleep(100);
        fs.volume().faults().delay(FaultOp::Write, ms(0));
        sleep(2000);
        assert_eq!(fs.cache_stats().dirty, 0);
    });
}

/// Preallocated space was to be given up for a write. Between the look at what there is and that,
/// another one wrote to the same window, and its bytes were given up as well. Guard: the lock in
/// `File::reserve_preallocated` comes first.
#[test]
fn bytes_beside_preallocated_space_were_given_up_for_a_write() {
    within(30, || {
        let (writing, looked) = (Arc::new(Halt::default()), Arc::new(Halt::default()));
        let (at_write, at_look) = (Arc::clone(&writing), Arc::clone(&looked));
        let hook = move |call: Call| {
            if let Call::Write = call {
                at_write.pass(ms(20_000));
            }
            if call.looks_up(&(0..131_072)) {
                // Whoever records an extent may have to wait until this is done.
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
        let (f, direct) = (fs.open(id).unwrap(), fs.open(id).unwrap());
        f.allocate(0..128 << 10, false).unwrap();
        writing.set();
        let late = noise(8192, 1);
        let bytes = Bytes::from(late.clone());
        let writes = std::thread::spawn(move || direct.write_direct(65_536, &bytes).unwrap());
        writing.wait_held();
        let other = fs.open(new(b"b")).unwrap();
        let rest = fs.volume().data_available();
        other.write(0, &noise(rest as usize, 2)).unwrap();
        other.fsync().unwrap();
        looked.set();
        let spends = std::thread::spawn(move || {
            f.write(0, &noise(4096, 3)).unwrap();
            f
        });
        looked.wait_held();
        writing.let_go();
        let at_look = Arc::clone(&looked);
        let ends = std::thread::spawn(move || {
            writes.join().unwrap();
            at_look.let_go();
        });
        let f = spends.join().unwrap();
        ends.join().unwrap();
        f.fsync().unwrap();
        fs.drop_caches();
        let mut got = vec![0; 8192];
        f.read(65_536, &mut got).unwrap();
        assert!(got == late, "{:?}", &got[..16]);
    });
}

/// Space had been promised, and there was as much, but not in one place as long as a piece: what was
/// written was lost. Guards: the halves in `Shared::submit_part`, and raw for what is compressed.
#[test]
fn data_was_lost_where_free_space_was_in_small_parts() {
    within(30, || {
        for policy in [Policy::Never, Policy::Always(ZSTD)] {
            let hook = |call| !matches!(call, Call::Allocate(len) if len > 12 << 10);
            let volume = Hooked::new(MemoryVolume::new(4 << 20), hook);
            let fs = Filesystem::builder(volume).policy(policy).build().unwrap();
            let new = inode(FileType::Regular);
            let id = fs.create(fs.root(), b"a", &new).unwrap();
            let f = fs.open(id).unwrap();
            let mut held = noise(200_000, 1);
            // Compressed, and still longer than 12 KiB.
            held.resize(262_144, 0);
            held.extend(noise(40_000, 2));
            f.write(0, &held).unwrap();
            f.fsync().unwrap();
            fs.drop_caches();
            let mut got = vec![1; held.len()];
            let mut done = 0;
            while done < got.len() {
                done += f.read(done as u64, &mut got[done..]).unwrap();
            }
            assert!(got == held);
            drop(f);
            assert_eq!(fs.volume().inner.bytes_allocated(), 303_104);
            fs.unmount().unwrap();
        }
    });
}
