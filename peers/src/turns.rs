//! Runs that take turns.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};

const ROUNDS: usize = 9;

/// One run, by name. The time is that of what is compared, without what it needs first.
pub type Run<'a> = (&'static str, Box<dyn FnMut() -> Duration + 'a>);

/// The time that `run` takes.
pub fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// Prints how many times as long as the first of them each takes, by the medians of runs that take
/// turns, then lets criterion measure the same runs, each of which is `ops` operations.
pub fn bench(criterion: &mut Criterion, what: &str, ops: u64, mut runs: Vec<Run<'_>>) {
    // Cargo says which: `cargo bench`, or a test that the benches run.
    if std::env::args().any(|arg| arg == "--bench") {
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
        println!("{ratio:9.3}x {median:12.0} ns, {name}");
    }
}
