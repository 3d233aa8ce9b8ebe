//! Many threads on few files, under a small budget of memory.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fs_core::{Background, File, Filesystem, InodeId, MemoryVolume, Policy};
use support::*;

const THREADS: u64 = 8;
const REGION: u64 = 160 << 10;
const CACHE: u64 = 8 << 20;

struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// A thread and what its region of each file holds.
struct Actor<'a> {
    fs: &'a Filesystem<MemoryVolume>,
    files: Vec<File<MemoryVolume>>,
    held: Vec<Vec<u8>>,
    start: u64,
    rng: Rng,
}

impl Actor<'_> {
    fn step(&mut self) {
        let which = self.rng.below(self.files.len() as u64) as usize;
        let (file, held) = (&self.files[which], &mut self.held[which]);
        let from = self.rng.below(REGION);
        let len = 1 + self.rng.below((REGION - from).min(40_000));
        let within = from as usize..(from + len) as usize;
        let at = self.start + from;
        let seed = self.rng.below(u64::MAX);
        match self.rng.below(16) {
            0..=5 => {
                let data = if seed.is_multiple_of(2) {
                    noise(len as usize, seed)
                } else {
                    vec![seed as u8; len as usize]
                };
                file.write(at, &data).unwrap();
                held[within].copy_from_slice(&data);
            }
            6 => {
                file.punch_hole(at..at + len).unwrap();
                held[within].fill(0);
            }
            7 => {
                let from = from / 4096 * 4096;
                let data = noise(4096, seed);
                let at = self.start + from;
                file.write_direct(at, &Bytes::from(data.clone())).unwrap();
                held[from as usize..from as usize + 4096].copy_from_slice(&data);
            }
            8..=10 => {
                let mut got = vec![0xee; len as usize];
                let mut done = 0;
                while done < got.len() {
                    let n = file.read(at + done as u64, &mut got[done..]).unwrap();
                    assert!(n > 0, "nothing at {}", at + done as u64);
                    done += n;
                }
                assert_same(&got, &held[within], &format!("file {which}, from {at} on"));
            }
            11 => {
                let got = file.read_direct(at, len).unwrap().concat();
                let what = format!("file {which}, directly from {at} on");
                assert_same(&got, &held[within], &what);
            }
            12 => file.fsync().unwrap(),
            13 => file
                .sync_range(at..at + len, seed.is_multiple_of(2))
                .unwrap(),
            14 => {
                self.fs.drop_caches();
            }
            _ => file.allocate(at..at + len, true).unwrap(),
        }
    }
}

/// Says where they differ, and not all that they hold.
#[track_caller]
fn assert_same(got: &[u8], held: &[u8], what: &str) {
    let differ = |(a, b): (&u8, &u8)| a != b;
    if let Some(first) = got.iter().zip(held).position(differ) {
        let last = got.iter().zip(held).rposition(differ).unwrap_or(first);
        panic!(
            "{what}: bytes {first}..={last} of {} differ: {:?} for {:?}",
            held.len(),
            &got[first..(first + 16).min(got.len())],
            &held[first..(first + 16).min(held.len())],
        );
    }
    assert_eq!(got.len(), held.len(), "{what}: its length");
}

/// Cuts and extends a file of its own, which others read.
fn truncater(fs: &Filesystem<MemoryVolume>, id: InodeId, until: Instant, seed: u64) -> Vec<u8> {
    let file = fs.open(id).unwrap();
    let mut held = Vec::new();
    let mut rng = Rng(seed);
    while Instant::now() < until {
        // Often so small that it is stored in the tree.
        let size = match rng.below(3) {
            0 => rng.below(6000),
            _ => rng.below(400_000),
        };
        match rng.below(4) {
            0 => {
                file.set_size(size).unwrap();
                held.resize(size as usize, 0);
            }
            1 => {
                let data = text(1 + rng.below(size.max(200)) as usize / 4);
                file.write(size, &data).unwrap();
                let end = held.len().max(size as usize + data.len());
                held.resize(end, 0);
                held[size as usize..size as usize + data.len()].copy_from_slice(&data);
            }
            2 => file.fsync().unwrap(),
            _ => {
                let got = file.read_bytes(0, u64::MAX).unwrap().concat();
                assert_same(&got, &held, "what is cut");
            }
        }
    }
    held
}

#[test]
fn many_threads_on_few_files_under_little_memory() {
    let background = Background {
        expire: Duration::from_millis(20),
        interval: Duration::from_millis(5),
        ..Background::for_cache(CACHE)
    };
    let fs = builder(MemoryVolume::new(u64::MAX))
        .cache_bytes(CACHE)
        .policy(Policy::Auto(ZSTD))
        .background(Some(background))
        .build()
        .unwrap();
    let ids: Vec<InodeId> = (0..3).map(|n| new_file(&fs, &n.to_string())).collect();
    let cut = new_file(&fs, "cut");
    for id in &ids {
        fs.open(*id).unwrap().set_size(THREADS * REGION).unwrap();
    }
    let seed = 0x5eed_0000 + u64::from(std::process::id());
    println!("seed {seed}");
    let until = Instant::now() + Duration::from_secs(6);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (fs, ids, results) = (&fs, &ids, &results);
            scope.spawn(move || {
                let mut actor = Actor {
                    fs,
                    files: ids.iter().map(|id| fs.open(*id).unwrap()).collect(),
                    held: vec![vec![0; REGION as usize]; ids.len()],
                    start: thread * REGION,
                    rng: Rng(seed + thread),
                };
                while Instant::now() < until {
                    actor.step();
                }
                results.lock().unwrap().push((actor.start, actor.held));
            });
        }
        scope.spawn(|| {
            while Instant::now() < until {
                fs.sync().unwrap();
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        // Reads what is being cut: anything but an error or a panic.
        scope.spawn(|| {
            let file = fs.open(cut).unwrap();
            while Instant::now() < until {
                file.read_bytes(0, u64::MAX).unwrap();
            }
        });
        let held = truncater(&fs, cut, until, seed);
        results.lock().unwrap().push((u64::MAX, vec![held]));
    });
    fs.sync().unwrap();
    let peak = fs.cache_stats().high_water;
    // Each writer may go a folio beyond, which is shared with one under writeback.
    let bound = CACHE + 2 * THREADS * (128 << 10);
    assert!(peak <= bound, "{peak} bytes of cache, {bound} at most");
    fs.drop_caches();
    for (start, held) in results.into_inner().unwrap() {
        if start == u64::MAX {
            assert_same(&content(&fs, cut), &held[0], "what was cut, at the end");
            continue;
        }
        for (id, held) in ids.iter().zip(held) {
            let all = content(&fs, *id);
            let start = start as usize;
            let region = &all[start..start + REGION as usize];
            assert_same(region, &held, &format!("the region at {start}, at the end"));
        }
    }
    fs.unmount().unwrap();
}
