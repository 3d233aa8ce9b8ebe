//! What programs do to files.

use std::ops::Range;

const PAGE: u64 = 4096;

/// One step; syncs are fsyncs, or the writeback that comes by itself.
pub(crate) enum Step {
    Write { file: usize, pages: Range<u64> },
    Sync { file: usize, i_size: u64 },
}

pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) files: usize,
    /// Bytes that the program writes; its pages are more.
    pub(crate) bytes: u64,
    pub(crate) steps: Vec<Step>,
}

impl Workload {
    fn new(name: &'static str, files: usize) -> Self {
        Self {
            name,
            files,
            bytes: 0,
            steps: Vec::new(),
        }
    }

    pub(crate) fn writes(&self) -> u64 {
        let writes = self.steps.iter();
        writes
            .filter(|step| matches!(step, Step::Write { .. }))
            .count() as u64
    }

    fn write(&mut self, file: usize, bytes: Range<u64>) {
        self.bytes += bytes.end - bytes.start;
        let pages = bytes.start / PAGE * PAGE..bytes.end.next_multiple_of(PAGE);
        self.steps.push(Step::Write { file, pages });
    }

    fn sync(&mut self, file: usize, i_size: u64) {
        self.steps.push(Step::Sync { file, i_size });
    }
}

pub(crate) fn all() -> [Workload; 4] {
    [append(), random_pages(), log(), wal()]
}

/// 4 KiB at a time; writeback comes by every 4 MiB.
fn append() -> Workload {
    let mut workload = Workload::new("sequential append", 1);
    for page in 0..32 << 10 {
        let end = (page + 1) * PAGE;
        workload.write(0, page * PAGE..end);
        if end.is_multiple_of(4 << 20) {
            workload.sync(0, end);
        }
    }
    workload
}

/// In a file of 1 GiB; writeback comes by every 4,096 writes.
fn random_pages() -> Workload {
    let mut workload = Workload::new("random 4 KiB", 1);
    let mut seed = 1;
    for nth in 1..=16_u64 << 10 {
        let page = random(&mut seed) % (1 << 18);
        workload.write(0, page * PAGE..(page + 1) * PAGE);
        if nth.is_multiple_of(4096) {
            workload.sync(0, 1 << 30);
        }
    }
    workload
}

/// Records of 200 bytes.
fn log() -> Workload {
    const RECORD: u64 = 200;
    let mut workload = Workload::new("log with fsync every 10", 1);
    for nth in 1..=20_000_u64 {
        workload.write(0, (nth - 1) * RECORD..nth * RECORD);
        if nth.is_multiple_of(10) {
            workload.sync(0, nth * RECORD);
        }
    }
    workload
}

/// Transactions of one to eight frames into the log of a database of 64 MiB; after a thousand
/// frames, their pages go into the database, and the log begins at its start again.
fn wal() -> Workload {
    const FRAME: u64 = 24 + PAGE;
    const LOG: usize = 0;
    const DATABASE: usize = 1;
    let mut workload = Workload::new("SQLite's WAL", 2);
    let mut seed = 3;
    let mut log_size = 0;
    for _ in 0..10 {
        let mut at = 32;
        let mut pages = std::collections::BTreeSet::new();
        workload.write(LOG, 0..32);
        while at < 1000 * FRAME {
            for _ in 0..1 + random(&mut seed) % 8 {
                workload.write(LOG, at..at + FRAME);
                at += FRAME;
                pages.insert(random(&mut seed) % (64 << 20 >> 12));
            }
            log_size = at.max(log_size);
            workload.sync(LOG, log_size);
        }
        for page in pages {
            workload.write(DATABASE, page * PAGE..(page + 1) * PAGE);
        }
        workload.sync(DATABASE, 64 << 20);
    }
    workload
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    // Its low bits alone are not random enough for small seeds.
    *seed >> 20
}
