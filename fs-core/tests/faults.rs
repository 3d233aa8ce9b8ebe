//! Each operation of a small workload fails once, and each time the rest goes on.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use compress::{Codec, CodecId, Compressor, Decompressor, Registry, Zstd};
use fs_core::memory::{FaultOp, Faults};
use fs_core::{Error, File, Filesystem, InodeId, MemoryVolume};
use support::*;

/// Zstandard that fails, or panics, at one call.
struct Fails {
    zstd: Zstd,
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls {
    seen: AtomicU64,
    /// 0: never.
    fail_at: AtomicU64,
    panic_at: AtomicU64,
}

impl Calls {
    fn check(&self) -> Result<(), compress::Error> {
        let nth = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        if nth == self.panic_at.load(Ordering::SeqCst) {
            panic!("injected panic at call {nth} of the codec");
        }
        match nth == self.fail_at.load(Ordering::SeqCst) {
            true => Err(compress::Error::Context { codec: "zstd" }),
            false => Ok(()),
        }
    }
}

struct FailsToo<T: ?Sized>(Arc<Calls>, Box<T>);

impl Codec for Fails {
    fn id(&self) -> CodecId {
        self.zstd.id()
    }
    fn name(&self) -> &'static str {
        self.zstd.name()
    }
    fn levels(&self) -> RangeInclusive<i32> {
        self.zstd.levels()
    }
    fn default_level(&self) -> i32 {
        self.zstd.default_level()
    }
    fn compressor(&self, level: i32) -> Result<Box<dyn Compressor>, compress::Error> {
        let inner = self.zstd.compressor(level)?;
        Ok(Box::new(FailsToo(Arc::clone(&self.calls), inner)))
    }
    fn decompressor(&self) -> Result<Box<dyn Decompressor>, compress::Error> {
        let inner = self.zstd.decompressor()?;
        Ok(Box::new(FailsToo(Arc::clone(&self.calls), inner)))
    }
}

impl Compressor for FailsToo<dyn Compressor> {
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Option<usize>, compress::Error> {
        self.0.check()?;
        self.1.compress(src, dst)
    }
}

impl Decompressor for FailsToo<dyn Decompressor> {
    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, compress::Error> {
        self.0.check()?;
        self.1.decompress(src, dst)
    }
}

/// What a file holds by our account, and by that of the last successful `fsync`.
struct Account {
    id: InodeId,
    file: File<MemoryVolume>,
    now: Vec<u8>,
    /// What it held at each step since what it surely holds after a power cut.
    since: Vec<Vec<u8>>,
    synced: bool,
    /// Something was told to have failed.
    failed: bool,
}

impl Account {
    fn note<T>(&mut self, result: &Result<T, Error>) {
        self.failed |= result.is_err();
    }

    /// A change was carried out, or failed and did a part of it, or all.
    fn changed<T>(&mut self, result: &Result<T, Error>) {
        if result.is_err()
            && let Ok(parts) = self.file.read_bytes(0, u64::MAX)
        {
            self.now = parts.concat();
        }
        self.since.push(self.now.clone());
        self.note(result);
    }

    fn write(&mut self, at: usize, data: &[u8]) {
        let written = self.file.write(at as u64, data);
        if written.is_ok() {
            let end = self.now.len().max(at + data.len());
            self.now.resize(end, 0);
            self.now[at..at + data.len()].copy_from_slice(data);
        }
        self.changed(&written);
    }

    fn fsync(&mut self) {
        let synced = self.file.fsync();
        // What failed before may be lost.
        if synced.is_ok() && !self.failed {
            self.since = vec![self.now.clone()];
            self.synced = true;
        }
        self.note(&synced);
    }

    fn resize(&mut self, size: usize) {
        let resized = self.file.set_size(size as u64);
        if resized.is_ok() {
            self.now.resize(size, 0);
        }
        self.changed(&resized);
    }

    fn punch(&mut self, from: usize, to: usize) {
        let punched = self.file.punch_hole(from as u64..to as u64);
        if punched.is_ok() {
            self.now[from..to].fill(0);
        }
        self.changed(&punched);
    }

    fn direct(&mut self, at: usize, data: Vec<u8>) {
        let data = Bytes::from(data);
        let written = self.file.write_direct(at as u64, &data);
        if written.is_ok() {
            let end = self.now.len().max(at + data.len());
            self.now.resize(end, 0);
            self.now[at..at + data.len()].copy_from_slice(&data);
        }
        self.changed(&written);
    }
}

const CAPACITY: u64 = 2 << 20;

/// Compressed, raw and inline parts, overwrites, holes, and a volume that is nearly full.
fn workload(fs: &Filesystem<MemoryVolume>) -> Option<Vec<Account>> {
    let open = |name: &str| {
        let new = inode(fs_core::FileType::Regular);
        let id = fs.create(fs.root(), name.as_bytes(), &new).ok()?;
        Some(Account {
            id,
            file: fs.open(id).ok()?,
            now: Vec::new(),
            since: vec![Vec::new()],
            synced: false,
            failed: false,
        })
    };
    let (mut mixed, mut small, mut full) = (open("mixed")?, open("small")?, open("full")?);
    let mut data = text(200_000);
    data.extend(noise(200_000, 1));
    data.extend(text(140_000));
    mixed.write(0, &data);
    small.write(0, b"in the tree");
    mixed.fsync();
    small.fsync();
    mixed.write(50_000, &noise(30_000, 2));
    mixed.punch(150_000, 260_000);
    mixed.direct(262_144, noise(8192, 3));
    mixed.fsync();
    small.write(11, &text(20_000));
    full.write(0, &noise(900_000, 4));
    full.fsync();
    mixed.resize(300_001);
    mixed.write(310_000, b"end");
    small.fsync();
    fs.drop_caches();
    // Reads, as a partial write needs them.
    mixed.write(5, b"x");
    let mut head = vec![0; 1000];
    let read = mixed.file.read(1000, &mut head);
    mixed.note(&read);
    mixed.fsync();
    let synced = fs.sync();
    for account in [&mut mixed, &mut small, &mut full] {
        account.note(&synced);
    }
    Some(vec![mixed, small, full])
}

struct Run {
    fs: Filesystem<MemoryVolume>,
    calls: Arc<Calls>,
}

fn start() -> Run {
    let faults = Faults::remembering_commits().losing_unflushed(1);
    let volume = MemoryVolume::with_faults(CAPACITY, faults);
    let calls = Arc::new(Calls::default());
    let codec = Fails {
        zstd: Zstd,
        calls: Arc::clone(&calls),
    };
    let fs = builder(volume)
        .codecs(Registry::btrfs().with(codec))
        .build()
        .unwrap();
    Run { fs, calls }
}

/// A hang is a failure.
fn within_a_minute<T: Send + 'static>(what: String, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    let thread = std::thread::spawn(move || send.send(run()));
    match receive.recv_timeout(Duration::from_secs(60)) {
        Ok(done) => done,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().unwrap_err())
        }
    }
}

/// Runs the workload with what `arm` lets go wrong, and checks what must hold whatever did.
/// `volume_lives`: it can still be written.
fn survives(what: &str, volume_lives: bool, arm: impl FnOnce(&Run) + Send + 'static) {
    let name = what.to_owned();
    within_a_minute(name.clone(), move || {
        let run = start();
        arm(&run);
        let accounts = workload(&run.fs);
        let faults = run.fs.volume().faults();
        for op in [
            FaultOp::Read,
            FaultOp::Write,
            FaultOp::Allocate,
            FaultOp::Metadata,
            FaultOp::Flush,
        ] {
            faults.fail_every(op, false);
        }
        let fs = run.fs;
        let mut expected = Vec::new();
        if let Some(accounts) = accounts {
            for account in accounts {
                if !account.failed && volume_lives {
                    fs.drop_caches();
                    let got = content(&fs, account.id);
                    assert!(got == account.now, "{name}: an innocent file is wrong");
                }
                if account.synced {
                    expected.push((account.id, account.since.clone()));
                }
            }
        }
        let synced = fs.sync();
        if volume_lives {
            // The first may tell of what failed; then there is nothing more to tell.
            if synced.is_err() {
                fs.sync()
                    .unwrap_or_else(|error| panic!("{name}: told twice: {error}"));
            }
        }
        // Nobody waits for what was read ahead.
        let start = Instant::now();
        while let Err(error) = fs.check_idle() {
            let patient = start.elapsed() < Duration::from_secs(10);
            assert!(patient, "{name}: {error}");
            std::thread::sleep(Duration::from_millis(1));
        }
        let audit = fs.volume().audit();
        audit.unwrap_or_else(|error| panic!("{name}: {error}"));
        let fs = filesystem(fs.into_volume().unwrap().after_power_cut());
        for (id, since) in expected {
            let got = content(&fs, id);
            for (n, sector) in got.chunks(4096).enumerate() {
                let held = since.iter().any(|state| {
                    let from = (n * 4096).min(state.len());
                    let to = (n * 4096 + sector.len()).min(state.len());
                    let mut held = state[from..to].to_vec();
                    held.resize(sector.len(), 0);
                    held == sector
                });
                assert!(held, "{name}: sector {n} of what was synced");
            }
        }
        fs.unmount().unwrap();
    });
}

#[test]
fn nothing_goes_wrong_by_itself() {
    let run = start();
    let accounts = workload(&run.fs).unwrap();
    for account in accounts {
        assert!(!account.failed && account.synced);
        assert!(content(&run.fs, account.id) == account.now);
    }
    run.fs.unmount().unwrap();
}

/// What went wrong elsewhere: a fallback cleaned up twice, and one failure left its neighbours
/// locked. Guards: `Claim`, `UnderWriteback` and `Reservation` are owned, and each piece has its own.
#[test]
fn every_operation_of_the_volume_fails_once() {
    let run = start();
    drop(workload(&run.fs).unwrap());
    let ops = [
        FaultOp::Read,
        FaultOp::Write,
        FaultOp::Allocate,
        FaultOp::Metadata,
        FaultOp::Flush,
    ];
    let counts = ops.map(|op| (op, run.fs.volume().faults().seen(op)));
    for (op, count) in counts {
        assert!(count > 0, "{op:?} never happens");
        for nth in 1..=count {
            let lives = op != FaultOp::Flush;
            survives(&format!("{op:?} {nth}"), lives, move |run| {
                run.fs.volume().faults().fail_nth(op, nth);
            });
        }
    }
}

#[test]
fn every_operation_of_the_volume_fails_from_some_time_on() {
    let ops = [
        FaultOp::Read,
        FaultOp::Write,
        FaultOp::Allocate,
        FaultOp::Metadata,
        FaultOp::Flush,
    ];
    for op in ops {
        survives(&format!("every {op:?}"), op != FaultOp::Flush, move |run| {
            run.fs.volume().faults().fail_every(op, true);
        });
    }
}

/// For want of memory the data is still written, raw, and so it is after a panic. Guards: `Err(error)` in
/// `Piece::compress`, and `catch_unwind` in `Piece::try_codec`.
#[test]
fn every_call_of_the_codec_fails_or_panics_once() {
    let run = start();
    drop(workload(&run.fs).unwrap());
    let count = run.calls.seen.load(Ordering::SeqCst);
    assert!(count > 10, "{count}");
    for nth in 1..=count {
        survives(&format!("codec call {nth}"), true, move |run| {
            run.calls.fail_at.store(nth, Ordering::SeqCst);
        });
        survives(&format!("panic at codec call {nth}"), true, move |run| {
            run.calls.panic_at.store(nth, Ordering::SeqCst);
        });
    }
}
