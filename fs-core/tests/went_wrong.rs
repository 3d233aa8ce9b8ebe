//! What went wrong in data paths elsewhere, as far as it takes the whole filesystem. Others of the
//! kind are beside what guards against them, in `ordered-wq`, `compress` and `readpath`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::ops::RangeInclusive;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use compress::{Codec, CodecId, Compressor, Decompressor, Error, Registry, Zstd};
use fs_core::memory::Faults;
use fs_core::{DataIo, ExtentKind, ExtentStore, Filesystem, MemoryVolume, PipelineStep};
use support::*;

/// Zstandard that compresses only while a gate is open.
struct Gated(Arc<Gate>);

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    /// What is so long passes nevertheless.
    passes: usize,
    waiting: usize,
}

impl Gate {
    fn close(&self) {
        self.state.lock().unwrap().closed = true;
    }

    fn open(&self) {
        self.state.lock().unwrap().closed = false;
        self.changed.notify_all();
    }

    fn open_for(&self, len: usize) {
        self.state.lock().unwrap().passes = len;
        self.changed.notify_all();
    }

    fn pass(&self, len: usize) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        while state.closed && state.passes != len {
            state = self.changed.wait(state).unwrap();
        }
        state.waiting -= 1;
    }

    /// Returns when somebody stands before the gate.
    fn wait_for_one(&self) {
        self.wait_for(1);
    }

    fn wait_for(&self, count: usize) {
        let mut state = self.state.lock().unwrap();
        while state.waiting < count {
            state = self.changed.wait(state).unwrap();
        }
    }
}

struct GatedCompressor(Arc<Gate>, Box<dyn Compressor>);

impl Compressor for GatedCompressor {
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Option<usize>, Error> {
        self.0.pass(src.len());
        self.1.compress(src, dst)
    }
}

impl Codec for Gated {
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
    fn compressor(&self, level: i32) -> Result<Box<dyn Compressor>, Error> {
        let inner = Zstd.compressor(level)?;
        Ok(Box::new(GatedCompressor(Arc::clone(&self.0), inner)))
    }
    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
        Zstd.decompressor()
    }
}

fn gated() -> (Filesystem<MemoryVolume>, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let volume = MemoryVolume::with_faults(u64::MAX, Faults::remembering_commits());
    let fs = builder(volume)
        .threads(3)
        .codecs(Registry::btrfs().with(Gated(Arc::clone(&gate))))
        .build()
        .unwrap();
    (fs, gate)
}

/// The second start of writeback, which waits for what is being compressed, had been removed.
/// Guards: `wait_in_flight` and `wait_writeback` in `delalloc::wait_for_range`, of which either is
/// enough here; the models miss each.
#[test]
fn fsync_returned_while_a_page_was_being_compressed() {
    let (fs, gate) = gated();
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    file.write(0, &text(131_072)).unwrap();
    gate.close();
    file.sync_range(0..u64::MAX, false).unwrap();
    gate.wait_for_one();
    let (send, synced) = mpsc::channel();
    std::thread::scope(|scope| {
        let other = fs.open(id).unwrap();
        scope.spawn(move || send.send(other.fsync()).unwrap());
        let early = synced.recv_timeout(Duration::from_millis(50));
        assert!(early.is_err(), "returned early");
        gate.open();
        synced.recv().unwrap().unwrap();
    });
    drop(file);
    let fs = filesystem(fs.into_volume().unwrap().after_power_cut());
    assert!(content(&fs, id) == text(131_072));
}

/// A page was dirty before the size had moved: it was stored with the old size, and was clean then. Guard:
/// `file_size` of the snapshot in `queue_claim`, which is of the moment at which the page is taken.
#[test]
fn an_old_eof_was_stored_and_the_page_cleaned() {
    let gate = Arc::new(Gate::default());
    let (send, claimed) = mpsc::channel();
    let fs = builder(MemoryVolume::new(u64::MAX))
        .cache_bytes(64 << 20)
        .threads(3)
        .codecs(Registry::btrfs().with(Gated(Arc::clone(&gate))))
        .observe(move |event| {
            if event.step == PipelineStep::Claimed && event.range == (0..4096) {
                send.send(()).unwrap();
            }
        })
        .build()
        .unwrap();
    let id = new_file(&fs, "a");
    let (file, other) = (fs.open(id).unwrap(), fs.open(id).unwrap());
    file.write(0, &[1; 100]).unwrap();
    // All that may be on its way is.
    gate.close();
    let much = fs.open(new_file(&fs, "much")).unwrap();
    much.write(0, &text(8 << 20)).unwrap();
    much.sync_range(0..u64::MAX, false).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| file.sync_range(0..u64::MAX, true).unwrap());
        claimed.recv().unwrap();
        // Until it has looked at the size, and waits for its turn.
        std::thread::sleep(Duration::from_millis(50));
        other.write(100, &[2; 2900]).unwrap();
        gate.open();
    });
    fs.sync().unwrap();
    fs.drop_caches();
    let mut held = vec![2; 3000];
    held[..100].fill(1);
    assert!(content(&fs, id) == held);
}

/// Truncating dropped pages that were still on their way, and what ended later put them back.
/// Guard: the wait in `File::set_size`.
#[test]
fn truncate_did_not_wait_for_what_was_being_compressed() {
    let (fs, gate) = gated();
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    file.write(0, &text(262_144)).unwrap();
    gate.close();
    file.sync_range(0..u64::MAX, false).unwrap();
    gate.wait_for_one();
    let (send, cut) = mpsc::channel();
    std::thread::scope(|scope| {
        let other = fs.open(id).unwrap();
        scope.spawn(move || send.send(other.set_size(100)).unwrap());
        let early = cut.recv_timeout(Duration::from_millis(50));
        assert!(early.is_err(), "returned early");
        gate.open();
        cut.recv().unwrap().unwrap();
    });
    fs.sync().unwrap();
    let maps = fs.volume().extent_maps(id, 4096..262_144).unwrap();
    assert!(maps.iter().all(|map| map.kind == ExtentKind::Hole));
    assert!(content(&fs, id) == text(100));
}

/// Every chunk believed that it held the caller's page, and cleaned it up once more when it fell
/// back to raw. Guard: a piece has the claim and the pages of its own range, and no other.
#[test]
fn a_raw_fallback_touched_a_page_of_another_chunk() {
    let (fs, gate) = gated();
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    let mut data = text(131_072);
    data.extend(noise(131_072, 1));
    file.write(0, &data[..131_072]).unwrap();
    file.sync_range(0..131_072, true).unwrap();
    gate.close();
    file.write(131_072, &data[131_072..]).unwrap();
    file.sync_range(131_072..262_144, false).unwrap();
    gate.wait_for_one();
    // Pages of the first chunk are on their way again when the second has ended.
    file.write(0, &[7; 8190]).unwrap();
    file.sync_range(0..8192, false).unwrap();
    gate.wait_for(2);
    gate.open_for(131_072);
    file.sync_range(131_072..262_144, true).unwrap();
    assert_eq!(fs.cache_stats().writeback, 8192, "and still on their way");
    gate.open();
    data[..8190].fill(7);
    fs.sync().unwrap();
    fs.drop_caches();
    assert!(content(&fs, id) == data);
    drop(file);
    fs.unmount().unwrap();
}

/// An inclusive end was taken for an exclusive one. Guard: ranges are half-open everywhere, and
/// `File::pages` widens to whole pages and no further.
#[test]
fn the_page_behind_the_range_was_written_too() {
    let (fs, _, file) = roomy_file();
    file.write(0, &text(3 * 4096)).unwrap();
    file.sync_range(4096..8192, true).unwrap();
    assert_eq!(fs.cache_stats().dirty, 2 * 4096);
    file.sync_range(0..1, true).unwrap();
    assert_eq!(fs.cache_stats().dirty, 4096);
    file.sync_range(8192..8192, true).unwrap();
    assert_eq!(fs.cache_stats().dirty, 4096);
    drop(file);
    fs.unmount().unwrap();
}

/// What was stored into a page while it was compressed was neither in the extent nor dirty.
/// Guard: `Mapping::claim` clears dirty before anybody looks at the bytes, which nobody changes.
#[test]
fn stores_during_compression_were_lost() {
    let (fs, gate) = gated();
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    let mut data = text(131_072);
    file.write(0, &data).unwrap();
    gate.close();
    file.sync_range(0..u64::MAX, false).unwrap();
    gate.wait_for_one();
    file.write(70_000, b"in the meantime").unwrap();
    gate.open();
    file.sync_range(0..u64::MAX, true).unwrap();
    data[70_000..70_015].copy_from_slice(b"in the meantime");
    fs.drop_caches();
    assert!(content(&fs, id) == data);
    file.fsync().unwrap();
    assert!(file.read_direct(0, u64::MAX).unwrap().concat() == data);
    drop(file);
    fs.unmount().unwrap();
}

/// A page that two ranges shared was ended twice. Guard: `File::pages` in `File::sync_range`.
#[test]
fn two_ranges_shared_a_page() {
    let (fs, _, file) = roomy_file();
    for round in 0..50 {
        file.write(0, &noise(5000, round + 1)).unwrap();
        file.write(5000, &noise(4000, round + 1)).unwrap();
        file.sync_range(0..5000, false).unwrap();
        file.sync_range(5000..9000, round % 2 == 0).unwrap();
    }
    fs.sync().unwrap();
    drop(file);
    fs.unmount().unwrap();
}

/// The rest of the last sector behind a compressed stream went to the device as it was. Guard:
/// `out[len..stored].fill(0)` in `Piece::compress`.
#[test]
fn stored_bytes_behind_a_stream_were_garbage() {
    let stored = |poisoned: bool| {
        let (fs, id, file) = roomy_file();
        if poisoned {
            let other = fs.open(new_file(&fs, "poison")).unwrap();
            other.write(0, &noise(8 << 20, 9)).unwrap();
            other.fsync().unwrap();
            fs.drop_caches();
        }
        file.write(0, &text(100_000)).unwrap();
        file.fsync().unwrap();
        let maps = fs.volume().extent_maps(id, 0..102_400).unwrap();
        let ExtentKind::Compressed {
            disk,
            disk_num_bytes,
            ..
        } = maps[0].kind
        else {
            panic!("{maps:?}")
        };
        fs.volume().read(disk, disk_num_bytes as usize, 0).unwrap()
    };
    assert!(stored(true) == stored(false));
}

/// Merged maps of compressed extents gave wrong offsets. Guard: nothing merges maps; each is a piece
/// of its own in `readpath`.
#[test]
fn neighbours_of_one_compressed_extent_were_merged() {
    let (fs, id, file) = roomy_file();
    let mut data: Vec<u8> = (0..262_144_u32).map(|n| (n / 512) as u8).collect();
    file.write(0, &data).unwrap();
    file.fsync().unwrap();
    // The extents of both folios lose their middles; what is left on either side points to them.
    for at in [40_960_usize, 167_936] {
        let part = Bytes::from(noise(8192, 7));
        file.write_direct(at as u64, &part).unwrap();
        data[at..at + 8192].copy_from_slice(&part);
    }
    fs.sync().unwrap();
    let maps = fs.volume().extent_maps(id, 0..262_144).unwrap();
    assert_eq!(maps.len(), 6);
    fs.drop_caches();
    for at in (0..64).rev().map(|page| page * 4096) {
        let mut page = [0; 4096];
        assert_eq!(file.read(at, &mut page).unwrap(), 4096);
        assert!(page == data[at as usize..][..4096], "page at {at}");
    }
    // All maps in one plan.
    fs.drop_caches();
    assert!(content(&fs, id) == data);
    drop(file);
    fs.unmount().unwrap();
}

/// Bytes of an extent went to where its beginning would be. Guard: `skip` in `check_compressed` of
/// `readpath`, which is where in an extent its map begins.
#[test]
fn decompressed_into_the_wrong_pages() {
    let (fs, id, file) = roomy_file();
    let mut data: Vec<u8> = (0..262_144_u32).map(|n| (n / 512) as u8).collect();
    file.write(0, &data).unwrap();
    file.fsync().unwrap();
    // The head of one extent, and the middle of the other.
    for at in [0_usize, 180_224] {
        let part = noise(8192, 5);
        file.write(at as u64, &part).unwrap();
        file.fsync().unwrap();
        data[at..at + 8192].copy_from_slice(&part);
    }
    for page in [2, 31, 45, 46, 63] {
        fs.drop_caches();
        let mut got = [0; 4096];
        assert_eq!(file.read(page * 4096, &mut got).unwrap(), 4096);
        assert!(got == data[page as usize * 4096..][..4096], "page {page}");
    }
    fs.drop_caches();
    assert!(content(&fs, id) == data);
    drop(file);
    fs.unmount().unwrap();
}

/// Zstandard that has no memory for a context.
struct NoMemory;

impl Codec for NoMemory {
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
        Err(Error::Context { codec: "zstd" })
    }
    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
        Zstd.decompressor()
    }
}

/// What could not be compressed for want of memory was not written. Guard: `Err(error)` in
/// `Piece::compress` keeps it raw.
#[test]
fn writeback_failed_for_want_of_memory() {
    let fs = builder(MemoryVolume::new(u64::MAX))
        .codecs(Registry::btrfs().with(NoMemory))
        .build()
        .unwrap();
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    file.write(0, &text(300_000)).unwrap();
    file.fsync().unwrap();
    assert_eq!(fs.stats().raw_codec_error, 3);
    fs.drop_caches();
    assert!(content(&fs, id) == text(300_000));
    drop(file);
    fs.unmount().unwrap();
}

/// A direct write overtook what was on its way to the same pages, which then replaced it. Guard: the
/// wait in `File::write_direct`.
#[test]
fn a_direct_write_was_replaced_by_an_older_one() {
    let (fs, gate) = gated();
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    // The first one also waits because the file may be in the tree.
    file.write_direct(0, &Bytes::from(vec![1; 4096])).unwrap();
    let mut data = text(131_072);
    file.write(0, &data).unwrap();
    gate.close();
    file.sync_range(0..u64::MAX, false).unwrap();
    gate.wait_for_one();
    let (send, written) = mpsc::channel();
    std::thread::scope(|scope| {
        let other = fs.open(id).unwrap();
        let direct = Bytes::from(vec![7; 8192]);
        scope.spawn(move || send.send(other.write_direct(4096, &direct)).unwrap());
        let early = written.recv_timeout(Duration::from_millis(50));
        assert!(early.is_err(), "returned early");
        gate.open();
        written.recv().unwrap().unwrap();
    });
    data[4096..12_288].fill(7);
    fs.sync().unwrap();
    fs.drop_caches();
    assert!(content(&fs, id) == data);
}

/// Direct and buffered writers of the same pages took each other's reservations for their own.
/// Guard: `allocated.commit()` in `File::write_direct`.
#[test]
fn space_reserved_by_direct_and_buffered_writers_leaked() {
    let (fs, id, file) = one_file(MemoryVolume::new(8 << 20));
    file.write(0, &noise(400_000, 1)).unwrap();
    std::thread::scope(|scope| {
        for thread in 1..4_u8 {
            let fs = &fs;
            scope.spawn(move || {
                let file = fs.open(id).unwrap();
                for round in 0..60_u64 {
                    let at = round * 7 % 80 * 4096;
                    let bytes = vec![thread; 5 * 4096];
                    if thread == 1 {
                        file.write(at, &bytes).unwrap();
                        file.sync_range(at..at + 8192, false).unwrap();
                    } else {
                        file.write_direct(at, &Bytes::from(bytes)).unwrap();
                    }
                }
            });
        }
    });
    fs.sync().unwrap();
    fs.check_idle().unwrap();
    drop(file);
    fs.unlink(fs.root(), b"a").unwrap();
    fs.sync().unwrap();
    assert_eq!(fs.volume().bytes_allocated(), 0);
    fs.unmount().unwrap();
}

/// What fell back to raw kept the tag of its codec. Guard: `codec: None` in `Shared::submit_parts`.
#[test]
fn files_that_fell_back_to_raw_gave_eio() {
    let (fs, id, file) = roomy_file();
    file.write(0, &noise(300_000, 1)).unwrap();
    file.fsync().unwrap();
    assert_eq!(fs.stats().raw_incompressible, 3);
    let maps = fs.volume().extent_maps(id, 0..300_000).unwrap();
    let raw = |kind: &ExtentKind<_>| matches!(kind, ExtentKind::Raw { .. } | ExtentKind::Hole);
    assert!(maps.iter().all(|map| raw(&map.kind)), "{maps:?}");
    fs.drop_caches();
    assert!(content(&fs, id) == noise(300_000, 1));
    drop(file);
    fs.unmount().unwrap();
}
