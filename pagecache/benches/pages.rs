//! Hits beside quick_cache, eviction while some pages are dirty, and the search for dirty ones:
//! `cargo bench -p pagecache --bench pages`. moka and foyer are in the workspace `peers`; copies of
//! whole streams are in `hot`.
//!
//! First a table of ratios from runs that take turns, so that a busy machine disturbs all alike;
//! then criterion's distributions of the same runs.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use pagecache::{Cache, FOLIO_SIZE, Mapping, PAGE_SIZE, WritebackEnd};

const ROUNDS: usize = 9;

/// One run; the time is that of what is compared, without what it needs first.
type Run<'a> = (&'static str, Box<dyn FnMut() -> Duration + 'a>);

fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn main() {
    let criterion = &mut Criterion::default().configure_from_args();
    // Cargo says which: `cargo bench`, or a test that the benches run.
    let table = std::env::args().any(|arg| arg == "--bench");
    hits(criterion, table);
    eviction(criterion, table);
    dirty(criterion, table);
    criterion.final_summary();
}

fn hits(criterion: &mut Criterion, table: bool) {
    const PAGES: u64 = 8192;
    const HITS: u64 = 200_000;
    let cache = Cache::new(2 * PAGES * PAGE_SIZE);
    let file = Mapping::with_size(&cache, PAGES * PAGE_SIZE);
    file.fill(0, &vec![3; (PAGES * PAGE_SIZE) as usize]);
    if table {
        let each = cache.stats().resident as f64 / PAGES as f64;
        println!("{each:.0} bytes of memory for each cached page of {PAGE_SIZE}");
    }
    let peer = quick_cache::sync::Cache::<(u64, u64), Bytes>::new(2 * PAGES as usize);
    for nth in 0..PAGES {
        peer.insert((1, nth), Bytes::from(vec![3; PAGE_SIZE as usize]));
    }
    let each = |hit: &mut dyn FnMut(u64)| {
        timed(|| {
            let mut page = 1;
            for _ in 0..HITS {
                page = page * 5 % 8191;
                hit(page);
            }
        })
    };
    let at = |nth: u64| nth * PAGE_SIZE..(nth + 1) * PAGE_SIZE;
    let runs: Vec<Run> = vec![
        (
            "pagecache",
            Box::new(|| {
                each(&mut |nth| {
                    black_box(file.pin(at(nth)).expect("it is cached"));
                })
            }),
        ),
        (
            "quick_cache",
            Box::new(|| {
                each(&mut |nth| {
                    black_box(peer.get(&(1, nth)).expect("it is cached"));
                })
            }),
        ),
        (
            "pagecache, as `Bytes`",
            Box::new(|| {
                each(&mut |nth| {
                    black_box(file.read_bytes(at(nth)).expect("it is cached"));
                })
            }),
        ),
    ];
    bench(criterion, table, "4 KiB hits, pinned", HITS, runs);
    let [mut one, mut two] = [const { [0; PAGE_SIZE as usize] }; 2];
    let runs: Vec<Run> = vec![
        (
            "pagecache",
            Box::new(|| {
                each(&mut |nth| {
                    assert_eq!(file.read(nth * PAGE_SIZE, black_box(&mut one)), one.len());
                })
            }),
        ),
        (
            "quick_cache",
            Box::new(|| {
                each(&mut |nth| {
                    two.copy_from_slice(&peer.get(&(1, nth)).expect("it is cached"));
                    black_box(&mut two);
                })
            }),
        ),
    ];
    bench(criterion, table, "4 KiB hits, copied", HITS, runs);
}

/// A cache that is full of folios of which some are dirty takes others, and gives clean ones up.
fn eviction(criterion: &mut Criterion, table: bool) {
    const FOLIOS: u64 = 512;
    const NEW: u64 = 512;
    let data = vec![5; FOLIO_SIZE as usize];
    let fill = |dirty_percent: u64| {
        let cache = Cache::new(FOLIOS * FOLIO_SIZE);
        let full = Mapping::with_size(&cache, FOLIOS * FOLIO_SIZE);
        for nth in 0..FOLIOS {
            full.fill(nth * FOLIO_SIZE, &data);
            // Spread over all.
            if nth * dirty_percent % 100 < dirty_percent {
                full.write(nth * FOLIO_SIZE, &[6; PAGE_SIZE as usize])
                    .expect("all of it is cached");
            }
        }
        let dirty = full.dirty_bytes();
        let more = Mapping::with_size(&cache, NEW * FOLIO_SIZE);
        let taken = timed(|| {
            for nth in 0..NEW {
                more.fill(nth * FOLIO_SIZE, &data);
            }
        });
        assert_eq!(full.dirty_bytes(), dirty, "what is dirty stays");
        assert!(cache.stats().resident <= cache.budget());
        assert!(cache.stats().evictions >= NEW / 2);
        taken
    };
    let mut target = data.clone();
    let runs: Vec<Run> = vec![
        ("none dirty", Box::new(|| fill(0))),
        ("50 % dirty", Box::new(|| fill(50))),
        ("95 % dirty", Box::new(|| fill(95))),
        (
            "a copy alone",
            Box::new(|| {
                timed(|| {
                    for _ in 0..NEW {
                        target.copy_from_slice(&data);
                        black_box(&mut target);
                    }
                })
            }),
        ),
    ];
    bench(criterion, table, "a folio that evicts one", NEW, runs);
}

/// One page in a thousand is dirty: all of them are found, and stay dirty.
fn dirty(criterion: &mut Criterion, table: bool) {
    const PAGES: u64 = 1 << 18;
    const EVERY: u64 = 1000;
    let size = PAGES * PAGE_SIZE;
    let file = Mapping::with_size(&Cache::new(2 * size), size);
    let data = vec![7; FOLIO_SIZE as usize];
    for at in (0..size).step_by(FOLIO_SIZE as usize) {
        file.fill(at, &data);
    }
    // What is kept by hand beside a cache that knows nothing of it.
    let by_hand = Mutex::new(BTreeSet::new());
    let lock = || by_hand.lock().expect("nothing panics");
    for nth in (0..PAGES).step_by(EVERY as usize) {
        let page = &data[..PAGE_SIZE as usize];
        file.write(nth * PAGE_SIZE, page).expect("it is cached");
        lock().insert(nth);
    }
    let found = PAGES.div_ceil(EVERY);
    let runs: Vec<Run> = vec![
        (
            "pagecache, claimed and dirty again",
            Box::new(|| {
                let mut count = 0;
                let taken = timed(|| {
                    let mut from = 0;
                    while let Some(snapshot) = file.claim_next(from..size) {
                        let range = snapshot.range();
                        from = range.end;
                        count += (range.end - range.start) / PAGE_SIZE;
                        drop(snapshot);
                        file.end_writeback(range, WritebackEnd::Redirty);
                    }
                });
                assert_eq!(count, found);
                taken
            }),
        ),
        (
            "a set of pages under a lock, taken out and put back",
            Box::new(|| {
                let mut count = 0;
                let taken = timed(|| {
                    let mut from = 0;
                    loop {
                        let mut set = lock();
                        let Some(nth) = set.range(from..).next().copied() else {
                            break;
                        };
                        set.remove(&nth);
                        drop(set);
                        count += 1;
                        from = nth + 1;
                        lock().insert(nth);
                    }
                });
                assert_eq!(count, found);
                taken
            }),
        ),
    ];
    let what = "a dirty page among 262,144";
    bench(criterion, table, what, found, runs);
}

fn bench(criterion: &mut Criterion, table: bool, what: &str, ops: u64, mut runs: Vec<Run<'_>>) {
    if table {
        compare(what, ops, &mut runs);
    }
    let mut group = criterion.benchmark_group(what);
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(ops));
    for (name, mut run) in runs {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| run()).sum());
        });
    }
    group.finish();
}

/// Prints how many times as long as the first of them each takes, by the medians.
fn compare(what: &str, ops: u64, runs: &mut [Run<'_>]) {
    let mut times = vec![Vec::new(); runs.len()];
    for _ in 0..ROUNDS {
        for ((_, run), times) in runs.iter_mut().zip(&mut times) {
            times.push(run().as_nanos() as f64 / ops as f64);
        }
    }
    println!("{what}");
    let mut first = None;
    for ((name, _), times) in runs.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let median = times[ROUNDS / 2];
        let ratio = median / *first.get_or_insert(median);
        println!("{ratio:8.3}x {median:12.0} ns, {name}");
    }
}
