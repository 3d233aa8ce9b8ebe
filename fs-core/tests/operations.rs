//! What can be done to a file besides writing and reading it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use compress::CodecId;
use fs_core::memory::{FaultOp, Faults};
use fs_core::{
    Background, Compression, ErrorKind, ExtentKind, ExtentStore, FileType, InodeStore,
    MemoryVolume, PipelineStep, Policy,
};
use support::*;

#[test]
fn a_file_without_a_name_lives_as_long_as_somebody_has_it_open() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    let other = fs.open(id).unwrap();
    file.write(0, &text(300_000)).unwrap();
    fs.unlink(fs.root(), b"a").unwrap();
    assert_eq!(fs.lookup(fs.root(), b"a").unwrap(), None);
    file.write(300_000, &text(10)).unwrap();
    file.fsync().unwrap();
    drop(file);
    assert!(fs.volume().bytes_allocated() > 0);
    assert_eq!(
        other.read_bytes(0, 1 << 20).unwrap().concat().len(),
        300_010
    );
    drop(other);
    fs.sync().unwrap();
    assert_eq!(fs.volume().bytes_allocated(), 0);
    assert_eq!(fs.attrs(id).unwrap_err().kind(), ErrorKind::NotFound);
    fs.unmount().unwrap();
}

/// What went wrong elsewhere: the inode was reclaimed between queueing and submission.
/// Guard: `Shared::let_go` waits until nothing of it is on its way.
#[test]
fn a_file_is_unlinked_and_closed_while_its_pieces_are_queued() {
    for step in [PipelineStep::KeptRaw, PipelineStep::Written] {
        let (fs, gate) = gate::gated(MemoryVolume::new(u64::MAX));
        let id = new_file(&fs, "a");
        let file = fs.open(id).unwrap();
        file.write(0, &noise(1 << 20, 1)).unwrap();
        gate.shut(step, id.ino);
        file.sync_range(0..u64::MAX, false).unwrap();
        gate.wait_inside();
        fs.unlink(fs.root(), b"a").unwrap();
        drop(file);
        assert!(fs.attrs(id).is_ok(), "freed under what is on its way");
        gate.open();
        fs.sync().unwrap();
        assert_eq!(fs.volume().bytes_allocated(), 0);
        let stats = fs.stats();
        assert_eq!((stats.orphans_left, stats.ranges_failed), (0, 0));
        fs.unmount().unwrap();
    }
}

#[test]
fn what_is_dirty_in_a_file_without_a_name_is_never_written() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    file.write(0, &noise(1 << 20, 1)).unwrap();
    fs.unlink(fs.root(), b"a").unwrap();
    drop(file);
    assert_eq!(fs.stats().extents_finished, 0);
    assert_eq!(fs.volume().faults().seen(FaultOp::Write), 0);
    fs.unmount().unwrap();
}

#[test]
fn only_empty_directories_are_removed() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let dir = inode(FileType::Directory);
    let sub = fs.create(fs.root(), b"sub", &dir).unwrap();
    fs.create(sub, b"x", &dir).unwrap();
    let error = fs.unlink(fs.root(), b"sub").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotEmpty);
    fs.unlink(sub, b"x").unwrap();
    fs.unlink(fs.root(), b"sub").unwrap();
    let error = fs.unlink(fs.root(), b"sub").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// What an overwrite frees can be promised again; it could not, and a file that was written over and
/// over filled the volume.
#[test]
fn overwriting_does_not_fill_the_volume() {
    let fs = filesystem(MemoryVolume::new(4 << 20));
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    for round in 0..12 {
        file.write(0, &noise(1 << 20, round + 1)).unwrap();
        file.sync_range(0..u64::MAX, true).unwrap();
    }
    assert!(content(&fs, id) == noise(1 << 20, 12));
    drop(file);
    fs.unmount().unwrap();
}

#[test]
fn a_hole_gives_its_space_back_and_reads_as_zeroes() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    let mut data = noise(1 << 20, 7);
    file.write(0, &data).unwrap();
    file.fsync().unwrap();
    file.punch_hole(100_000..900_001).unwrap();
    data[100_000..900_001].fill(0);
    file.fsync().unwrap();
    assert!(content(&fs, id) == data);
    fs.drop_caches();
    assert!(content(&fs, id) == data);
    // Whole pages of it have no extent.
    let maps = fs.volume().extent_maps(id, 102_400..897_024).unwrap();
    assert!(maps.iter().all(|map| map.kind == ExtentKind::Hole));
    assert_eq!(file.seek_hole(0).unwrap(), Some(102_400));
    assert_eq!(file.seek_data(102_400).unwrap(), Some(897_024));
    assert_eq!(file.seek_hole(897_024).unwrap(), Some(1 << 20));
    assert_eq!(file.seek_hole(1 << 20).unwrap(), None);
    assert_eq!(file.seek_data(1 << 20).unwrap(), None);
    // All of it, beyond its end: the size stays.
    file.punch_hole(0..u64::MAX).unwrap();
    fs.sync().unwrap();
    assert_eq!((file.size(), fs.volume().bytes_allocated()), (1 << 20, 0));
    drop(file);
    fs.unmount().unwrap();
}

#[test]
fn preallocated_space_is_there_when_the_volume_is_full_and_compresses() {
    let fs = filesystem(MemoryVolume::new(4 << 20));
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    file.allocate(0..2 << 20, false).unwrap();
    assert_eq!(file.size(), 2 << 20);
    assert!(content(&fs, id) == vec![0; 2 << 20]);
    // Nothing of the preallocated is data.
    assert_eq!(file.seek_data(0).unwrap(), None);
    let other = fs.open(new_file(&fs, "b")).unwrap();
    let full = other.write(0, &noise(4 << 20, 1)).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::NoSpace);
    other.fsync().unwrap();
    let before = fs.volume().bytes_allocated();
    file.write(0, &text(2 << 20)).unwrap();
    file.fsync().unwrap();
    assert!(content(&fs, id) == text(2 << 20));
    assert!(fs.volume().bytes_allocated() < before - (1 << 20));
    drop((file, other));
    fs.unmount().unwrap();
}

#[test]
fn content_in_the_tree_leaves_it_when_space_is_allocated_beside_it() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    file.write(0, b"head").unwrap();
    file.fsync().unwrap();
    assert_eq!(fs.stats().pieces_inline, 1);
    file.allocate(4096..100_000, true).unwrap();
    assert_eq!(file.size(), 4);
    let maps = fs.volume().extent_maps(id, 0..102_400).unwrap();
    let kinds: Vec<_> = maps.iter().map(|map| &map.kind).collect();
    assert!(
        matches!(kinds[..], [ExtentKind::Raw { .. }, ExtentKind::Prealloc]),
        "{kinds:?}"
    );
    file.write(5000, b"more").unwrap();
    file.fsync().unwrap();
    let mut all = b"head".to_vec();
    all.resize(5000, 0);
    all.extend(b"more");
    fs.drop_caches();
    assert!(content(&fs, id) == all);
    drop(file);
    fs.unmount().unwrap();
}

#[test]
fn allocating_beyond_the_volume_says_so() {
    let fs = filesystem(MemoryVolume::new(1 << 20));
    let file = fs.open(new_file(&fs, "a")).unwrap();
    let error = file.allocate(0..2 << 20, true).unwrap_err();
    assert_eq!((error.kind(), file.size()), (ErrorKind::NoSpace, 0));
    drop(file);
    fs.unmount().unwrap();
}

#[test]
fn direct_io_and_the_cache_see_each_other() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    file.write(0, b"in the tree").unwrap();
    file.fsync().unwrap();
    let block = noise(64 << 10, 3);
    file.write_direct(8192, &Bytes::from(block.clone()))
        .unwrap();
    let mut data = b"in the tree".to_vec();
    data.resize(8192, 0);
    data.extend(&block);
    assert!(content(&fs, id) == data);
    // Dirty in the cache, then written directly, then read both ways.
    file.write(12_288, &text(4096)).unwrap();
    data[12_288..16_384].copy_from_slice(&text(4096));
    assert!(file.read_direct(0, u64::MAX).unwrap().concat() == data);
    file.write(20_480, &text(8192)).unwrap();
    file.write_direct(20_480, &Bytes::from(noise(4096, 4)))
        .unwrap();
    data[20_480..28_672].copy_from_slice(&text(8192));
    data[20_480..24_576].copy_from_slice(&noise(4096, 4));
    assert!(content(&fs, id) == data);
    assert!(file.read_direct(0, u64::MAX).unwrap().concat() == data);
    let odd = file
        .write_direct(1, &Bytes::from_static(&[0; 4096]))
        .unwrap_err();
    assert_eq!(odd.kind(), ErrorKind::Invalid);
    drop(file);
    fs.unmount().unwrap();
}

#[test]
fn a_failure_is_told_to_each_handle_once() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let id = new_file(&fs, "a");
    let (a, b) = (fs.open(id).unwrap(), fs.open(id).unwrap());
    a.write(0, &noise(131_072, 1)).unwrap();
    fs.volume().faults().fail_every(FaultOp::Write, true);
    assert!(a.fsync().is_err());
    fs.volume().faults().fail_every(FaultOp::Write, false);
    assert!(a.fsync().is_ok());
    assert!(b.fsync().is_err());
    assert!(b.fsync().is_ok());
    // Somebody knows.
    assert!(fs.open(id).unwrap().fsync().is_ok());
    fs.sync().unwrap();
    drop((a, b));
    fs.unmount().unwrap();
}

#[test]
fn a_failure_that_nobody_was_told_of_waits_for_sync() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    file.write(0, &noise(131_072, 1)).unwrap();
    fs.volume().faults().fail_every(FaultOp::Write, true);
    file.finish().unwrap();
    assert_eq!(fs.sync().unwrap_err().kind(), ErrorKind::Io);
    fs.volume().faults().fail_every(FaultOp::Write, false);
    fs.unmount().unwrap();
}

#[test]
fn after_a_failed_commit_nothing_is_written_any_more() {
    let volume = MemoryVolume::with_faults(u64::MAX, Faults::remembering_commits());
    let fs = filesystem(volume);
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    file.write(0, b"one").unwrap();
    fs.volume().faults().fail_nth(FaultOp::Flush, 1);
    assert_eq!(file.fsync().unwrap_err().kind(), ErrorKind::Io);
    // Nor taken, to be lost later.
    assert_eq!(
        file.write(0, b"two").unwrap_err().kind(),
        ErrorKind::ReadOnly
    );
    assert_eq!(file.fsync().unwrap_err().kind(), ErrorKind::ReadOnly);
    let mut all = [0; 3];
    assert_eq!(file.read(0, &mut all).unwrap(), 3);
    assert_eq!(&all, b"one");
}

#[test]
fn policies_are_inherited_and_obeyed() {
    let fs = builder(MemoryVolume::new(u64::MAX))
        .policy(Policy::Never)
        .build()
        .unwrap();
    let lzo = Policy::Always(Compression {
        codec: CodecId::LZO,
        level: 1,
    });
    fs.set_policy(fs.root(), Some(lzo)).unwrap();
    let kind = |name: &str, own: Option<Policy>| {
        let id = new_file(&fs, name);
        if own.is_some() {
            fs.set_policy(id, own).unwrap();
        }
        let file = fs.open(id).unwrap();
        file.write(0, &text(131_072)).unwrap();
        file.fsync().unwrap();
        let maps = fs.volume().extent_maps(id, 0..131_072).unwrap();
        match &maps[0].kind {
            ExtentKind::Compressed { codec, .. } => Some(*codec),
            _ => None,
        }
    };
    assert_eq!(kind("inherits", None), Some(CodecId::LZO));
    assert_eq!(kind("never", Some(Policy::Never)), None);
    assert_eq!(kind("own", Some(Policy::Auto(ZSTD))), Some(CodecId::ZSTD));
    fs.set_policy(fs.root(), None).unwrap();
    assert_eq!(kind("as built", None), None);
    assert_eq!(fs.policy(new_file(&fs, "x")).unwrap(), None);
    for (codec, level) in [(CodecId(77), 1), (CodecId::ZSTD, 99)] {
        let no_such = Policy::Always(Compression { codec, level });
        let error = fs.set_policy(fs.root(), Some(no_such)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

/// One bad piece is no reason to give the rest up, and nothing is remembered of it. Whoever must
/// always try is asked nothing.
#[test]
fn auto_looks_at_each_piece_anew() {
    let zlib = Compression {
        codec: CodecId::ZLIB,
        level: 3,
    };
    for (policy, sampled, tried) in [
        (Policy::Auto(ZSTD), 2, 0),
        (Policy::Auto(zlib), 2, 0),
        (Policy::UnlessNoise(ZSTD), 2, 0),
        (Policy::UnlessNoise(zlib), 2, 0),
        (Policy::Always(ZSTD), 0, 2),
        (Policy::Always(zlib), 0, 2),
    ] {
        let fs = builder(MemoryVolume::new(u64::MAX))
            .policy(policy)
            .build()
            .unwrap();
        let file = fs.open(new_file(&fs, "a")).unwrap();
        let mut data = noise(131_072, 1);
        data.extend(text(131_072));
        data.extend(noise(131_072, 2));
        data.extend(text(131_072));
        file.write(0, &data).unwrap();
        file.fsync().unwrap();
        let stats = fs.stats();
        assert_eq!((stats.pieces_compressed, stats.pieces_raw), (2, 2));
        let raw = (stats.raw_sampled, stats.raw_incompressible);
        assert_eq!(raw, (sampled, tried), "{policy:?}");
        assert!(content(&fs, file.id()) == data);
        assert!(stats.ratio() > 1.9, "{}", stats.ratio());
    }
}

/// A piece of which a part comes again looks like noise to a sample, and shrinks.
#[test]
fn what_only_looks_like_noise_is_tried_unless_a_sample_decides() {
    let zlib = Compression {
        codec: CodecId::ZLIB,
        level: 3,
    };
    // 20,000 bytes come again; zlib looks back 32 KiB.
    let mut data = noise(131_072, 1);
    data.copy_within(1000..21_000, 30_001);
    for (policy, compressed) in [(Policy::Auto(zlib), 0), (Policy::UnlessNoise(zlib), 1)] {
        let fs = builder(MemoryVolume::new(u64::MAX))
            .policy(policy)
            .build()
            .unwrap();
        let file = fs.open(new_file(&fs, "a")).unwrap();
        file.write(0, &data).unwrap();
        file.fsync().unwrap();
        assert_eq!(fs.stats().pieces_compressed, compressed, "{policy:?}");
        assert!(content(&fs, file.id()) == data);
    }
}

fn background() -> Background {
    Background {
        expire: Duration::from_millis(50),
        interval: Duration::from_millis(10),
        dirty_background: u64::MAX,
        dirty_limit: u64::MAX,
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn old_data_is_written_back_by_itself() {
    let fs = builder(MemoryVolume::new(u64::MAX))
        .background(Some(background()))
        .build()
        .unwrap();
    let file = fs.open(new_file(&fs, "a")).unwrap();
    file.write(0, &text(200_000)).unwrap();
    until("written by age", || fs.stats().extents_finished == 2);
    assert_eq!(fs.stats().pages_flushed_by_age, 49);
    // Once more, as its age begins anew.
    file.write(0, b"x").unwrap();
    until("written again", || fs.stats().pages_flushed_by_age == 50);
    drop(file);
    fs.unmount().unwrap();
}

#[test]
fn young_data_waits() {
    let fs = builder(MemoryVolume::new(u64::MAX))
        .background(Some(Background {
            expire: Duration::from_secs(3600),
            ..background()
        }))
        .build()
        .unwrap();
    let file = fs.open(new_file(&fs, "a")).unwrap();
    file.write(0, &text(200_000)).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(fs.cache_stats().dirty, 49 * 4096);
    drop(file);
    fs.unmount().unwrap();
}

#[test]
fn much_data_is_written_back_by_itself_and_slows_writers_down() {
    let fs = builder(MemoryVolume::new(u64::MAX))
        .background(Some(Background {
            expire: Duration::from_secs(3600),
            interval: Duration::from_secs(3600),
            dirty_background: 512 * KIB,
            dirty_limit: 2 * MIB,
        }))
        .build()
        .unwrap();
    fs.volume()
        .faults()
        .delay(FaultOp::Write, Duration::from_millis(2));
    // Small files, none of which comes to a claim by itself.
    let mut files = Vec::new();
    for n in 0..64 {
        let file = fs.open(new_file(&fs, &n.to_string())).unwrap();
        file.write(0, &noise(256 << 10, n + 1)).unwrap();
        let cache = fs.cache_stats();
        let on_its_way = cache.dirty + cache.writeback;
        assert!(on_its_way <= 3 * MIB, "{on_its_way} bytes after file {n}");
        files.push(file);
    }
    until("little is dirty", || fs.cache_stats().dirty <= 512 * KIB);
    let stats = fs.stats();
    assert!(stats.pages_flushed_by_amount > 0, "{stats:?}");
    assert!(stats.writers_throttled > 0, "{stats:?}");
    drop(files);
    fs.unmount().unwrap();
}

/// Many files, each with less than a claim, more than the cache holds: nobody else would start
/// their writeback. Guard: `start_some` in `Shared::make_room`.
#[test]
fn a_cache_full_of_dirty_files_is_written_back() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let mut files = Vec::new();
    for n in 0..48 {
        let file = fs.open(new_file(&fs, &n.to_string())).unwrap();
        file.write(0, &text(1 << 20)).unwrap();
        files.push(file);
    }
    assert!(fs.stats().pages_flushed_by_pressure > 0);
    for file in &files {
        assert!(content(&fs, file.id()) == text(1 << 20));
    }
    drop(files);
    fs.unmount().unwrap();
}

#[test]
fn writers_of_different_ranges_do_not_wait_for_each_other() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    file.write(0, &text(1 << 20)).unwrap();
    let (enter, entered) = std::sync::mpsc::channel();
    let (leave, may_leave) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let slow = fs.open(id).unwrap();
        scope.spawn(move || {
            let mut once = Some((enter, may_leave));
            slow.write_from(0, 131_072, &mut |window| {
                if let Some((enter, may_leave)) = once.take() {
                    enter.send(()).unwrap();
                    may_leave.recv().unwrap();
                }
                window.fill(b'S');
                Ok(window.len())
            })
            .unwrap();
        });
        entered.recv().unwrap();
        file.write(524_288, b"elsewhere").unwrap();
        leave.send(()).unwrap();
    });
    let all = content(&fs, id);
    assert!(all[..131_072].iter().all(|byte| *byte == b'S'));
    assert_eq!(&all[524_288..524_297], b"elsewhere");
}

#[test]
fn truncating_zeroes_what_may_come_back() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    let mut data = noise(300_000, 1);
    file.write(0, &data).unwrap();
    file.fsync().unwrap();
    fs.drop_caches();
    file.set_size(100_001).unwrap();
    data.truncate(100_001);
    file.fsync().unwrap();
    fs.drop_caches();
    // Grown by a write far behind the end: the old bytes in the last page must be gone.
    file.write(290_000, b"end").unwrap();
    data.resize(290_000, 0);
    data.extend(b"end");
    file.fsync().unwrap();
    fs.drop_caches();
    assert!(content(&fs, id) == data);
    // Within the last page.
    file.set_size(100_001).unwrap();
    file.fsync().unwrap();
    fs.drop_caches();
    file.set_size(100_500).unwrap();
    data.truncate(100_001);
    data.resize(100_500, 0);
    file.fsync().unwrap();
    fs.drop_caches();
    assert!(content(&fs, id) == data);
    file.set_size(100_001).unwrap();
    file.set_size(200_000).unwrap();
    data.truncate(100_001);
    data.resize(200_000, 0);
    file.fsync().unwrap();
    fs.drop_caches();
    assert!(content(&fs, id) == data);
    drop(file);
    fs.unmount().unwrap();
}

#[test]
fn what_was_synced_is_there_after_a_power_cut_and_what_was_not_takes_no_space() {
    let volume = MemoryVolume::with_faults(u64::MAX, Faults::remembering_commits());
    let fs = filesystem(volume);
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    let synced = noise(300_000, 1);
    file.write(0, &synced).unwrap();
    file.fsync().unwrap();
    let allocated = fs.volume().bytes_allocated();
    file.write(0, &noise(300_000, 2)).unwrap();
    file.sync_range(0..u64::MAX, true).unwrap();
    fs.volume().power_cut();
    assert_eq!(fs.volume().bytes_allocated(), allocated);
    assert_eq!(fs.volume().attrs(id).unwrap().size, 300_000);
    fs.drop_caches();
    assert!(file.read_direct(0, u64::MAX).unwrap().concat() == synced);
}

#[test]
fn a_hole_behind_the_largest_file_is_nothing() {
    let (fs, id, file) = roomy_file();
    file.write(0, &text(10_000)).unwrap();
    file.punch_hole(u64::MAX - 1..u64::MAX).unwrap();
    file.punch_hole(8192..u64::MAX).unwrap();
    let mut held = text(10_000);
    held[8192..].fill(0);
    assert!(content(&fs, id) == held);
}
