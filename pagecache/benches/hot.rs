//! Whole streams and many small files beside the memory copies that they cannot do without: medians
//! and ratios of one run. Single pages are in `pages`.
//!
//! A plain program and no statistics: what counts is a factor, not a percent.
#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use pagecache::{Cache, FOLIO_SIZE, Mapping, WritebackEnd};

const ROUNDS: usize = 5;
const STREAM: u64 = 1 << 30;
const FILES: u32 = 46_000;
const BUDGET: u64 = 64 << 20;

fn main() {
    // `cargo test` runs benches, too; it wants to know that they build.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let source = vec![7; FOLIO_SIZE as usize];
    stream(&source);
    small_files(&source);
}

fn median(mut run: impl FnMut() -> Duration) -> Duration {
    run();
    let mut times: Vec<_> = (0..ROUNDS).map(|_| run()).collect();
    times.sort();
    times[ROUNDS / 2]
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn stream(source: &[u8]) {
    let mut buffers: Vec<Vec<u8>> = (0..BUDGET / FOLIO_SIZE)
        .map(|_| vec![1; source.len()])
        .collect();
    let mut copy = |distance: usize| {
        median(|| {
            timed(|| {
                for n in 0..(STREAM / FOLIO_SIZE) as usize {
                    let buffer = &mut buffers[n % distance];
                    buffer.copy_from_slice(source);
                    black_box(buffer);
                }
            })
        })
    };
    let hot = copy(8);
    let cold = copy(512);
    println!("copy 1 GiB into 8 / 512 buffers in turn: {hot:?} / {cold:?}");
    let cache = Cache::new(BUDGET);
    let write = |file: &Mapping, at: u64| {
        file.write_with(at, FOLIO_SIZE, |window| {
            window.copy_from_slice(source);
            Ok(window.len())
        })
        .unwrap();
        let snapshot = file.claim(at..at + FOLIO_SIZE).unwrap();
        black_box(&snapshot.bytes);
        file.end_writeback(snapshot.range(), WritebackEnd::Done);
    };
    let kept = median(|| {
        let file = Mapping::new(&cache);
        timed(|| {
            for at in (0..STREAM).step_by(FOLIO_SIZE as usize) {
                write(&file, at);
            }
        })
    });
    println!(
        "stream, contents kept until evicted: {kept:?}, {:.2} of the cold copy",
        ratio(kept, cold)
    );
    let forgotten = median(|| {
        let file = Mapping::new(&cache);
        timed(|| {
            for at in (0..STREAM).step_by(FOLIO_SIZE as usize) {
                write(&file, at);
                file.forget();
            }
        })
    });
    println!(
        "stream, contents forgotten: {forgotten:?}, {:.2} of the hot copy",
        ratio(forgotten, hot)
    );
    println!("{:?}", cache.stats());
}

fn small_files(source: &[u8]) {
    const LEN: usize = 5000;
    let mut buffer = vec![0; LEN];
    let copy = median(|| {
        timed(|| {
            for _ in 0..FILES {
                buffer.copy_from_slice(&source[..LEN]);
                black_box(&mut buffer);
            }
        })
    });
    let cache = Cache::new(BUDGET);
    for forget in [false, true] {
        let files = median(|| {
            timed(|| {
                for _ in 0..FILES {
                    let file = Mapping::new(&cache);
                    file.write_with(0, LEN as u64, |window| {
                        window.copy_from_slice(&source[..LEN]);
                        Ok(LEN)
                    })
                    .unwrap();
                    let snapshot = file.claim_next(0..FOLIO_SIZE).unwrap();
                    if forget {
                        file.forget();
                    }
                    black_box(&snapshot.bytes);
                    file.end_writeback(snapshot.range(), WritebackEnd::Done);
                }
            })
        });
        println!(
            "a file of {LEN} bytes written, claimed, ended, dropped (forget: {forget}): {:?} besides the copy of {:?}",
            files.saturating_sub(copy) / FILES,
            copy / FILES
        );
    }
    let files = median(|| {
        let mut list = Vec::with_capacity(FILES as usize);
        let time = timed(|| {
            for _ in 0..FILES {
                let file = Mapping::new(&cache);
                file.write(0, &source[..LEN]).unwrap();
                let snapshot = file.claim_next(0..FOLIO_SIZE).unwrap();
                file.end_writeback(snapshot.range(), WritebackEnd::Done);
                list.push(file);
            }
        });
        time + timed(|| drop(list))
    });
    println!(
        "the same with all files kept open, through eviction: {:?} a file",
        files / FILES
    );
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}
