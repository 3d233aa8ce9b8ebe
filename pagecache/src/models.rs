//! The states of folios under a scheduler that tries interleavings.
//!
//! A lost wake-up is a deadlock here, which the checker reports.

use std::collections::VecDeque;
use std::env;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shuttle::sync::{Mutex, mpsc};
use shuttle::thread::{self, JoinHandle};

use crate::{Cache, FOLIO_SIZE, Mapping, PAGE_SIZE, Snapshot, WritebackEnd};

/// Runs a model under random schedules and under ones with few preemptions.
fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    let told = env::var("UBTRFS_MODEL_ITERATIONS").ok();
    let iterations = told.map_or(3000, |told| told.parse().expect("a number"));
    shuttle::check_random(model, iterations);
    shuttle::check_pct(model, iterations, 3);
}

const P: u64 = PAGE_SIZE;

/// A file and the device behind it. Whole pages are written, with versions that only go up: what
/// anybody sees of a page goes up, too, or something was lost.
#[derive(Clone)]
struct File {
    mapping: Mapping,
    /// A version a page.
    device: Arc<Mutex<Vec<u8>>>,
}

impl File {
    /// Of `pages` pages that only the device has, in version 1.
    fn new(cache: &Cache, pages: usize) -> Self {
        Self {
            mapping: Mapping::with_size(cache, pages as u64 * P),
            device: Arc::new(Mutex::new(vec![1; pages])),
        }
    }

    fn write(&self, page: u64, version: u8) {
        self.mapping
            .write(page * P, &[version; P as usize])
            .expect("whole pages need no others");
    }

    /// What a device does with a claimed range.
    fn store(&self, snapshot: &Snapshot) {
        let versions = versions(&snapshot.bytes);
        thread::yield_now();
        assert_eq!(self::versions(&snapshot.bytes), versions, "a snapshot");
        let mut device = self.device.lock().unwrap();
        for (page, version) in (snapshot.offset / P..).zip(versions) {
            let stored = &mut device[page as usize];
            assert!(*stored <= version, "I3: {version} after {stored}");
            *stored = version;
        }
    }

    /// Writes what is dirty, once; some fails the first time.
    fn flush(&self, range: Range<u64>, mut failures: u32) {
        while let Some(snapshot) = self.mapping.claim_next(range.clone()) {
            let end = if failures > 0 {
                failures -= 1;
                thread::yield_now();
                WritebackEnd::Redirty
            } else {
                self.store(&snapshot);
                WritebackEnd::Done
            };
            let range = snapshot.range();
            // First, or else its memory were neither under writeback nor to be evicted.
            drop(snapshot);
            self.mapping.end_writeback(range, end);
        }
    }

    /// A page's version as a reader sees it, 0 behind the file's end.
    fn read(&self, page: u64) -> u8 {
        let range = page * P..(page + 1) * P;
        loop {
            let lookup = self.mapping.lookup(range.clone());
            if lookup.file_size <= range.start {
                return 0;
            }
            if let [present] = &lookup.present[..] {
                return versions(&present.bytes)[0];
            }
            assert_eq!(lookup.missing, [range.clone()]);
            let fetched = self.device.lock().unwrap()[page as usize];
            thread::yield_now();
            let data = [fetched; P as usize];
            // Whether it went in or was stale, only the cache tells the version.
            let _ = self.mapping.fill_as_of(lookup.epoch, page * P, &data);
        }
    }

    /// Everything written is on the device, and nothing goes on.
    fn assert_settled(&self, versions: &[u8]) {
        self.flush(0..u64::MAX / P * P, 0);
        assert_eq!(*self.device.lock().unwrap(), versions);
        for (page, version) in (0..).zip(versions) {
            assert_eq!(self.read(page), *version, "page {page}");
        }
        self.mapping.check_invariants();
        let stats = self.mapping.cache().stats();
        assert_eq!((stats.dirty, stats.writeback), (0, 0));
        self.mapping.cache().reclaim(u64::MAX);
        assert_eq!(self.mapping.cache().stats().resident, 0, "nothing is held");
    }
}

/// The version of each page; none is torn.
fn versions(bytes: &[u8]) -> Vec<u8> {
    bytes
        .chunks(P as usize)
        .map(|page| {
            assert!(page.iter().all(|&byte| byte == page[0]), "a torn page");
            page[0]
        })
        .collect()
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Two flushers (one of which fails first), a writer, a reader, reclaim.
#[test]
fn no_version_is_lost_or_comes_back() {
    check(|| {
        let cache = Cache::new(16 * P);
        let file = File::new(&cache, 2);
        let spawn = |work: fn(&File)| {
            let file = file.clone();
            thread::spawn(move || work(&file))
        };
        file.write(1, 2);
        join([
            spawn(|file| {
                file.write(0, 2);
                file.write(1, 3);
                file.write(0, 3);
            }),
            spawn(|file| file.flush(0..2 * P, 1)),
            spawn(|file| file.flush(0..2 * P, 0)),
            spawn(|file| {
                let mut seen = [1, 2];
                for page in [0, 1, 0, 1] {
                    let version = file.read(page as u64);
                    assert!(seen[page] <= version, "{version} after {}", seen[page]);
                    seen[page] = version;
                }
            }),
            spawn(|file| {
                for _ in 0..2 {
                    file.mapping.cache().reclaim(u64::MAX);
                    thread::yield_now();
                }
            }),
        ]);
        file.assert_settled(&[3, 3]);
    });
}

/// What is behind the new end goes at once for readers, also while it is written; what is written
/// there later is not taken for it.
#[test]
fn truncate_against_writeback_and_readers() {
    check(|| {
        let cache = Cache::new(16 * P);
        let file = File::new(&cache, 2);
        file.write(0, 2);
        file.write(1, 2);
        let spawn = |work: fn(&File)| {
            let file = file.clone();
            thread::spawn(move || work(&file))
        };
        join([
            spawn(|file| file.flush(0..2 * P, 1)),
            spawn(|file| file.flush(0..2 * P, 0)),
            spawn(|file| {
                file.mapping.truncate(P);
                assert_eq!(file.mapping.read_bytes(P..P + 1), None);
                assert_eq!(file.mapping.dirty_ranges(P..2 * P), []);
                file.write(1, 4);
            }),
            spawn(|file| {
                let mut went = false;
                for _ in 0..3 {
                    let lookup = file.mapping.lookup(P..2 * P);
                    let there = lookup.present.first();
                    match there.map(|present| versions(&present.bytes)[0]) {
                        Some(4) => went = true,
                        Some(version) => {
                            assert!(!went && version == 2, "{version} after the truncation");
                            assert_eq!(lookup.file_size, 2 * P);
                        }
                        // Nobody reclaims: it was cut off.
                        None => {
                            assert_eq!(lookup.file_size, P);
                            went = true;
                        }
                    }
                }
            }),
        ]);
        assert_eq!(file.mapping.size(), 2 * P);
        file.assert_settled(&[2, 4]);
    });
}

/// A fetch that began before the truncation must not bring back what was cut off: the file grows
/// again at once, and what it grows by is zero.
#[test]
fn a_slow_fill_does_not_undo_a_truncation() {
    check(|| {
        let cache = Cache::new(16 * P);
        let file = File::new(&cache, 2);
        let reader = {
            let file = file.clone();
            thread::spawn(move || {
                let version = file.read(1);
                assert!(version <= 1, "{version}");
            })
        };
        file.mapping.truncate(P / 2);
        // As a filesystem: the device forgets, then the file grows.
        file.device.lock().unwrap()[1] = 0;
        file.mapping.truncate(2 * P);
        assert_eq!(file.read(1), 0);
        reader.join().unwrap();
        assert_eq!(file.read(1), 0);
        file.assert_settled(&[1, 0]);
    });
}

/// What was cut off doesn't come back when it turns out that it could not be written.
#[test]
fn redirty_of_what_was_cut_off_dirties_nothing() {
    check(|| {
        let cache = Cache::new(16 * P);
        let file = File::new(&cache, 2);
        file.write(1, 2);
        let snapshot = file.mapping.claim(P..2 * P).unwrap();
        let failed = {
            let mapping = file.mapping.clone();
            thread::spawn(move || mapping.end_writeback(snapshot.range(), WritebackEnd::Redirty))
        };
        file.mapping.truncate(P);
        file.device.lock().unwrap()[1] = 0;
        file.mapping.truncate(2 * P);
        assert_eq!(file.read(1), 0);
        failed.join().unwrap();
        assert_eq!(file.mapping.dirty_ranges(0..2 * P), []);
        file.assert_settled(&[1, 0]);
    });
}

/// Who waits sees the end of all that was under writeback at the call, and wakes though pages are
/// claimed again behind it.
#[test]
fn a_wait_for_writeback_ends_when_it_should() {
    check(|| {
        let cache = Cache::new(8 * FOLIO_SIZE);
        let file = File::new(&cache, 64);
        // Two in the first folio, one in the second.
        let pages = [0, 2, 32];
        for page in pages {
            file.write(page, 2);
        }
        let ended = Arc::new(pages.map(|_| AtomicBool::new(false)));
        let mut claims: VecDeque<_> = pages
            .iter()
            .map(|page| file.mapping.claim(page * P..(page + 1) * P).unwrap())
            .collect();
        let mut threads = Vec::new();
        for (wanted, range) in [(0..3, 0..64 * P), (1..2, P..3 * P)] {
            let (mapping, ended) = (file.mapping.clone(), Arc::clone(&ended));
            threads.push(thread::spawn(move || {
                mapping.wait_writeback(range);
                for at in wanted {
                    assert!(
                        ended[at].load(Ordering::SeqCst),
                        "page {at} is being written"
                    );
                }
            }));
        }
        for at in 0..pages.len() {
            let claim = claims.pop_front().unwrap();
            let (file, ended) = (file.clone(), Arc::clone(&ended));
            threads.push(thread::spawn(move || {
                file.store(&claim);
                ended[at].store(true, Ordering::SeqCst);
                file.mapping
                    .end_writeback(claim.range(), WritebackEnd::Done);
                if at == 0 {
                    file.write(0, 3);
                    file.flush(0..P, 0);
                }
            }));
        }
        join(threads);
        let mut wanted = vec![1; 64];
        (wanted[0], wanted[2], wanted[32]) = (3, 2, 2);
        file.assert_settled(&wanted);
    });
}

/// The budget of one page holds, and a writer who waits for room gets it.
/// (Looking at the dirty and then at the rest, a waiter missed a page that failed and was claimed
/// again in between, and went on without room.)
#[test]
fn a_wait_for_room_ends_when_there_is_some() {
    check(|| {
        let cache = Cache::new(P);
        let file = File::new(&cache, 33 * 4);
        let (dirty, flusher) = mpsc::channel::<u64>();
        let flusher = {
            let file = file.clone();
            thread::spawn(move || {
                while let Ok(page) = flusher.recv() {
                    file.flush(page * P..(page + 1) * P, 1);
                }
            })
        };
        for page in [0, 33, 66, 99] {
            cache.wait_for_room(P);
            file.write(page, 2);
            dirty.send(page).unwrap();
        }
        assert!(cache.stats().high_water <= cache.budget(), "I6");
        drop(dirty);
        flusher.join().unwrap();
        let mut wanted = vec![1; 33 * 4];
        for page in [0, 33, 66, 99] {
            wanted[page] = 2;
        }
        file.assert_settled(&wanted);
    });
}

/// Dirty data that goes with its file, and buffers that are given back, are room as well.
#[test]
fn room_comes_from_files_that_go() {
    check(|| {
        let cache = Cache::new(2 * P);
        let file = File::new(&cache, 1);
        file.write(0, 2);
        let held = cache.buffer(P as usize);
        let waiter = {
            let cache = cache.clone();
            thread::spawn(move || cache.wait_for_room(P))
        };
        let holder = thread::spawn(move || drop(held));
        drop(file);
        join([waiter, holder]);
        assert_eq!(cache.stats().resident, 0);
    });
}

/// The last dirty page goes with its file, but somebody still reads it: there will be no room, and
/// who waits for some must not wait on.
#[test]
fn nobody_waits_for_room_that_never_comes() {
    check(|| {
        let cache = Cache::new(P);
        let file = File::new(&cache, 1);
        file.write(0, 2);
        let read = file.mapping.read_bytes(0..P).unwrap();
        let waiter = {
            let cache = cache.clone();
            thread::spawn(move || cache.wait_for_room(P))
        };
        drop(file);
        waiter.join().unwrap();
        assert_eq!(versions(&read), [2]);
    });
}

/// The last page under writeback becomes clean, or goes: one who waits to write to another file
/// finds the room that this makes.
#[test]
fn the_end_of_the_last_writeback_is_room() {
    check(|| {
        for forgotten in [false, true] {
            let cache = Cache::new(P);
            let (file, other) = (File::new(&cache, 1), File::new(&cache, 1));
            file.write(0, 2);
            if forgotten {
                file.mapping.forget();
            }
            let flusher = {
                let file = file.clone();
                thread::spawn(move || file.flush(0..P, 0))
            };
            cache.wait_for_room(P);
            other.write(0, 2);
            assert!(cache.stats().high_water <= cache.budget(), "I6");
            flusher.join().unwrap();
            other.flush(0..P, 0);
            file.assert_settled(&[2]);
            other.assert_settled(&[2]);
        }
    });
}
