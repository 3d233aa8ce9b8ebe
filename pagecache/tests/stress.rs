//! Writers, flushers, readers, truncaters and reclaim at once, on few files and little memory.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use pagecache::{Cache, FOLIO_SIZE, Mapping, MissingPages, PAGE_SIZE, WritebackEnd};

const P: usize = PAGE_SIZE as usize;
const PAGES: usize = 5 * 32 + 7;
const FILES: usize = 3;
const WRITERS: usize = 3;

/// A small xorshift: the seed is printed and makes a thread's choices again.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % n
    }
}

/// A file and the device behind it.
#[derive(Clone)]
struct File {
    mapping: Mapping,
    device: Arc<Mutex<Vec<u8>>>,
}

impl File {
    fn new(cache: &Cache, size: usize) -> Self {
        Self {
            mapping: Mapping::with_size(cache, size as u64),
            device: Arc::new(Mutex::new(vec![0; PAGES * P])),
        }
    }

    fn read(&self, at: usize, dst: &mut [u8], random: &mut Random) {
        let mut done = 0;
        while done < dst.len() {
            done += self.mapping.read((at + done) as u64, &mut dst[done..]);
            if done < dst.len() {
                self.fetch((at + done) / P, 1 + random.below(40), random);
            }
        }
    }

    /// Reads from the device what isn't cached, with a delay in between.
    fn fetch(&self, page: usize, pages: usize, random: &mut Random) {
        let end = (page + pages).min(PAGES);
        let lookup = self.mapping.lookup((page * P) as u64..(end * P) as u64);
        for range in lookup.missing {
            let end = range.end.min((range.start / FOLIO_SIZE + 1) * FOLIO_SIZE);
            let bytes = self.device.lock().unwrap()[range.start as usize..end as usize].to_vec();
            pause(random);
            // Stale: whoever needs it comes again.
            let _ = if random.below(2) == 0 {
                self.mapping.fill_as_of(lookup.epoch, range.start, &bytes)
            } else {
                let mut buffer = self.mapping.cache().buffer(bytes.len());
                buffer.copy_from_slice(&bytes);
                self.mapping.insert_as_of(lookup.epoch, range.start, buffer)
            };
        }
    }

    fn write(&self, at: usize, data: &[u8], random: &mut Random) {
        let mut done = 0;
        while let Err(MissingPages { written, ranges }) =
            self.mapping.write((at + done) as u64, &data[done..])
        {
            done += written as usize;
            for range in ranges {
                self.fetch(range.start as usize / P, 1, random);
            }
        }
    }

    /// Writes back one run of pages, with delays; whether there was one.
    fn flush(&self, random: &mut Random, fail: bool) -> bool {
        let from = random.below(PAGES) * P;
        let Some(snapshot) = self
            .mapping
            .claim_next(from as u64..1 << 40)
            .or_else(|| self.mapping.claim_next(0..1 << 40))
        else {
            return false;
        };
        let before = snapshot.bytes.to_vec();
        pause(random);
        assert!(before == snapshot.bytes, "a snapshot changed");
        let range = snapshot.range();
        if fail && random.below(8) == 0 {
            self.mapping.end_writeback(range, WritebackEnd::Redirty);
            return true;
        }
        self.device.lock().unwrap()[range.start as usize..range.end as usize]
            .copy_from_slice(&snapshot.bytes);
        drop(snapshot);
        self.mapping.end_writeback(range, WritebackEnd::Done);
        true
    }
}

fn pause(random: &mut Random) {
    match random.below(10) {
        0 => std::thread::sleep(Duration::from_micros(200)),
        1..4 => std::thread::yield_now(),
        _ => {}
    }
}

/// Owns every page of which the number is `owner` modulo `WRITERS`, in all files.
fn writer(files: &[File], owner: usize, random: &mut Random, stop: &AtomicBool) -> Vec<Vec<u8>> {
    let mut oracle = vec![vec![0; PAGES * P]; files.len()];
    while !stop.load(Ordering::Relaxed) {
        let which = random.below(files.len());
        let page = (random.below(PAGES / WRITERS) * WRITERS + owner) * P;
        let start = random.below(P);
        let (start, len) = match random.below(3) {
            0 => (0, P),
            1 => (start, P - start),
            _ => (start, 1 + random.below(P - start)),
        };
        let byte = random.below(255) as u8 + 1;
        let part = &mut oracle[which][page + start..page + start + len];
        if random.below(3) == 0 {
            let mut is = vec![0; len];
            files[which].read(page + start, &mut is, random);
            assert!(is == part, "file {which}, page {}, by {owner}", page / P);
        } else {
            part.fill(byte);
            files[which].write(page + start, part, random);
            files[which].mapping.cache().wait_for_room(FOLIO_SIZE);
        }
    }
    oracle
}

/// Owns a file: makes it shorter and longer, and always knows what is in it.
fn truncater(file: &File, random: &mut Random, stop: &AtomicBool) {
    let mut oracle: Vec<u8> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let at = random.below((PAGES - 2) * P);
        if random.below(2) == 0 {
            if at < oracle.len() {
                let page_end = at.next_multiple_of(P).min(oracle.len());
                file.write(at, &vec![0; page_end - at], random);
                file.mapping.truncate(at as u64);
                let gone = at.next_multiple_of(P);
                // Older writeback may still reach the device; then it gets a hole.
                file.mapping.wait_writeback(gone as u64..u64::MAX);
                file.device.lock().unwrap()[gone..].fill(0);
                file.mapping.invalidate(gone as u64..u64::MAX);
            } else {
                file.mapping.truncate(at as u64);
            }
            oracle.resize(at, 0);
        } else {
            let len = 1 + random.below(2 * P);
            let byte = random.below(255) as u8 + 1;
            let data = vec![byte; len.min(PAGES * P - at)];
            file.write(at, &data, random);
            let end = at + data.len();
            if end > oracle.len() {
                oracle.resize(end, 0);
            }
            oracle[at..end].copy_from_slice(&data);
            file.mapping.cache().wait_for_room(FOLIO_SIZE);
        }
        if !oracle.is_empty() {
            let from = random.below(oracle.len());
            let len = (oracle.len() - from).min(3 * P);
            let mut is = vec![0xaa; len];
            file.read(from, &mut is, random);
            assert!(
                is == oracle[from..from + len],
                "{from}, {len} of {}",
                oracle.len()
            );
        }
    }
}

fn disturber(files: &[File], random: &mut Random, stop: &AtomicBool) {
    let mut held = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let file = &files[random.below(files.len())];
        let page = random.below(PAGES);
        let range = (page * P) as u64..((page + random.below(40)) * P) as u64;
        match random.below(8) {
            0 => drop(file.mapping.invalidate(range)),
            1 => drop(file.mapping.cache().reclaim(random.below(1 << 20) as u64)),
            2 => file.mapping.wait_writeback(range),
            3 => held.extend(
                file.mapping
                    .lookup(range)
                    .present
                    .into_iter()
                    .map(|present| (present.bytes.to_vec(), present.bytes)),
            ),
            4 => file.mapping.forget(),
            _ => file.fetch(page, 1 + random.below(60), random),
        }
        if held.len() > 20 {
            for (copy, bytes) in held.drain(..) {
                assert!(copy == bytes, "what a reader holds changed");
            }
        }
    }
}

fn run(seed: u64, time: Duration) {
    println!("seed {seed}");
    let cache = Cache::new(6 * FOLIO_SIZE);
    let files: Vec<File> = (0..FILES).map(|_| File::new(&cache, PAGES * P)).collect();
    let short = File::new(&cache, 0);
    let mut all = files.clone();
    all.push(short.clone());
    let (stop, stop_flush) = (AtomicBool::new(false), AtomicBool::new(false));
    let random = |n: u64| Random((seed ^ (n << 32) ^ 0x9e37_79b9_7f4a_7c15) | 1);
    let oracles = std::thread::scope(|scope| {
        let (stop, stop_flush) = (&stop, &stop_flush);
        let (files, all, short) = (&files, &all, &short);
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| scope.spawn(move || writer(files, n, &mut random(n as u64), stop)))
            .collect();
        let others = [
            scope.spawn(move || truncater(short, &mut random(10), stop)),
            scope.spawn(move || disturber(all, &mut random(11), stop)),
        ];
        for n in 0..2 {
            scope.spawn(move || {
                let mut random = random(20 + n);
                while !stop_flush.load(Ordering::Relaxed) {
                    if !all[random.below(all.len())].flush(&mut random, true) {
                        std::thread::yield_now();
                    }
                }
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        let oracles: Vec<_> = writers.into_iter().map(|thread| thread.join()).collect();
        let others: Vec<_> = others.into_iter().map(|thread| thread.join()).collect();
        // Only now: writers may be waiting for room.
        stop_flush.store(true, Ordering::Relaxed);
        for other in others {
            other.unwrap();
        }
        oracles.into_iter().map(Result::unwrap).collect::<Vec<_>>()
    });
    let mut random = random(99);
    for file in &all {
        while file.flush(&mut random, false) {}
        file.mapping.check_invariants();
    }
    for (which, file) in files.iter().enumerate() {
        let device = file.device.lock().unwrap();
        for page in 0..PAGES / WRITERS * WRITERS {
            let range = page * P..(page + 1) * P;
            assert!(
                device[range.clone()] == oracles[page % WRITERS][which][range],
                "file {which}, page {page} on the device"
            );
        }
    }
    let stats = cache.stats();
    println!("{stats:?}");
    assert_eq!((stats.dirty, stats.writeback), (0, 0));
    cache.reclaim(u64::MAX);
    assert_eq!(cache.stats().resident, 0);
    drop((files, short, all));
    assert!(cache.stats().free <= cache.budget());
}

/// A hang is a failure, too.
fn with_watchdog(limit: Duration, test: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    let start = Instant::now();
    match wait.recv_timeout(limit) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs since {:?}", start.elapsed()),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join().unwrap(),
    }
}

#[test]
fn everything_at_once() {
    with_watchdog(Duration::from_secs(60), || {
        for seed in 1..4 {
            run(seed, Duration::from_millis(700));
        }
    });
}

#[test]
fn waiters_for_room_are_woken() {
    with_watchdog(Duration::from_secs(60), || {
        let cache = Cache::new(FOLIO_SIZE);
        for _ in 0..2000 {
            let file = Mapping::new(&cache);
            file.write(0, &vec![1; FOLIO_SIZE as usize]).unwrap();
            let snapshot = file.claim_next(0..FOLIO_SIZE).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| cache.wait_for_room(FOLIO_SIZE));
                scope.spawn(|| {
                    let range = snapshot.range();
                    drop(snapshot);
                    file.end_writeback(range, WritebackEnd::Done);
                });
            });
        }
    });
}
