//! What a reader sees, what it costs, and how far damage reaches.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fake;

use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use compress::CodecId;
use fake::{Disk, Dropper, SECTOR, Threads, Volume, World, squeeze, text};
use pagecache::{FOLIO_SIZE, Mapping, PAGE_SIZE};
use readpath::{Error, ExtentKind, InvalidMap, ReadContents};

const CODECS: [CodecId; 3] = [CodecId::ZLIB, CodecId::LZO, CodecId::ZSTD];
const PIECE: usize = 128 * 1024;

fn read(world: &World, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0x5a; len];
    let got = world.path.read_into(&world.file(), offset, &mut bytes, 0)?;
    bytes.truncate(got);
    Ok(bytes)
}

fn check_all(world: &World) {
    assert!(read(world, 0, world.content.len() + 9).unwrap() == world.content);
    world.mapping.check_invariants();
    assert!(world.path.is_idle());
}

#[test]
fn a_second_page_of_an_extent_costs_nothing() {
    for codec in CODECS {
        let mut world = World::new();
        world.push_compressed(&text(PIECE, 1), codec);
        world.cold(None);
        for page in [7, 0, 31, 12] {
            let at = page * PAGE_SIZE;
            let want = &world.content[at as usize..][..4096];
            assert_eq!(read(&world, at, 4096).unwrap(), want);
        }
        let stats = world.path.stats();
        assert_eq!((stats.fetches, stats.decompressions), (1, 1));
        assert_eq!(stats.filled_bytes, FOLIO_SIZE);
        check_all(&world);
    }
}

#[test]
fn eight_readers_of_one_extent_decompress_it_once() {
    for round in 0..10 {
        let volume = Volume {
            slow: Some(Duration::from_millis(3)),
            ..Volume::default()
        };
        let mut world = World::with(volume, Threads(round % 3));
        // Over two folios, so that readers ask for different ones.
        world.push(65536, ExtentKind::Hole, &[]);
        world.push_compressed(&text(PIECE, 2), CodecId::ZSTD);
        world.cold(None);
        let barrier = Barrier::new(8);
        std::thread::scope(|scope| {
            for reader in 0..8 {
                let (world, barrier) = (&world, &barrier);
                scope.spawn(move || {
                    let at = 65536 + reader * 16384;
                    barrier.wait();
                    let want = &world.content[at as usize..][..4096];
                    assert_eq!(read(world, at, 4096).unwrap(), want);
                });
            }
        });
        assert_eq!(world.path.stats().decompressions, 1);
        assert_eq!(world.volume.reads.load(Ordering::SeqCst), 1);
        check_all(&world);
    }
}

/// A file that is read to pages of its own, as a direct read does, does not wait for another reader's,
/// which are of no use to it. Guard: `Key::mapping`.
#[test]
fn a_reader_waited_for_pages_of_another_cache() {
    let volume = Volume {
        slow: Some(Duration::from_millis(50)),
        ..Volume::default()
    };
    let mut world = World::with(volume, Threads(0));
    world.push_compressed(&text(PIECE, 21), CodecId::ZSTD);
    world.cold(None);
    let apart = Mapping::with_size(&world.cache, PIECE as u64);
    let beside = readpath::File {
        mapping: &apart,
        ..world.file()
    };
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(&world, 0, PIECE));
        while world.volume.reads.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        let got = world.path.read_bytes(&beside, 0..PIECE as u64, 0).unwrap();
        assert!(got.concat() == world.content);
        assert!(reader.join().unwrap().unwrap() == world.content);
    });
    assert_eq!(world.path.stats().joined, 0);
}

/// Guard: `Loader::expand` has room for exactly what the map covers.
#[test]
fn codecs_with_exactly_one_sector() {
    for codec in CODECS {
        for len in [1, 100, 4095, 4096] {
            let mut world = World::new();
            let data = text(len, 3);
            let stored = Bytes::from(squeeze(&world.workspaces, &data, codec));
            let kind = ExtentKind::Inline {
                data: stored,
                codec: Some(codec),
                ram_bytes: len as u64,
            };
            world.push(4096, kind, &data);
            world.cold(Some(len as u64));
            check_all(&world);

            let mut world = World::new();
            world.push_compressed(&text(4096, 3), codec);
            world.cold(Some(len as u64));
            check_all(&world);
        }
    }
}

/// What an extent does not reach is zero, whatever the memory held. Guard:
/// `buffer[produced..].fill(0)` in `Loader::expand`.
#[test]
fn no_garbage_after_inline_then_hole_nor_after_a_short_extent() {
    let mut world = World::new();
    let kind = ExtentKind::Inline {
        data: text(100, 4).into(),
        codec: None,
        ram_bytes: 100,
    };
    world.push(4096, kind, &text(100, 4));
    world.push(3 * 4096, ExtentKind::Hole, &[]);
    world.push(4096, ExtentKind::Prealloc, &[]);
    let data = text(5000, 5);
    let (disk, disk_num_bytes) = world.compressed(&data, CodecId::ZSTD);
    let kind = ExtentKind::Compressed {
        disk,
        disk_num_bytes,
        ram_bytes: 16384,
        offset: 0,
        codec: CodecId::ZSTD,
    };
    world.push(16384, kind, &data);
    world.cold(None);
    check_all(&world);
    // The tail behind an unaligned end is zero, too, when the file grows.
    world.cold(Some(20481 + 17));
    check_all(&world);
    world.mapping.truncate(24576);
    let tail = world.mapping.read_bytes(20480..24576).unwrap();
    assert_eq!(&tail[..18], &world.content[20480..]);
    assert!(tail[18..].iter().all(|&byte| byte == 0));
}

/// Maps of one disk extent side by side are pieces of their own. Guard: `plan` makes at least one
/// piece of each map and joins none.
#[test]
fn three_clones_of_one_extent_side_by_side() {
    let mut world = World::new();
    let data = text(PIECE, 6);
    let (disk, disk_num_bytes) = world.compressed(&data, CodecId::ZSTD);
    let part = |offset: u64| ExtentKind::Compressed {
        disk,
        disk_num_bytes,
        ram_bytes: PIECE as u64,
        offset,
        codec: CodecId::ZSTD,
    };
    for (offset, len) in [
        (0, PIECE),
        (0, PIECE),
        (65536, 65536),
        (0, 65536),
        (4096, 8192),
    ] {
        world.push(len as u64, part(offset as u64), &data[offset..offset + len]);
    }
    world.cold(None);
    check_all(&world);
    for at in (0..world.content.len()).step_by(28672).rev() {
        world.mapping.forget();
        let want = &world.content[at..];
        let want = &want[..want.len().min(4096)];
        assert_eq!(read(&world, at as u64, want.len()).unwrap(), want);
    }
}

/// An extent split by an overwrite; the parts stay in their places, and reading
/// one fills nothing of the other. Guard: `page_end` goes by the map's `len`, not by `ram_bytes`.
#[test]
fn an_extent_split_by_a_raw_overwrite() {
    let mut world = World::new();
    let data = text(PIECE, 7);
    let (disk, disk_num_bytes) = world.compressed(&data, CodecId::LZO);
    let part = |offset: u64| ExtentKind::Compressed {
        disk,
        disk_num_bytes,
        ram_bytes: PIECE as u64,
        offset,
        codec: CodecId::LZO,
    };
    world.push(40960, part(0), &data[..40960]);
    world.push_raw(&text(8192, 8));
    world.push(PIECE as u64 - 49152, part(49152), &data[49152..]);
    world.cold(None);
    read(&world, 0, 10).unwrap();
    let lookup = world.mapping.lookup(0..PIECE as u64);
    assert_eq!(lookup.missing, vec![40960..PIECE as u64]);
    check_all(&world);
}

/// The extent's own beginning would lie before the file's.
#[test]
fn a_base_before_the_file() {
    let mut world = World::new();
    let data = text(PIECE, 9);
    let (disk, disk_num_bytes) = world.compressed(&data, CodecId::ZSTD);
    let kind = ExtentKind::Compressed {
        disk,
        disk_num_bytes,
        ram_bytes: PIECE as u64,
        offset: 65536,
        codec: CodecId::ZSTD,
    };
    world.push(65536, kind, &data[65536..]);
    world.cold(None);
    check_all(&world);
}

#[test]
fn cached_pages_are_never_overwritten() {
    let mut world = World::new();
    world.push_compressed(&text(PIECE, 10), CodecId::ZSTD);
    world.cold(None);
    world.mapping.write(8192, &[b'!'; 4096]).unwrap();
    world.content[8192..12288].fill(b'!');
    check_all(&world);
    assert_eq!(world.mapping.dirty_bytes(), 4096);
}

#[test]
fn a_damaged_sector_of_a_raw_extent_fails_its_page_only() {
    for bad in 0..16 {
        let mut world = World::new();
        let disk = world.push_raw(&text(16 * SECTOR, 11));
        world
            .volume
            .flipped
            .lock()
            .unwrap()
            .insert((disk.0, bad, 0));
        world.cold(None);
        for page in 0..16 {
            let got = read(&world, page as u64 * PAGE_SIZE, 4096);
            if page != bad {
                assert_eq!(got.unwrap(), &world.content[page * 4096..][..4096]);
                continue;
            }
            let error = got.unwrap_err();
            assert!(
                matches!(error, Error::Damaged { bad_sectors: 1, .. }),
                "{error:?}"
            );
            assert_eq!(error.range(), page as u64 * 4096..page as u64 * 4096 + 4096);
            let told = error.to_string();
            assert!(
                told.contains("inode 257") && told.contains("Disk(0)"),
                "{told}"
            );
        }
        // A long read ends before it.
        if bad > 0 {
            world.mapping.forget();
            let got = read(&world, 0, 16 * SECTOR).unwrap();
            assert_eq!(got, &world.content[..bad * SECTOR]);
        }
    }
}

#[test]
fn a_damaged_sector_of_a_compressed_extent_fails_its_map_only() {
    let mut world = World::new();
    world.push_raw(&text(8192, 12));
    let disk = world.push_compressed(&text(PIECE, 13), CodecId::ZSTD);
    world.push_raw(&text(8192, 14));
    let sectors = world.volume.written.lock().unwrap()[disk.0].len() / SECTOR;
    for bad in 0..sectors {
        *world.volume.flipped.lock().unwrap() = [(disk.0, bad, 0)].into();
        world.cold(None);
        let error = read(&world, 8192 + 40960, 4096).unwrap_err();
        assert_eq!(error.range(), 8192..8192 + PIECE as u64);
        assert_eq!(read(&world, 0, 8192).unwrap(), &world.content[..8192]);
        let tail = 8192 + PIECE;
        assert_eq!(
            read(&world, tail as u64, 8192).unwrap(),
            &world.content[tail..]
        );
        assert!(world.path.is_idle());
    }
    assert_eq!(
        world.path.stats().decompressions,
        0,
        "verified before decompressing"
    );
}

#[test]
fn readahead_errors_are_not_the_readers() {
    let mut world = World::with(Volume::default(), Threads(2));
    world.push_compressed(&text(PIECE, 15), CodecId::ZSTD);
    let disk = world.push_compressed(&text(PIECE, 16), CodecId::ZSTD);
    world
        .volume
        .unreadable
        .lock()
        .unwrap()
        .insert((disk.0, 0, 0));
    world.cold(None);
    let end = world.content.len() as u64;
    world.path.read_range(&world.file(), 0..4096, end).unwrap();
    world.path.quiesce();
    let error = read(&world, PIECE as u64, 1).unwrap_err();
    assert!(matches!(error, Error::Device { .. }), "{error:?}");
}

/// Every sector is bad on one mirror or the other, and some are unreadable.
#[test]
fn mirrors_heal_sector_by_sector() {
    for compressed in [false, true] {
        let volume = Volume {
            mirrors: 3,
            ..Volume::default()
        };
        let mut world = World::with(volume, ());
        let data = text(PIECE, 17);
        let disk = match compressed {
            true => world.push_compressed(&data, CodecId::ZLIB),
            false => world.push_raw(&data),
        };
        let sectors = world.volume.written.lock().unwrap()[disk.0].len() / SECTOR;
        for sector in 0..sectors {
            // Exactly one good copy of each.
            for mirror in (0..3).filter(|mirror| *mirror != sector % 3) {
                let name = (disk.0, sector, mirror);
                match sector % 2 {
                    0 => world.volume.flipped.lock().unwrap().insert(name),
                    _ => world.volume.unreadable.lock().unwrap().insert(name),
                };
            }
        }
        world.cold(None);
        check_all(&world);
        let stats = world.path.stats();
        assert!(stats.healed_sectors > 0);
        assert_eq!(stats.damaged_sectors, 0);
    }
}

#[test]
fn hostile_maps_are_errors_of_their_pages() {
    let disk = Disk(0);
    let codec = CodecId::ZSTD;
    let packed = |disk_num_bytes, ram_bytes, offset| ExtentKind::Compressed {
        disk,
        disk_num_bytes,
        ram_bytes,
        offset,
        codec,
    };
    let raw = |disk_num_bytes, offset| ExtentKind::Raw {
        disk,
        disk_num_bytes,
        offset,
    };
    let absurd = [
        packed(4096, u64::MAX, 0),
        packed(u64::MAX, 4096, 0),
        packed(0, 4096, 0),
        packed(4096, 0, 0),
        packed(4096, 4096, u64::MAX - 4095),
        packed(4096, 8192, 8192),
        packed(4096, 8192, 17),
        packed(4096, 131_073, 0),
        raw(4096, u64::MAX - 100),
        raw(u64::MAX, u64::MAX - 4095),
        raw(8192, 8192),
        raw(0, 0),
        ExtentKind::Inline {
            data: Bytes::new(),
            codec: None,
            ram_bytes: u64::MAX,
        },
    ];
    for kind in absurd {
        let mut world = World::new();
        world.push_raw(&text(4096, 18));
        world.push(4096, kind.clone(), &[]);
        world.push_raw(&text(4096, 19));
        world.cold(None);
        let error = read(&world, 4096, 1).unwrap_err();
        assert!(
            matches!(error, Error::InvalidMap { .. }),
            "{kind:?}: {error:?}"
        );
        assert_eq!(error.range(), 4096..8192);
        assert_eq!(read(&world, 0, 8192).unwrap(), &world.content[..4096]);
        assert_eq!(read(&world, 8192, 4096).unwrap(), &world.content[8192..]);
    }
    // A hole in the maps, and a device that ends early.
    let mut world = World::new();
    world.push_raw(&text(4096, 18));
    world.push(4096, raw(1 << 40, 1 << 30), &[]);
    world.cold(Some(12288));
    assert!(matches!(read(&world, 4096, 1), Err(Error::Device { .. })));
    world.mapping = Mapping::with_size(&world.cache, 12288);
    let error = read(&world, 8192, 1).unwrap_err();
    let reason = InvalidMap::Gap;
    assert!(matches!(error, Error::InvalidMap { reason: r, .. } if r == reason));
}

#[test]
fn bytes_that_do_not_decompress_are_an_error() {
    let mut world = World::new();
    let disk = world.volume.add(vec![0xee; 8192]);
    for codec in [CodecId::ZLIB, CodecId::LZO, CodecId::ZSTD, CodecId(77)] {
        let kind = ExtentKind::Compressed {
            disk,
            disk_num_bytes: 8192,
            ram_bytes: 65536,
            offset: 0,
            codec,
        };
        world.push(65536, kind, &[]);
    }
    world.cold(None);
    for n in 0..4 {
        let error = read(&world, n * 65536, 1).unwrap_err();
        assert!(matches!(error, Error::Undecodable { .. }), "{error:?}");
    }
    assert!(world.path.is_idle());
}

/// No readahead where all memory is dirty, and the demand read still works. Guard: `try_room` in
/// `ReadPath::claim`, which evicts and never waits.
#[test]
fn readahead_waited_for_memory_of_writers() {
    let mut world = World::with(Volume::default(), Threads(2));
    for n in 0..8 {
        world.push_compressed(&text(PIECE, n), CodecId::ZSTD);
    }
    world.cache = pagecache::Cache::new(4 << 20);
    world.mapping = Mapping::with_size(&world.cache, world.content.len() as u64);
    let writers = Mapping::new(&world.cache);
    writers.write(0, &vec![1; 4 << 20]).unwrap();
    let mut part = vec![0; 65536];
    let got = world
        .path
        .read_into(&world.file(), 0, &mut part, 4 * PIECE as u64);
    assert_eq!(got.unwrap(), part.len());
    assert!(part == world.content[..part.len()]);
    world.path.quiesce();
    let stats = world.path.stats();
    assert_eq!((stats.fetches, stats.readahead_skipped), (1, 3));
}

/// A window as large as the cache is cut. Guard: `budget() / 4` in `ReadPath::claim`.
#[test]
fn readahead_without_memory_gives_way() {
    let mut world = World::with(Volume::default(), Threads(2));
    for n in 0..16 {
        world.push_compressed(&text(PIECE, n), CodecId::ZSTD);
    }
    for budget in [0, 4096, 2 * FOLIO_SIZE, 6 * FOLIO_SIZE] {
        world.cache = pagecache::Cache::new(budget);
        world.mapping = Mapping::with_size(&world.cache, world.content.len() as u64);
        let mut all = vec![0; world.content.len()];
        let end = world.content.len() as u64;
        for (n, part) in all.chunks_mut(65536).enumerate() {
            let at = n as u64 * 65536;
            let got = world.path.read_into(&world.file(), at, part, end).unwrap();
            assert_eq!(got, part.len());
        }
        assert!(all == world.content);
        world.path.quiesce();
    }
    assert!(world.path.stats().readahead_skipped > 0);
}

#[test]
fn readers_need_no_helpers() {
    let mut world = World::with(Volume::default(), Dropper);
    for n in 0..6 {
        world.push_compressed(&text(PIECE, n), CodecId::ZSTD);
    }
    world.cold(None);
    let end = world.content.len() as u64;
    let mut bytes = vec![0; 5 * PIECE];
    world
        .path
        .read_into(&world.file(), 0, &mut bytes, end)
        .unwrap();
    assert!(bytes == world.content[..5 * PIECE]);
    assert!(world.path.is_idle());
    check_all(&world);
}

#[test]
fn readahead_goes_on_behind_a_cached_request_and_neighbours_share_a_fetch() {
    let mut world = World::new();
    for n in 0..8 {
        world.push_compressed(&text(PIECE, n), CodecId::ZSTD);
    }
    world.cold(None);
    read(&world, 0, 4096).unwrap();
    assert_eq!(world.path.stats().fetches, 1);
    let end = world.content.len() as u64;
    let mut page = [0; 4096];
    world
        .path
        .read_into(&world.file(), 0, &mut page, end)
        .unwrap();
    let stats = world.path.stats();
    assert_eq!((stats.fetches, stats.decompressions), (2, 8));
    let parts = world.path.read_bytes(&world.file(), 0..end, 0).unwrap();
    assert!(parts.concat() == world.content);
    assert_eq!(world.path.stats(), stats);
}

/// A truncate during the read: nothing that was cut comes back.
#[test]
fn a_truncate_cancels_what_is_being_read() {
    let volume = Volume {
        slow: Some(Duration::from_millis(20)),
        ..Volume::default()
    };
    let mut world = World::with(volume, Threads(2));
    world.push_compressed(&text(PIECE, 20), CodecId::ZSTD);
    world.cold(None);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(&world, 0, PIECE));
        std::thread::sleep(Duration::from_millis(5));
        world.mapping.truncate(5000);
        let got = reader.join().unwrap().unwrap();
        assert!(got.len() <= PIECE && got == world.content[..got.len()]);
    });
    world.mapping.check_invariants();
    assert_eq!(read(&world, 0, PIECE).unwrap(), &world.content[..5000]);
}

/// A raw extent that is said to end where addresses end, and the last page of a file in it: what the
/// page takes of it overflowed. Guarded by `saturating_add` in `request_of`.
#[test]
fn an_extent_at_the_end_of_all_addresses_overflows() {
    let mut world = World::new();
    let kind = ExtentKind::Raw {
        disk: Disk(0),
        disk_num_bytes: u64::MAX,
        offset: u64::MAX - 100,
    };
    world.push_raw(&text(4096, 18));
    world.push(100, kind, &[]);
    world.cold(None);
    let error = read(&world, 4096, 1).unwrap_err();
    assert!(matches!(error, Error::Device { .. }), "{error:?}");
    assert_eq!(error.range(), 4096..8192);
    assert_eq!(read(&world, 0, 4096).unwrap(), &world.content[..4096]);
}

/// Jobs run on the thread of whichever reader is free, and took it down with a device that panics. Guard:
/// `or_panicked` in `fetch::read`.
#[test]
fn a_device_that_panics_took_down_a_reader() {
    for mirrors in [1, 2] {
        let volume = Volume {
            mirrors,
            ..Volume::default()
        };
        let mut world = World::with(volume, Threads(2));
        let first = world.push_raw(&text(PIECE, 3));
        world.push_compressed(&text(PIECE, 4), CodecId::ZSTD);
        world.cold(None);
        world.volume.panics.lock().unwrap().insert((first.0, 2, 0));
        if mirrors == 2 {
            check_all(&world);
            continue;
        }
        let error = read(&world, 0, 2 * PIECE).map(|bytes| bytes.len());
        assert_eq!(error.unwrap(), 2 * SECTOR, "as far as it can be read");
        let error = read(&world, 2 * PAGE_SIZE, SECTOR).unwrap_err();
        assert!(matches!(error, Error::Device { .. }), "{error}");
        assert_eq!(error.range(), 2 * PAGE_SIZE..3 * PAGE_SIZE);
        assert!(error.to_string().contains("the device panicked"), "{error}");
        let behind = read(&world, 3 * PAGE_SIZE, 2 * PIECE).unwrap();
        assert!(behind == world.content[3 * SECTOR..]);
        assert!(world.path.is_idle());
    }
}

/// The same of who verifies. Guard: `or_panicked` in `fetch::check`.
#[test]
fn who_panics_over_checksums_took_down_a_reader() {
    let volume = Volume {
        unverifiable: Some(1),
        ..Volume::default()
    };
    let mut world = World::with(volume, Threads(2));
    world.push_raw(&text(PIECE, 3));
    world.push_compressed(&text(PIECE, 4), CodecId::LZO);
    world.cold(None);
    let before = read(&world, 0, 2 * PIECE).unwrap();
    assert!(before == world.content[..PIECE]);
    let error = read(&world, FOLIO_SIZE, 1).unwrap_err();
    assert!(matches!(error, Error::Device { .. }), "{error}");
    assert_eq!(error.range(), FOLIO_SIZE..2 * FOLIO_SIZE);
    assert!(world.path.is_idle());
}
