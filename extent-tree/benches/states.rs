//! Edits and scans side by side with `RangeMap` of rangemap and `NoditMap` of nodit, which report
//! no changes and take no lock: `cargo bench -p extent-tree --bench states`.
//!
//! First a table of ratios from runs that take turns, so that a busy machine disturbs all alike;
//! then criterion's distributions of the same runs.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use extent_tree::{ExtentIoTree, Select, StateBits};
use nodit::interval::ie;
use nodit::{Interval, NoditMap};
use rangemap::RangeMap;

const PAGE: u64 = 4096;
const WINDOW_OPS: u64 = 2000;
const SCAN: StateBits = StateBits::IN_FLIGHT;
/// What each range holds; the value of the other maps.
const BIT: StateBits = StateBits::DELALLOC;

/// What a workload does to a map of ranges.
trait Ranges: Default {
    const NAME: &'static str;
    /// Adds a range where none was.
    fn add(&mut self, start: u64, end: u64, bits: StateBits);
    /// Sets whatever is there.
    fn set(&mut self, start: u64, end: u64);
    fn clear(&mut self, start: u64, end: u64);
    /// How many bytes have the bit.
    fn scan(&self, bit: StateBits) -> u64;
}

impl Ranges for ExtentIoTree {
    const NAME: &'static str = "extent-tree";
    fn add(&mut self, start: u64, end: u64, bits: StateBits) {
        self.set_bits(start..end, bits).ignore();
    }
    fn set(&mut self, start: u64, end: u64) {
        self.set_bits(start..end, BIT).ignore();
    }
    fn clear(&mut self, start: u64, end: u64) {
        self.clear_bits(start..end, BIT).ignore();
    }
    fn scan(&self, bit: StateBits) -> u64 {
        self.count_where(0..u64::MAX, Select::all(bit))
    }
}

impl Ranges for RangeMap<u64, StateBits> {
    const NAME: &'static str = "rangemap";
    fn add(&mut self, start: u64, end: u64, bits: StateBits) {
        self.insert(start..end, bits);
    }
    fn set(&mut self, start: u64, end: u64) {
        self.insert(start..end, BIT);
    }
    fn clear(&mut self, start: u64, end: u64) {
        self.remove(start..end);
    }
    fn scan(&self, bit: StateBits) -> u64 {
        let found = self.iter().filter(|(_, bits)| bits.contains(bit));
        found.map(|(range, _)| range.end - range.start).sum()
    }
}

impl Ranges for NoditMap<u64, Interval<u64>, StateBits> {
    const NAME: &'static str = "nodit";
    fn add(&mut self, start: u64, end: u64, bits: StateBits) {
        let added = self.insert_merge_touching_if_values_equal(ie(start, end), bits);
        assert!(added.is_ok(), "none was there");
    }
    fn set(&mut self, start: u64, end: u64) {
        self.insert_overwrite(ie(start, end), BIT).for_each(drop);
    }
    fn clear(&mut self, start: u64, end: u64) {
        self.cut(&ie(start, end)).for_each(drop);
    }
    fn scan(&self, bit: StateBits) -> u64 {
        let found = self.iter().filter(|(_, bits)| bits.contains(bit));
        found
            .map(|(range, _)| range.end() + 1 - range.start())
            .sum()
    }
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Every other page of a file, so that none merge.
fn pages(ranges: u64, shuffled: bool) -> Vec<u64> {
    let mut pages: Vec<u64> = (0..ranges).map(|nth| nth * 2 * PAGE).collect();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..pages.len()).rev().filter(|_| shuffled) {
        pages.swap(last, (random(&mut seed) % (last as u64 + 1)) as usize);
    }
    pages
}

fn set_pages<R: Ranges>(pages: &[u64]) -> R {
    let mut ranges = R::default();
    for start in pages {
        ranges.add(*start, start + PAGE, BIT);
    }
    ranges
}

/// A page at every 16 MiB, and windows between them.
fn sparse<R: Ranges>(count: u64) -> R {
    let mut ranges = R::default();
    for nth in 0..count {
        ranges.add(nth << 24, (nth << 24) + PAGE, BIT);
    }
    ranges
}

fn windows<R: Ranges>(ranges: &mut R, count: u64) {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..WINDOW_OPS {
        let start = ((random(&mut seed) % count) << 24) + (1 << 20);
        let end = start + (1 + random(&mut seed) % 64) * (128 << 10);
        ranges.set(start, end);
        ranges.clear(start, end);
    }
}

/// One range in a thousand has the bit that is looked for.
fn with_few<R: Ranges>(count: u64) -> R {
    let mut ranges = R::default();
    for (nth, start) in pages(count, false).into_iter().enumerate() {
        let few = if nth % 1000 == 7 {
            SCAN
        } else {
            StateBits::empty()
        };
        ranges.add(start, start + PAGE, BIT | few);
    }
    ranges
}

/// One run; the time is that of what is compared, without making the map that it begins with.
type Run<'a> = Box<dyn FnMut() -> Duration + 'a>;

fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let made = black_box(run());
    let took = start.elapsed();
    drop(made);
    took
}

fn runs<'a, R: Ranges + 'a>(count: u64) -> [(&'static str, u64, Run<'a>); 4] {
    let (ordered, shuffled) = (pages(count, false), pages(count, true));
    let mut spread: R = sparse(count);
    let few: R = with_few(count);
    assert_eq!(few.scan(SCAN), (count + 992) / 1000 * PAGE);
    [
        (
            "sequential 4 KiB set",
            count,
            Box::new(move || timed(|| set_pages::<R>(&ordered))),
        ),
        (
            "random 4 KiB set",
            count,
            Box::new(move || timed(|| set_pages::<R>(&shuffled))),
        ),
        (
            "set and clear 128 KiB..8 MiB",
            WINDOW_OPS,
            Box::new(move || timed(|| windows(&mut spread, count))),
        ),
        (
            "scan at 0.1 %",
            count,
            Box::new(move || timed(|| few.scan(SCAN))),
        ),
    ]
}

fn main() {
    let criterion = &mut Criterion::default().configure_from_args();
    // Cargo says which: `cargo bench`, or a test that the benches run.
    let table = std::env::args().any(|arg| arg == "--bench");
    for count in [100, 10_000, 260_000] {
        let ours = runs::<ExtentIoTree>(count);
        let rangemap = runs::<RangeMap<u64, StateBits>>(count);
        let nodit = runs::<NoditMap<u64, Interval<u64>, StateBits>>(count);
        for (((what, ops, ours), (.., rangemap)), (.., nodit)) in
            ours.into_iter().zip(rangemap).zip(nodit)
        {
            let names = [
                ExtentIoTree::NAME,
                RangeMap::<u64, StateBits>::NAME,
                NoditMap::<u64, Interval<u64>, StateBits>::NAME,
            ];
            bench(
                criterion,
                table,
                &format!("{what}, {count} ranges"),
                ops,
                names,
                [ours, rangemap, nodit],
            );
        }
    }
    criterion.final_summary();
}

fn bench(
    criterion: &mut Criterion,
    table: bool,
    what: &str,
    ops: u64,
    names: [&str; 3],
    mut runs: [Run<'_>; 3],
) {
    if table {
        compare(what, ops, names, &mut runs);
    }
    let mut group = criterion.benchmark_group(what);
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(ops));
    for (name, mut run) in names.into_iter().zip(runs) {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| run()).sum());
        });
    }
    group.finish();
}

/// Prints how many times as long as ours the others take, by the medians.
fn compare(what: &str, ops: u64, names: [&str; 3], runs: &mut [Run<'_>; 3]) {
    let rounds = (400_000 / ops).clamp(9, 400) as usize;
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (run, times) in runs.iter_mut().zip(&mut times) {
            times.push(run().as_nanos() as f64 / ops as f64);
        }
    }
    let medians = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[rounds / 2]
    });
    print!("{what:46}");
    for (name, median) in names.iter().zip(medians) {
        print!("  {name} {median:7.1} ns ({:.2}x)", median / medians[0]);
    }
    println!();
}
