//! Range locks beside range-lock (which can only try, so its users yield and try again), a mutex a
//! file, and a fixed number of mutexes, each for every 64th MiB: `cargo bench -p extent-tree
//! --bench locks`.
//!
//! The kinds take turns. A line is the time that `lock` took, how often threads gave up their
//! processor, and how often a request was overtaken: how many overlapping ones that came later were
//! granted earlier, at most and on average. For ours that is 64 at most from the moment in which the
//! request is queued (I4); what is counted beyond that came between the counter and the queue.

use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use extent_tree::{ExtentIoTree, RangeGuard};
use range_lock::{VecRangeLock, VecRangeLockGuard};

const PAGE: u64 = 4096;
const FILE: u64 = 1 << 30;
const ROUNDS: usize = 5;
const SHARDS: u64 = 64;

/// A kind of lock on ranges of one file.
trait Locks: Sync {
    type Guard<'a>
    where
        Self: 'a;
    fn lock(&self, range: Range<u64>) -> Self::Guard<'_>;
}

impl Locks for ExtentIoTree {
    type Guard<'a> = RangeGuard<'a>;
    fn lock(&self, range: Range<u64>) -> RangeGuard<'_> {
        self.lock(range)
    }
}

impl Locks for VecRangeLock<()> {
    type Guard<'a> = VecRangeLockGuard<'a, ()>;
    fn lock(&self, range: Range<u64>) -> VecRangeLockGuard<'_, ()> {
        loop {
            match self.try_lock(range.start as usize..range.end as usize) {
                Ok(guard) => return guard,
                Err(_) => thread::yield_now(),
            }
        }
    }
}

impl Locks for Mutex<()> {
    type Guard<'a> = MutexGuard<'a, ()>;
    fn lock(&self, _: Range<u64>) -> MutexGuard<'_, ()> {
        self.lock().expect("nothing panics")
    }
}

impl Locks for Vec<Mutex<()>> {
    type Guard<'a> = Vec<MutexGuard<'a, ()>>;
    /// In ascending order.
    fn lock(&self, range: Range<u64>) -> Vec<MutexGuard<'_, ()>> {
        let (first, last) = (range.start >> 20, (range.end - 1) >> 20);
        let mut shards: Vec<u64> = if last - first >= SHARDS {
            (0..SHARDS).collect()
        } else {
            (first..=last).map(|mib| mib % SHARDS).collect()
        };
        shards.sort_unstable();
        let lock = |shard: u64| self[shard as usize].lock().expect("nothing panics");
        shards.into_iter().map(lock).collect()
    }
}

/// What is done under the lock.
#[derive(Clone, Copy)]
struct Work {
    what: &'static str,
    ops: usize,
    run: fn(),
}

const WORK: [Work; 2] = [
    Work {
        what: "I/O of 50 us",
        ops: 300,
        run: || thread::sleep(Duration::from_micros(50)),
    },
    Work {
        what: "1 us of copying, and at once the next request",
        ops: 2000,
        run: || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(1) {
                std::hint::spin_loop();
            }
        },
    },
];

/// Which range a thread locks next.
type Pattern = fn(thread: usize, threads: usize, nth: usize, seed: &mut u64) -> Range<u64>;

const PATTERNS: [(&str, Pattern); 4] = [
    ("disjoint", |thread, threads, _, seed| {
        let part = FILE / threads as u64;
        page(thread as u64 * part + random(seed) % part)
    }),
    ("same", |_, _, _, _| page(0)),
    ("sliding 64 KiB", |_, _, nth, _| {
        let start = nth as u64 * PAGE;
        start..start + 16 * PAGE
    }),
    ("1 GiB among 4 KiB", |thread, _, _, seed| match thread {
        0 => 0..FILE,
        _ => page(random(seed) % FILE),
    }),
];

fn page(at: u64) -> Range<u64> {
    let start = at / PAGE * PAGE;
    start..start + PAGE
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

const NAMES: [&str; 4] = [
    "extent-tree",
    "range-lock, try",
    "mutex a file",
    "64 mutexes",
];

/// A request that was granted.
struct Granted {
    range: Range<u64>,
    arrived: usize,
    /// How many were granted when it arrived, and when it was.
    before: usize,
    granted: usize,
    waited: Duration,
}

#[derive(Default)]
struct Figures {
    waited: Vec<Duration>,
    sleeps: usize,
    overtaken: Vec<usize>,
}

fn run<L: Locks>(locks: &L, work: Work, threads: usize, pattern: Pattern, figures: &mut Figures) {
    let (arrived, granted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut all: Vec<Granted> = Vec::new();
    thread::scope(|scope| {
        let start = |thread: usize| {
            let (arrived, granted) = (&arrived, &granted);
            move || {
                let mut seed = 0x9e37_79b9_7f4a_7c15_u64.rotate_left(thread as u32);
                let sleeps = sleeps();
                let request = |nth: usize| {
                    let range = pattern(thread, threads, nth, &mut seed);
                    let before = granted.load(Ordering::SeqCst);
                    let arrived = arrived.fetch_add(1, Ordering::SeqCst);
                    let start = Instant::now();
                    let guard = locks.lock(range.clone());
                    let waited = start.elapsed();
                    let granted = granted.fetch_add(1, Ordering::SeqCst);
                    (work.run)();
                    drop(guard);
                    Granted {
                        range,
                        arrived,
                        before,
                        granted,
                        waited,
                    }
                };
                let requests: Vec<Granted> = (0..work.ops).map(request).collect();
                (requests, self::sleeps() - sleeps)
            }
        };
        let threads: Vec<_> = (0..threads).map(|nth| scope.spawn(start(nth))).collect();
        for thread in threads {
            let (requests, sleeps) = thread.join().expect("nothing panics");
            all.extend(requests);
            figures.sleeps += sleeps;
        }
    });
    all.sort_by_key(|request| request.granted);
    for request in &all {
        let meanwhile = &all[request.before..request.granted];
        let overtook = |other: &&Granted| {
            other.arrived > request.arrived
                && other.range.start < request.range.end
                && request.range.start < other.range.end
        };
        figures
            .overtaken
            .push(meanwhile.iter().filter(overtook).count());
        figures.waited.push(request.waited);
    }
}

/// How often this thread has slept, as Linux counts it; elsewhere 0.
fn sleeps() -> usize {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("voluntary_ctxt"));
    let count = line.and_then(|line| line.split_whitespace().last());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn main() {
    let rounds = if std::env::args().any(|arg| arg == "--bench") {
        ROUNDS
    } else {
        1
    };
    let ours = ExtentIoTree::new();
    let try_only = VecRangeLock::new(vec![(); FILE as usize]);
    let file = Mutex::new(());
    let shards: Vec<Mutex<()>> = (0..SHARDS).map(|_| Mutex::new(())).collect();
    for work in WORK {
        println!("held for {}", work.what);
        for (what, pattern) in PATTERNS {
            for threads in [1, 2, 8] {
                let mut figures: [Figures; 4] = Default::default();
                for _ in 0..rounds {
                    run(&ours, work, threads, pattern, &mut figures[0]);
                    run(&try_only, work, threads, pattern, &mut figures[1]);
                    run(&file, work, threads, pattern, &mut figures[2]);
                    run(&shards, work, threads, pattern, &mut figures[3]);
                }
                println!("{what}, {threads} threads");
                for (name, figures) in NAMES.into_iter().zip(figures) {
                    print(name, figures);
                }
            }
        }
    }
    assert!(ours.is_empty());
}

fn print(name: &str, mut figures: Figures) {
    figures.waited.sort();
    let count = figures.waited.len();
    let at = |per_mille: usize| figures.waited[count * per_mille / 1000].as_nanos();
    let sum: usize = figures.overtaken.iter().sum();
    println!(
        "  {name:16} p50 {:8} ns  p99.9 {:9} ns  slept {:6}  overtaken at most {:5}, {:7.3} on average",
        at(500),
        at(999),
        figures.sleeps,
        figures.overtaken.iter().max().expect("there were requests"),
        sum as f64 / count as f64,
    );
}
