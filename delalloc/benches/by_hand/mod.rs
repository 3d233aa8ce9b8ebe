//! What is usually written by hand: one state for each byte in a map of ranges, and three counters.
//! It promises no metadata and knows nothing of waiters.

use std::ops::Range;
use std::sync::Mutex;
use std::time::Instant;

use delalloc::WINDOW;
use rangemap::RangeMap;

use super::{Books, MAX_CLAIM, Made};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Dirty,
    InFlight,
    Ordered,
}

#[derive(Default)]
struct Counters {
    may_use: u64,
    reserved: u64,
    used: u64,
}

pub(crate) struct ByHand {
    files: Vec<Mutex<RangeMap<u64, State>>>,
    counters: Mutex<Counters>,
}

impl ByHand {
    fn set(&self, file: usize, range: Range<u64>, state: State) {
        let mut states = self.files[file].lock().expect("nothing panics");
        states.insert(range, state);
    }

    fn claim(&self, file: usize, from: u64) -> Option<Range<u64>> {
        let mut states = self.files[file].lock().expect("nothing panics");
        let mut found = states.overlapping(from..u64::MAX);
        let (range, _) = found.find(|(_, state)| **state == State::Dirty)?;
        let start = range.start.max(from);
        let claimed = start..range.end.min(start + MAX_CLAIM);
        states.insert(claimed.clone(), State::InFlight);
        Some(claimed)
    }

    fn counters(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.counters.lock().expect("nothing panics"));
    }
}

impl Books for ByHand {
    const NAME: &'static str = "by hand, on rangemap";

    fn new(files: usize) -> Self {
        Self {
            files: (0..files).map(|_| Mutex::default()).collect(),
            counters: Mutex::default(),
        }
    }

    fn write(&self, file: usize, pages: Range<u64>) {
        let mut states = self.files[file].lock().expect("nothing panics");
        let fresh: u64 = states.gaps(&pages).map(|gap| gap.end - gap.start).sum();
        states.insert(pages, State::Dirty);
        drop(states);
        self.counters(|counters| counters.may_use += fresh);
    }

    fn sync(&self, file: usize, _: u64, made: &mut Made) {
        let mut from = 0;
        loop {
            let begin = Instant::now();
            let Some(claimed) = self.claim(file, from) else {
                return;
            };
            made.claims.push(begin.elapsed());
            from = claimed.end;
            let mut start = claimed.start;
            while start < claimed.end {
                let piece = start..claimed.end.min(start + WINDOW);
                start = piece.end;
                let len = piece.end - piece.start;
                let disk_num_bytes = made.extent(len);
                self.set(file, piece.clone(), State::Ordered);
                self.counters(|counters| {
                    counters.may_use -= len;
                    counters.reserved += disk_num_bytes;
                });
                let mut states = self.files[file].lock().expect("nothing panics");
                states.remove(piece);
                drop(states);
                self.counters(|counters| {
                    counters.reserved -= disk_num_bytes;
                    counters.used += disk_num_bytes;
                });
            }
        }
    }

    fn settled(self) -> u64 {
        for file in self.files {
            assert!(file.into_inner().is_ok_and(|states| states.is_empty()));
        }
        let counters = self.counters.into_inner().expect("nothing panics");
        assert_eq!((counters.may_use, counters.reserved), (0, 0), "leaked");
        counters.used
    }
}
