//! Reads through the cache beside readers that keep nothing and beside bare decompression, all on
//! one volume in memory: `cargo bench -p readpath`.
//!
//! First a table of ratios from runs that take turns, so that a busy machine disturbs all alike;
//! then criterion's distributions of the same runs. What comes from the disk is verified by
//! everybody, and fetching is free. `btrfs-fs` and others, who read images, are in the workspace
//! `peers`.

mod bed;

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use bed::{Bed, EXTENT, EXTENTS, OneThread, PART, SIZE, naive, random};
use criterion::{Criterion, Throughput};
use pagecache::{Mapping, ReadaheadWindow};
use readpath::ReadContents;

const PAGE: u64 = 4096;
const ROUNDS: usize = 9;
const READERS: usize = 8;
/// As `fs-core` has it.
const MAX_WINDOW: u64 = 4 << 20;

/// One run; the time is that of the reads alone.
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
    let bed = Bed::new(Arc::new(()));
    let helped = Bed::new(Arc::new(OneThread::start()));
    warm(criterion, table, &bed);
    cold(criterion, table, &bed);
    readers(criterion, table, &bed);
    sequential(criterion, table, &bed, &helped);
    parts(criterion, table, &bed);
    criterion.final_summary();
}

/// A page of each extent, no two reads of the same extent.
fn a_page_of_each() -> Vec<u64> {
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let mut order: Vec<u64> = (0..EXTENTS).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, (random(&mut seed) % (last as u64 + 1)) as usize);
    }
    order
        .into_iter()
        .map(|extent| extent * EXTENT + random(&mut seed) % (EXTENT / PAGE) * PAGE)
        .collect()
}

fn warm(criterion: &mut Criterion, table: bool, bed: &Bed) {
    const READS: u64 = 20_000;
    let mut seed = 7;
    let places: Vec<u64> = (0..READS)
        .map(|_| random(&mut seed) % (SIZE / PAGE) * PAGE)
        .collect();
    let mapping = bed.mapping();
    let file = bed.file(&mapping, &bed.whole);
    assert_eq!(bed.path.read_range(&file, 0..SIZE, 0).ok(), Some(()));
    let before = bed.path.stats();
    let [mut page, mut copied, mut decoded] = [const { [0; PAGE as usize] }; 3];
    let few = &places[..200];
    let runs: Vec<Run> = vec![
        (
            "readpath",
            Box::new(|| {
                timed(|| {
                    for at in &places {
                        let got = bed.path.read_into(&file, *at, &mut page, 0);
                        assert_eq!(got.ok(), Some(page.len()));
                    }
                })
            }),
        ),
        (
            "a copy out of a vector",
            Box::new(|| {
                timed(|| {
                    for at in &places {
                        let from = &bed.content[*at as usize..][..PAGE as usize];
                        copied.copy_from_slice(from);
                        black_box(&mut copied);
                    }
                })
            }),
        ),
        (
            "verify and decompress at every read",
            Box::new(|| {
                let taken = timed(|| {
                    for at in few {
                        naive(bed, &bed.whole, *at, &mut decoded);
                    }
                });
                taken * (places.len() / few.len()) as u32
            }),
        ),
    ];
    bench(criterion, table, "warm 4 KiB random reads", READS, runs);
    assert_eq!(bed.path.stats(), before, "all was in the cache");
}

fn cold(criterion: &mut Criterion, table: bool, bed: &Bed) {
    let places = a_page_of_each();
    let [mut page, mut decoded] = [const { [0; PAGE as usize] }; 2];
    let runs: Vec<Run> = vec![
        (
            "readpath",
            Box::new(|| {
                let mapping = bed.mapping();
                let file = bed.file(&mapping, &bed.whole);
                let before = bed.path.stats().decompressions;
                let taken = timed(|| {
                    for at in &places {
                        let got = bed.path.read_into(&file, *at, &mut page, 0);
                        assert_eq!(got.ok(), Some(page.len()));
                    }
                });
                assert_eq!(bed.path.stats().decompressions - before, EXTENTS);
                taken
            }),
        ),
        (
            "verify and decompress, keep nothing",
            Box::new(|| {
                timed(|| {
                    for at in &places {
                        naive(bed, &bed.whole, *at, &mut decoded);
                    }
                })
            }),
        ),
    ];
    bench(criterion, table, "cold 4 KiB random reads", EXTENTS, runs);
}

/// All readers want an extent at the same moment, each another page of it.
fn readers(criterion: &mut Criterion, table: bool, bed: &Bed) {
    const ROUND: u64 = 128;
    let together = |read: &(dyn Fn(u64, &mut [u8; PAGE as usize]) + Sync)| {
        let begin = Barrier::new(READERS + 1);
        thread::scope(|scope| {
            for reader in 0..READERS as u64 {
                let begin = &begin;
                scope.spawn(move || {
                    let mut page = [0; PAGE as usize];
                    begin.wait();
                    for extent in 0..ROUND {
                        begin.wait();
                        read(extent * EXTENT + reader * 4 * PAGE, &mut page);
                    }
                    begin.wait();
                });
            }
            begin.wait();
            timed(|| {
                for _ in 0..=ROUND {
                    begin.wait();
                }
            })
        })
    };
    let runs: Vec<Run> = vec![
        (
            "readpath",
            Box::new(|| {
                let mapping = bed.mapping();
                let before = bed.path.stats().decompressions;
                let taken = together(&|at, page| {
                    let file = bed.file(&mapping, &bed.whole);
                    let got = bed.path.read_into(&file, at, page, 0);
                    assert_eq!(got.ok(), Some(page.len()));
                });
                let decompressed = bed.path.stats().decompressions - before;
                assert_eq!(decompressed, ROUND, "an extent is decompressed once");
                taken
            }),
        ),
        (
            "each decompresses for itself",
            Box::new(|| together(&|at, page| naive(bed, &bed.whole, at, page))),
        ),
        ("the barrier alone", Box::new(|| together(&|_, _| {}))),
    ];
    bench(criterion, table, "8 readers of one extent", ROUND, runs);
}

/// Reads the file from its beginning to its end, with readahead as a handle has it.
fn read_through(bed: &Bed, mapping: &Mapping, buffer: &mut [u8]) {
    let file = bed.file(mapping, &bed.whole);
    let mut window = ReadaheadWindow::new(MAX_WINDOW);
    let mut at = 0;
    while at < SIZE {
        let until = window.next(at, buffer.len() as u64).end;
        let got = bed.path.read_into(&file, at, buffer, until);
        assert_eq!(got.ok(), Some(buffer.len()));
        at += buffer.len() as u64;
    }
}

fn sequential(criterion: &mut Criterion, table: bool, bed: &Bed, helped: &Bed) {
    let through = |bed: &Bed, buffer: &mut [u8]| {
        let mapping = bed.mapping();
        let before = bed.path.stats().decompressions;
        let taken = timed(|| read_through(bed, &mapping, buffer));
        bed.path.quiesce();
        assert_eq!(bed.path.stats().decompressions - before, EXTENTS);
        taken
    };
    let [mut large, mut decoded] = [const { Vec::<u8>::new() }; 2];
    large.resize(1 << 20, 0);
    decoded.resize(EXTENT as usize, 0);
    let [mut alone, mut with_helper] = [const { [0; PAGE as usize] }; 2];
    let mut large_with_helper = large.clone();
    let runs: Vec<Run> = vec![
        (
            "readpath, 1 MiB at a time",
            Box::new(|| through(bed, &mut large)),
        ),
        (
            "readpath, 4 KiB at a time",
            Box::new(|| through(bed, &mut alone)),
        ),
        (
            "readpath and a thread that helps, 1 MiB",
            Box::new(|| through(helped, &mut large_with_helper)),
        ),
        (
            "readpath and a thread that helps, 4 KiB",
            Box::new(|| through(helped, &mut with_helper)),
        ),
        (
            "verify and decompress, nothing else",
            Box::new(|| {
                timed(|| {
                    for extent in 0..EXTENTS {
                        naive(bed, &bed.whole, extent * EXTENT, &mut decoded);
                    }
                })
            }),
        ),
    ];
    let what = "cold sequential reads, for each MiB";
    bench(criterion, table, what, SIZE >> 20, runs);
    // Warm, a read is a copy and a look into the cache.
    let mapping = bed.mapping();
    read_through(bed, &mapping, &mut vec![0; 1 << 20]);
    let [mut large, mut small] = [vec![0; 1 << 20], vec![0; PAGE as usize]];
    let before = bed.path.stats().decompressions;
    let runs: Vec<Run> = vec![
        (
            "readpath, 1 MiB at a time",
            Box::new(|| timed(|| read_through(bed, &mapping, &mut large))),
        ),
        (
            "readpath, 4 KiB at a time",
            Box::new(|| timed(|| read_through(bed, &mapping, &mut small))),
        ),
    ];
    let what = "warm sequential reads, for each MiB";
    bench(criterion, table, what, SIZE >> 20, runs);
    assert_eq!(bed.path.stats().decompressions, before, "all was cached");
}

/// A file of which each 16 KiB are a part of another extent, as overwriting and cloning leave it.
fn parts(criterion: &mut Criterion, table: bool, bed: &Bed) {
    let [mut part, mut decoded] = [const { [0; PART as usize] }; 2];
    let parts = bed.shared.len();
    let runs: Vec<Run> = vec![
        (
            "readpath",
            Box::new(|| {
                let mapping = bed.mapping_of(parts * PART);
                let file = bed.file(&mapping, &bed.shared);
                let before = bed.path.stats().decompressions;
                let taken = timed(|| {
                    for at in (0..parts).map(|nth| nth * PART) {
                        let got = bed.path.read_into(&file, at, &mut part, 0);
                        assert_eq!(got.ok(), Some(part.len()));
                    }
                });
                assert_eq!(bed.path.stats().decompressions - before, parts);
                taken
            }),
        ),
        (
            "verify and decompress, keep nothing",
            Box::new(|| {
                timed(|| {
                    for at in (0..parts).map(|nth| nth * PART) {
                        naive(bed, &bed.shared, at, &mut decoded);
                    }
                })
            }),
        ),
    ];
    let what = "16 KiB parts of shared extents";
    bench(criterion, table, what, parts, runs);
}

fn bench(criterion: &mut Criterion, table: bool, what: &str, ops: u64, mut runs: Vec<Run<'_>>) {
    if table {
        compare(what, ops, &mut runs);
    }
    let mut group = criterion.benchmark_group(what);
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_secs(2));
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
