//! Pages of 4 KiB in `pagecache`, moka and foyer's memory tier: hits, and a Zipf-like distribution
//! with scans under a budget of a tenth of the file. `pagecache` keeps pages of one file beside each
//! other, so the second is asked twice: with the popular pages together, and spread over the file.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::Criterion;
use pagecache::{Cache, Mapping, PAGE_SIZE};
use peers::{Run, bench, random, shuffled, timed};

const PAGES: u64 = 8192;
const HITS: u64 = 200_000;

/// The key that a cache of pages needs: a file and a page of it.
type Key = (u64, u64);
type Moka = moka::sync::Cache<Key, Bytes, foldhash::fast::RandomState>;
type Foyer = foyer::Cache<Key, Bytes, foldhash::fast::RandomState>;

/// Both count bytes, as ours does. They hash as `quick_cache` would, since their own hasher is made
/// for keys that an enemy chooses.
fn moka(budget: u64) -> Moka {
    moka::sync::Cache::builder()
        .max_capacity(budget)
        .weigher(|_, page: &Bytes| page.len() as u32)
        .build_with_hasher(foldhash::fast::RandomState::default())
}

fn foyer(budget: u64) -> Foyer {
    foyer::CacheBuilder::new(budget as usize)
        .with_weighter(|_: &Key, page: &Bytes| page.len())
        .with_hash_builder(foldhash::fast::RandomState::default())
        .build()
}

fn page() -> Bytes {
    Bytes::from(vec![3; PAGE_SIZE as usize])
}

fn main() {
    let criterion = &mut Criterion::default().configure_from_args();
    hits(criterion);
    zipf(criterion, "popular pages together", false);
    zipf(criterion, "popular pages spread", true);
    criterion.final_summary();
}

fn hits(criterion: &mut Criterion) {
    let budget = 2 * PAGES * PAGE_SIZE;
    let file = Mapping::with_size(&Cache::new(budget), PAGES * PAGE_SIZE);
    file.fill(0, &vec![3; (PAGES * PAGE_SIZE) as usize]);
    let (moka, foyer) = (moka(budget), foyer(budget));
    for nth in 0..PAGES {
        moka.insert((1, nth), page());
        foyer.insert((1, nth), page());
    }
    moka.run_pending_tasks();
    let order: Vec<u64> = shuffled(PAGES, 1);
    let each = |hit: &mut dyn FnMut(u64)| {
        timed(|| {
            for nth in order.iter().cycle().take(HITS as usize) {
                hit(*nth);
            }
        })
    };
    let range = |nth: u64| nth * PAGE_SIZE..(nth + 1) * PAGE_SIZE;
    let runs: Vec<Run> = vec![
        (
            "pagecache",
            Box::new(|| {
                each(&mut |nth| {
                    black_box(file.pin(range(nth)).expect("it is cached"));
                })
            }),
        ),
        (
            "moka 0.12",
            Box::new(|| {
                each(&mut |nth| {
                    black_box(moka.get(&(1, nth)).expect("it is cached"));
                })
            }),
        ),
        (
            "foyer 0.22",
            Box::new(|| {
                each(&mut |nth| {
                    black_box(foyer.get(&(1, nth)).expect("it is cached"));
                })
            }),
        ),
    ];
    bench(criterion, "4 KiB hits, pinned", HITS, runs);
    let [mut one, mut two, mut three] = [const { [0; PAGE_SIZE as usize] }; 3];
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
            "moka 0.12",
            Box::new(|| {
                each(&mut |nth| {
                    two.copy_from_slice(&moka.get(&(1, nth)).expect("it is cached"));
                    black_box(&mut two);
                })
            }),
        ),
        (
            "foyer 0.22",
            Box::new(|| {
                each(&mut |nth| {
                    three.copy_from_slice(foyer.get(&(1, nth)).expect("it is cached").value());
                    black_box(&mut three);
                })
            }),
        ),
    ];
    bench(criterion, "4 KiB hits, copied", HITS, runs);
}

/// Pages in the order in which they are wanted: page n with a weight of 1 / (n + 1), and after each
/// 20,000 a scan of 2,000 neighbours that nobody wants again soon.
fn accesses(spread: bool) -> Vec<u64> {
    const FILE: u64 = 65_536;
    let mut sum = 0.0;
    let weights: Vec<f64> = (0..FILE)
        .map(|rank| {
            sum += 1.0 / (rank + 1) as f64;
            sum
        })
        .collect();
    let places = shuffled(FILE, 2);
    let mut seed = 3;
    let mut accesses = Vec::new();
    for _ in 0..10 {
        for _ in 0..20_000 {
            let at = (random(&mut seed) & 0xffff_ffff) as f64 / (1_u64 << 32) as f64 * sum;
            let rank = weights.partition_point(|weight| *weight < at);
            accesses.push(if spread { places[rank] } else { rank as u64 });
        }
        let scan = random(&mut seed) % (FILE - 2000);
        accesses.extend(scan..scan + 2000);
    }
    accesses
}

/// What is missing is put into the cache; that it would have to be read is not counted.
fn zipf(criterion: &mut Criterion, what: &str, spread: bool) {
    const BUDGET: u64 = 6_554 * PAGE_SIZE;
    let accesses = accesses(spread);
    let ops = accesses.len() as u64;
    let data = vec![3; PAGE_SIZE as usize];
    let mut missed = [0; 3];
    let [ours_missed, moka_missed, foyer_missed] = &mut missed;
    let mut buffers = [const { [0; PAGE_SIZE as usize] }; 3];
    let [ours_buffer, moka_buffer, foyer_buffer] = &mut buffers;
    let run = |missed: &mut u64, hit: &mut dyn FnMut(u64) -> bool| -> Duration {
        *missed = 0;
        timed(|| {
            for nth in &accesses {
                *missed += u64::from(!hit(*nth));
            }
        })
    };
    let runs: Vec<Run> = vec![
        (
            "pagecache",
            Box::new(|| {
                let cache = Cache::new(BUDGET);
                let file = Mapping::with_size(&cache, 1 << 30);
                let taken = run(ours_missed, &mut |nth| {
                    let at = nth * PAGE_SIZE;
                    let hit = file.read(at, ours_buffer) == ours_buffer.len();
                    if !hit {
                        file.fill(at, &data);
                    }
                    hit
                });
                assert!(cache.stats().resident <= BUDGET);
                taken
            }),
        ),
        (
            "moka 0.12",
            Box::new(|| {
                let cache = moka(BUDGET);
                run(moka_missed, &mut |nth| match cache.get(&(1, nth)) {
                    Some(page) => {
                        moka_buffer.copy_from_slice(&page);
                        true
                    }
                    None => {
                        cache.insert((1, nth), Bytes::copy_from_slice(&data));
                        false
                    }
                })
            }),
        ),
        (
            "foyer 0.22",
            Box::new(|| {
                let cache = foyer(BUDGET);
                run(foyer_missed, &mut |nth| match cache.get(&(1, nth)) {
                    Some(page) => {
                        foyer_buffer.copy_from_slice(page.value());
                        true
                    }
                    None => {
                        cache.insert((1, nth), Bytes::copy_from_slice(&data));
                        false
                    }
                })
            }),
        ),
    ];
    bench(criterion, &format!("Zipf with scans, {what}"), ops, runs);
    for (name, missed) in ["pagecache", "moka 0.12", "foyer 0.22"].iter().zip(missed) {
        let hits = (ops - missed) as f64 / ops as f64;
        println!("{:9.1} % hits, {name}", 100.0 * hits);
    }
}
