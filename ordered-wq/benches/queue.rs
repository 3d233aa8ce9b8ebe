//! What the queue costs, side by side with pariter and with rayon's pool and a
//! reorder buffer: `cargo bench -p ordered-wq`.
//!
//! First a table of ratios from runs that take turns, so that a busy machine
//! disturbs all alike; then criterion's distributions of the same runs.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use compress::{CodecId, Registry, Workspaces};
use criterion::Criterion;
use ordered_wq::{Budget, OrderedQueue, Outcome, Permit, Pool, Work, work};
use pariter::IteratorExt;

const THREADS: usize = 2;
/// Items in transit, for everybody who bounds them.
const WINDOW: u64 = 64;
const ROUNDS: usize = 9;
const PIECE: usize = 128 << 10;

/// A run, by name; the first of a workload is the one that others are compared with.
type Run<'a> = (&'static str, Box<dyn FnMut() + 'a>);

struct Empty(#[expect(dead_code, reason = "held until the item is freed")] Option<Permit>);

impl Work for Empty {
    fn run(&mut self) {}
    fn finish(&mut self, _: Outcome) {}
}

/// Runs `items` empty items, dealt to the queues in turn.
fn ours_empty(queues: &[OrderedQueue<Empty>], items: u64, permit: impl Fn() -> Option<Permit>) {
    for queue in queues.iter().cycle().take(items as usize) {
        queue.push(Empty(permit()));
    }
    for queue in queues {
        queue.drain().expect("nothing panics");
    }
}

fn ours<T: Send + 'static>(
    (pool, budget): (&Pool, &Budget),
    items: u64,
    run: impl Fn(u64) -> T + Clone + Send + 'static,
    finish: impl Fn(T) + Clone + Send + 'static,
) {
    let queue = OrderedQueue::new(pool);
    for n in 0..items {
        let permit = budget.acquire(1);
        let (run, finish) = (run.clone(), finish.clone());
        queue.submit(work(
            move || run(n),
            move |made| {
                finish(made.expect("nothing panics"));
                drop(permit);
            },
        ));
    }
    queue.drain().expect("nothing panics");
}

fn with_pariter<T: Send + 'static>(
    items: u64,
    run: impl Fn(u64) -> T + Clone + Send + 'static,
    finish: impl Fn(T),
) {
    let window =
        |of: pariter::ParallelMapBuilder<_>| of.threads(THREADS).buffer_size(WINDOW as usize);
    (0..items).parallel_map_custom(window, run).for_each(finish);
}

/// What is usually written by hand: jobs on rayon's pool, and what they make put in order by the
/// submitter, which waits while the window is full.
struct Reorder<T> {
    window: u64,
    send: mpsc::Sender<(u64, T)>,
    made: mpsc::Receiver<(u64, T)>,
    early: BTreeMap<u64, T>,
    submitted: u64,
    finished: u64,
}

impl<T: Send + 'static> Reorder<T> {
    fn new(window: u64) -> Self {
        let (send, made) = mpsc::channel();
        Self {
            window,
            send,
            made,
            early: BTreeMap::new(),
            submitted: 0,
            finished: 0,
        }
    }

    fn submit(
        &mut self,
        pool: &rayon::ThreadPool,
        run: impl FnOnce(u64) -> T + Send + 'static,
        finish: &impl Fn(T),
    ) {
        while self.submitted - self.finished >= self.window {
            self.finish_one(finish);
        }
        let (made, n) = (self.send.clone(), self.submitted);
        self.submitted += 1;
        pool.spawn(move || {
            let _ = made.send((n, run(n)));
        });
    }

    fn finish_one(&mut self, finish: &impl Fn(T)) {
        while !self.early.contains_key(&self.finished) {
            let (n, made) = self.made.recv().expect("a sender is here");
            self.early.insert(n, made);
        }
        finish(self.early.remove(&self.finished).expect("it is there"));
        self.finished += 1;
    }

    fn drain(&mut self, finish: &impl Fn(T)) {
        while self.finished < self.submitted {
            self.finish_one(finish);
        }
    }
}

fn with_rayon<T: Send + 'static>(
    (pool, window): (&rayon::ThreadPool, u64),
    items: u64,
    run: impl Fn(u64) -> T + Clone + Send + 'static,
    finish: impl Fn(T),
) {
    let mut reorder = Reorder::new(window);
    for _ in 0..items {
        reorder.submit(pool, run.clone(), &finish);
    }
    reorder.drain(&finish);
}

/// Medians, first all in turns, and the ratio to the first.
fn compare(what: &str, items: u64, runs: &mut [Run<'_>]) {
    let mut times = vec![Vec::new(); runs.len()];
    for _ in 0..ROUNDS {
        for ((_, run), times) in runs.iter_mut().zip(&mut times) {
            let start = Instant::now();
            run();
            times.push(start.elapsed().as_nanos() as f64 / items as f64);
        }
    }
    println!("{what}");
    let mut first = None;
    for ((name, _), times) in runs.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let median = times[ROUNDS / 2];
        let ratio = median / *first.get_or_insert(median);
        println!("{ratio:8.3}x {median:12.0} ns an item, {name}");
    }
}

fn bench(criterion: &mut Criterion, table: bool, what: &str, items: u64, mut runs: Vec<Run<'_>>) {
    if table {
        compare(what, items, &mut runs);
    }
    let mut group = criterion.benchmark_group(what);
    group.sample_size(10);
    group.measurement_time(Duration::from_secs(2));
    group.throughput(criterion::Throughput::Elements(items));
    for (name, mut run) in runs {
        group.bench_function(name, |bencher| bencher.iter(&mut run));
    }
    group.finish();
}

/// Deterministic and about as compressible as source code.
fn text() -> Arc<Vec<Vec<u8>>> {
    const WORDS: [&str; 16] = [
        "fn ", "let ", "self.", "extent", "(", ")", ";\n    ", "range", " = ", "start", "end",
        "&mut ", "queue", "match ", "// the ", "0x",
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut piece = || {
        let mut text = Vec::with_capacity(PIECE + 16);
        while text.len() < PIECE {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            text.extend_from_slice(WORDS[(seed >> 40) as usize % WORDS.len()].as_bytes());
            if seed.is_multiple_of(5) {
                text.extend_from_slice(format!("{:x}", seed >> 44).as_bytes());
            }
        }
        text.truncate(PIECE);
        text
    };
    Arc::new((0..256).map(|_| piece()).collect())
}

/// Two threads that do the same items, the next one each, and have nothing to put in order.
fn perfect<T>(items: u64, run: impl Fn(u64) -> T + Sync) {
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= items {
                        return;
                    }
                    black_box(run(n));
                }
            });
        }
    });
}

/// Busy, so that both cores are; a sleep would be free.
fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Items of 128 KiB, one in a hundred fifty times slower: how many bytes were in memory at once,
/// and how long items took from submission to the end of their ordered part.
#[derive(Default)]
struct Ledger {
    live: AtomicU64,
    high_water: AtomicU64,
    took: Mutex<Vec<Duration>>,
}

impl Ledger {
    fn run(self: &Arc<Self>) -> impl Fn(u64) -> Instant + Clone + Send + 'static + use<> {
        let ledger = Arc::clone(self);
        move |n| {
            let start = Instant::now();
            let live = ledger.live.fetch_add(PIECE as u64, Ordering::Relaxed);
            ledger
                .high_water
                .fetch_max(live + PIECE as u64, Ordering::Relaxed);
            spin(Duration::from_micros(if n % 100 == 50 { 2500 } else { 50 }));
            start
        }
    }

    fn finish(self: &Arc<Self>) -> impl Fn(Instant) + Clone + Send + 'static + use<> {
        let ledger = Arc::clone(self);
        move |start| {
            ledger.live.fetch_sub(PIECE as u64, Ordering::Relaxed);
            let mut took = ledger.took.lock().expect("nothing panics");
            took.push(start.elapsed());
        }
    }

    fn print(&self, name: &str) {
        let mut took = self.took.lock().expect("nothing panics");
        took.sort();
        println!(
            "{:8} KiB of results at most, p99 {:6} us from start to finish, {name}",
            self.high_water.load(Ordering::Relaxed) >> 10,
            took[took.len() * 99 / 100].as_micros()
        );
    }
}

fn slow_items(pool: &Pool, rayon: &rayon::ThreadPool) {
    const ITEMS: u64 = 6000;
    println!("1 % of items 50x slower");
    let ledger = Arc::new(Ledger::default());
    let budget = Budget::new(WINDOW * PIECE as u64);
    let queue = OrderedQueue::new(pool);
    for n in 0..ITEMS {
        let permit = budget.acquire(PIECE as u64);
        let (run, finish) = (ledger.run(), ledger.finish());
        queue.submit(work(
            move || run(n),
            move |start| {
                finish(start.expect("nothing panics"));
                drop(permit);
            },
        ));
    }
    queue.drain().expect("nothing panics");
    let high_water = budget.high_water();
    assert!(high_water <= budget.limit());
    ledger.print("ordered-wq");
    println!(
        "{:8} KiB in transit at most, of the budget's {}",
        high_water >> 10,
        budget.limit() >> 10
    );
    let ledger = Arc::new(Ledger::default());
    with_pariter(ITEMS, ledger.run(), ledger.finish());
    ledger.print("pariter, 64 items in transit");
    for (window, name) in [
        (WINDOW, "rayon, 64 items in transit"),
        (u64::MAX, "rayon, spawned at once"),
    ] {
        let ledger = Arc::new(Ledger::default());
        with_rayon((rayon, window), ITEMS, ledger.run(), ledger.finish());
        ledger.print(name);
    }
}

fn main() {
    let criterion = &mut Criterion::default().configure_from_args();
    // Cargo says which: `cargo bench`, or a test that the benches run.
    let table = std::env::args().any(|arg| arg == "--bench");
    let pool = Pool::new(THREADS);
    let rayon = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build();
    let rayon = rayon.expect("threads start");
    let budget = Budget::new(WINDOW);
    let one = [OrderedQueue::of_one_type(&pool)];
    let boxed = OrderedQueue::new(&pool);

    let items = 50_000;
    let runs: Vec<Run> = vec![
        (
            "pariter",
            Box::new(|| {
                with_pariter(
                    items,
                    |n| n,
                    |n| {
                        black_box(n);
                    },
                )
            }),
        ),
        (
            "ordered-wq",
            Box::new(|| {
                ours_empty(&one, items, || Some(budget.acquire(1)));
            }),
        ),
        (
            "ordered-wq, submitter helps",
            Box::new(|| {
                ours_empty(&one, items, || Some(budget.acquire_helping(1, &pool)));
            }),
        ),
        (
            "ordered-wq, no budget",
            Box::new(|| ours_empty(&one, items, || None)),
        ),
        (
            "ordered-wq, no budget, in boxes",
            Box::new(|| {
                for _ in 0..items {
                    boxed.submit(Empty(None));
                }
                boxed.drain().expect("nothing panics");
            }),
        ),
        (
            "rayon and a reorder buffer",
            Box::new(|| {
                with_rayon(
                    (&rayon, WINDOW),
                    items,
                    |n| n,
                    |n| {
                        black_box(n);
                    },
                );
            }),
        ),
    ];
    bench(criterion, table, "empty items", items, runs);

    let many: Vec<_> = (0..64).map(|_| OrderedQueue::of_one_type(&pool)).collect();
    let runs: Vec<Run> = vec![
        (
            "pariter, 64 iterators of 2 threads",
            Box::new(|| {
                let window = |of: pariter::ParallelMapBuilder<_>| of.threads(THREADS);
                let mut many: Vec<_> = (0..64)
                    .map(|_| (0..items / 64).parallel_map_custom(window, |n| n))
                    .collect();
                for _ in 0..items / 64 {
                    many.iter_mut().for_each(|one| {
                        black_box(one.next());
                    });
                }
            }),
        ),
        (
            "ordered-wq",
            Box::new(|| {
                ours_empty(&many, items, || Some(budget.acquire(1)));
            }),
        ),
        (
            "rayon and 64 reorder buffers",
            Box::new(|| {
                let mut many: Vec<_> = (0..64).map(|_| Reorder::new(WINDOW)).collect();
                for _ in 0..items / 64 {
                    for one in &mut many {
                        one.submit(&rayon, |n| n, &|n| {
                            black_box(n);
                        });
                    }
                }
                many.iter_mut().for_each(|one| {
                    one.drain(&|n| {
                        black_box(n);
                    })
                });
            }),
        ),
    ];
    bench(criterion, table, "64 queues", items, runs);

    let pieces = text();
    let items = pieces.len() as u64;
    let workspaces = Workspaces::new(Registry::btrfs(), THREADS + 1);
    let zstd = {
        let pieces = Arc::clone(&pieces);
        move |n: u64| {
            let compressor = workspaces.compressor(CodecId::ZSTD, 3);
            let mut packed = vec![0; PIECE];
            let len = compressor
                .expect("there is memory")
                .compress(&pieces[n as usize], &mut packed)
                .expect("it compresses");
            packed.truncate(len.expect("text shrinks"));
            packed
        }
    };
    let zstd = &zstd;
    let runs: Vec<Run> = vec![
        (
            "two threads, nothing else",
            Box::new(|| perfect(items, zstd)),
        ),
        (
            "ordered-wq",
            Box::new(|| {
                ours((&pool, &budget), items, zstd.clone(), |packed| {
                    drop(black_box(packed))
                });
            }),
        ),
        (
            "pariter",
            Box::new(|| {
                with_pariter(items, zstd.clone(), |packed| {
                    black_box(packed);
                });
            }),
        ),
        (
            "rayon and a reorder buffer",
            Box::new(|| {
                with_rayon((&rayon, WINDOW), items, zstd.clone(), |packed| {
                    drop(black_box(packed))
                });
            }),
        ),
    ];
    bench(criterion, table, "128 KiB of text, zstd 3", items, runs);

    if table {
        slow_items(&pool, &rayon);
    }
    criterion.final_summary();
}
