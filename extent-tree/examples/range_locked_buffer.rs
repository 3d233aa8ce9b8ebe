//! A buffer shared by many writers: those of disjoint ranges don't wait for
//! each other, those of overlapping ones write one after the other.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use extent_tree::{ExtentIoTree, StateBits};

struct Buffer {
    bytes: Vec<AtomicU8>,
    ranges: ExtentIoTree,
}

impl Buffer {
    fn new(len: usize) -> Self {
        Self {
            bytes: (0..len).map(|_| AtomicU8::new(0)).collect(),
            ranges: ExtentIoTree::new(),
        }
    }

    /// Fills a range as one step: no reader sees half of it.
    fn fill(&self, range: Range<u64>, value: u8) {
        let guard = self.ranges.lock(range.clone());
        for byte in &self.bytes[range.start as usize..range.end as usize] {
            byte.store(value, Ordering::Relaxed);
        }
        self.ranges
            .set_bits(guard.range(), StateBits::USER0)
            .ignore();
    }

    fn read(&self, range: Range<u64>) -> Vec<u8> {
        let _guard = self.ranges.lock(range.clone());
        self.bytes[range.start as usize..range.end as usize]
            .iter()
            .map(|byte| byte.load(Ordering::Relaxed))
            .collect()
    }
}

fn main() {
    const RECORD: u64 = 4096;
    const RECORDS: u64 = 64;
    let buffer = Buffer::new((RECORD * RECORDS) as usize);
    thread::scope(|scope| {
        for writer in 1..=4_u8 {
            let buffer = &buffer;
            scope.spawn(move || {
                for record in 0..RECORDS {
                    let record = (record * u64::from(writer) * 7) % RECORDS;
                    buffer.fill(record * RECORD..(record + 1) * RECORD, writer);
                }
            });
        }
    });
    let mut per_writer = [0; 5];
    for record in 0..RECORDS {
        let bytes = buffer.read(record * RECORD..(record + 1) * RECORD);
        assert!(bytes.iter().all(|&byte| byte == bytes[0]), "a torn record");
        per_writer[usize::from(bytes[0])] += 1;
    }
    let written = buffer.ranges.count(0..u64::MAX, StateBits::USER0);
    println!("{written} bytes written; records by last writer: {per_writer:?}");
}
