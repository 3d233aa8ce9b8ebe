//! From dirty to used and back to nothing, beside a claimer as one writes it by hand on rangemap's
//! map: `cargo bench -p delalloc`.
//!
//! First a table from runs that take turns, so that a busy machine disturbs all alike: how long a
//! write takes with its share of writeback, how long a claim, how many extents are made and how many
//! bytes are stored for each byte written; then criterion's distributions of the same runs. Every
//! run ends with nothing leaked, or panics.

mod by_hand;
mod workload;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use by_hand::ByHand;
use criterion::{Criterion, Throughput};
use delalloc::{
    Delalloc, Limits, MAX_CLAIM, NoPageLocks, Space, SpaceLedger, SyncMode, WritebackControl,
    plan_pieces,
};
use workload::{Step, Workload};

const ROUNDS: usize = 9;

/// What became of the writes of a run.
#[derive(Clone, Debug, Default, PartialEq)]
struct Made {
    extents: u64,
    stored: u64,
    claims: Vec<Duration>,
}

impl Made {
    fn extent(&mut self, len: u64) -> u64 {
        let disk_num_bytes = shrunk(len);
        self.extents += 1;
        self.stored += disk_num_bytes;
        disk_num_bytes
    }
}

/// Bytes on disk of data that compresses to two fifths.
fn shrunk(len: u64) -> u64 {
    (len * 2 / 5).next_multiple_of(4096).min(len)
}

/// What knows which bytes of some files are dirty, and what they were promised.
trait Books {
    const NAME: &'static str;
    fn new(files: usize) -> Self;
    /// Reserves and dirties whole pages.
    fn write(&self, file: usize, pages: Range<u64>);
    /// Claims, submits and finishes all that is dirty.
    fn sync(&self, file: usize, i_size: u64, made: &mut Made);
    /// Bytes that are used. Panics where any are promised or on their way.
    fn settled(self) -> u64;
}

struct Ours {
    ledger: SpaceLedger,
    files: Vec<Arc<Delalloc>>,
}

impl Books for Ours {
    const NAME: &'static str = "delalloc";

    fn new(files: usize) -> Self {
        let ledger = SpaceLedger::new(Limits {
            metadata_per_extent: 16 << 10,
            ..Limits::UNLIMITED
        });
        let files = (0..files).map(|_| Delalloc::new(&ledger)).collect();
        Self { ledger, files }
    }

    fn write(&self, file: usize, pages: Range<u64>) {
        let file = &self.files[file];
        let reservation = file.reserve(pages.clone()).expect("there is room");
        file.dirty(pages, reservation).ignore();
    }

    fn sync(&self, file: usize, i_size: u64, made: &mut Made) {
        let mut wbc = WritebackControl::whole(SyncMode::All);
        let mut from = 0;
        loop {
            let start = Instant::now();
            let claimed = self.files[file].claim_next(&NoPageLocks, from, &mut wbc, MAX_CLAIM);
            let Some((mut claim, ())) = claimed else {
                return;
            };
            made.claims.push(start.elapsed());
            from = claim.range().end;
            for piece in plan_pieces(claim.range(), i_size) {
                let disk_num_bytes = made.extent(piece.range.end - piece.range.start);
                let part = claim.split_to(piece.range.end);
                part.order(disk_num_bytes).complete();
            }
        }
    }

    fn settled(self) -> u64 {
        assert!(self.files.iter().all(|file| file.is_settled()), "leaked");
        assert!(self.ledger.is_settled(), "leaked: {:?}", self.ledger);
        self.ledger.counters(Space::Data).bytes_used
    }
}

/// Takes the steps of a workload, and sees that nothing leaked.
fn run<B: Books>(workload: &Workload) -> (Duration, Made) {
    let books = B::new(workload.files);
    let mut made = Made::default();
    let start = Instant::now();
    for step in &workload.steps {
        match step {
            Step::Write { file, pages } => books.write(*file, pages.clone()),
            Step::Sync { file, i_size } => books.sync(*file, *i_size, &mut made),
        }
    }
    let taken = start.elapsed();
    assert_eq!(books.settled(), made.stored, "{}: leaked", B::NAME);
    (taken, made)
}

fn main() {
    let criterion = &mut Criterion::default().configure_from_args();
    // Cargo says which: `cargo bench`, or a test that the benches run.
    let table = std::env::args().any(|arg| arg == "--bench");
    for workload in workload::all() {
        if table {
            compare(&workload);
        }
        let mut group = criterion.benchmark_group(workload.name);
        group.sample_size(10);
        group.warm_up_time(Duration::from_millis(200));
        group.measurement_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements(workload.writes()));
        for (name, run) in [
            (Ours::NAME, run::<Ours> as fn(&Workload) -> _),
            (ByHand::NAME, run::<ByHand>),
        ] {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| run(&workload).0).sum());
            });
        }
        group.finish();
    }
    criterion.final_summary();
}

fn compare(workload: &Workload) {
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..ROUNDS {
        ours.push(run::<Ours>(workload));
        theirs.push(run::<ByHand>(workload));
    }
    println!("{}: {} writes", workload.name, workload.writes());
    let first = line(Ours::NAME, workload, ours, None);
    line(ByHand::NAME, workload, theirs, Some(first));
}

/// Prints the medians of a run and returns that of a write.
fn line(name: &str, workload: &Workload, runs: Vec<(Duration, Made)>, first: Option<f64>) -> f64 {
    let mut times: Vec<_> = runs.iter().map(|(taken, _)| *taken).collect();
    times.sort();
    let write = times[times.len() / 2].as_nanos() as f64 / workload.writes() as f64;
    let (extents, stored) = (runs[0].1.extents, runs[0].1.stored);
    let mut claims: Vec<_> = runs.into_iter().flat_map(|(_, made)| made.claims).collect();
    claims.sort();
    println!(
        "{:8.3}x {write:8.0} ns a write; a claim p50 {:?}, p99 {:?}; {extents} extents, \
         {:.3} bytes stored a byte, {name}",
        write / first.unwrap_or(write),
        claims[claims.len() / 2],
        claims[claims.len() * 99 / 100],
        stored as f64 / workload.bytes as f64,
    );
    write
}
