use std::collections::BTreeMap;
use std::ops::Range;

use crate::sync::{Arc, Sleeper};

/// The queue of lock requests, held and waiting, without any locking.
///
/// `last` tells for each byte the latest outstanding request that covers it. A
/// new request waits for exactly those that it finds there: each of them is
/// released only after it was granted, so after all earlier ones on its bytes
/// (I4). Requests know who waits for them, so a release searches nothing (I5).
///
/// A request is a slot. A slot is named by nobody once it is released: its
/// pieces leave `last`, and those that waited for it forget it; so it can be
/// used again at once.
#[derive(Default)]
pub(crate) struct Locks {
    last: BTreeMap<u64, Piece>,
    requests: Vec<Request>,
    free: Vec<usize>,
}

#[derive(Clone, Copy)]
struct Piece {
    end: u64,
    slot: usize,
}

#[derive(Default)]
struct Request {
    /// Requests that must be released before this one is granted.
    waits_for: usize,
    /// Slots of requests that wait for this one, each once.
    waiters: Vec<usize>,
    sleeper: Option<Arc<Sleeper>>,
}

/// A request that was queued; for those who have to wait, where to sleep.
pub(crate) struct Queued {
    pub(crate) slot: usize,
    pub(crate) sleeper: Option<Arc<Sleeper>>,
}

impl Locks {
    /// Queues a request for a range that is not empty.
    pub(crate) fn request(&mut self, range: Range<u64>) -> Queued {
        debug_assert!(!range.is_empty());
        let slot = self.free.pop().unwrap_or_else(|| {
            self.requests.push(Request::default());
            self.requests.len() - 1
        });
        let mut waits_for = 0;

        if let Some((_, before)) = self.last.range_mut(..range.start).next_back()
            && before.end > range.start
        {
            let piece = *before;
            before.end = range.start;
            self.wait_for(piece.slot, slot, &mut waits_for);
            self.put_back_tail(piece, range.end);
        }
        while let Some((&start, &piece)) = self.last.range(range.clone()).next() {
            self.last.remove(&start);
            self.wait_for(piece.slot, slot, &mut waits_for);
            self.put_back_tail(piece, range.end);
        }
        self.last.insert(
            range.start,
            Piece {
                end: range.end,
                slot,
            },
        );

        let sleeper = (waits_for > 0).then(|| Arc::new(Sleeper::default()));
        let request = &mut self.requests[slot];
        request.waits_for = waits_for;
        request.sleeper.clone_from(&sleeper);
        Queued { slot, sleeper }
    }

    /// Whether a request covers a byte of the range, held or waiting.
    pub(crate) fn overlaps(&self, range: Range<u64>) -> bool {
        if range.is_empty() {
            return false;
        }
        let before = self.last.range(..range.end).next_back();
        before.is_some_and(|(_, piece)| piece.end > range.start)
    }

    /// Ends a request that was granted. Those that may go on now are added to
    /// `wake`.
    pub(crate) fn release(&mut self, slot: usize, range: Range<u64>, wake: &mut Vec<Arc<Sleeper>>) {
        debug_assert_eq!(self.requests[slot].waits_for, 0);
        let mut from = range.start;
        while let Some((&start, &piece)) = self.last.range(from..range.end).next() {
            if piece.slot == slot {
                self.last.remove(&start);
            }
            if piece.end >= range.end {
                break;
            }
            from = piece.end;
        }
        // Taken out and put back for its capacity.
        let mut waiters = std::mem::take(&mut self.requests[slot].waiters);
        for waiter in waiters.drain(..) {
            let request = &mut self.requests[waiter];
            request.waits_for -= 1;
            if request.waits_for == 0 {
                wake.extend(request.sleeper.take());
            }
        }
        self.requests[slot].waiters = waiters;
        self.free.push(slot);
    }

    /// How many requests there are, held and waiting.
    pub(crate) fn outstanding(&self) -> usize {
        self.requests.len() - self.free.len()
    }

    /// How many requests wait.
    pub(crate) fn sleeping(&self) -> usize {
        let waits = |request: &&Request| request.waits_for > 0;
        self.requests.iter().filter(waits).count()
    }

    fn wait_for(&mut self, earlier: usize, slot: usize, waits_for: &mut usize) {
        let waiters = &mut self.requests[earlier].waiters;
        // A request is queued in one go, so it can only be the last one here.
        if waiters.last() != Some(&slot) {
            waiters.push(slot);
            *waits_for += 1;
        }
    }

    fn put_back_tail(&mut self, piece: Piece, from: u64) {
        if piece.end > from {
            self.last.insert(from, piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A request of the oracle: granted when no earlier one overlaps it.
    struct Naive {
        range: Range<u64>,
        slot: usize,
        sleeper: Option<Arc<Sleeper>>,
        granted: bool,
    }

    fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
        a.start < b.end && b.start < a.end
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn grants_in_order_among_overlapping(
            steps in proptest::collection::vec((0_u64..32, 1_u64..12, any::<bool>(), 0_usize..64), 1..60),
        ) {
            let mut locks = Locks::default();
            // In order of arrival.
            let mut queue: Vec<Naive> = Vec::new();
            let mut steps = steps.into_iter();
            loop {
                let release = match steps.next() {
                    Some((start, len, false, _)) => {
                        let range = start..start + len;
                        let free = !queue.iter().any(|other| overlap(&other.range, &range));
                        prop_assert_eq!(locks.overlaps(range.clone()), !free);
                        let queued = locks.request(range.clone());
                        prop_assert_eq!(queued.sleeper.is_none(), free);
                        let earlier = locks.requests.iter().filter(|other| other.waiters.contains(&queued.slot));
                        let once = earlier.clone().all(|other| other.waiters.iter().filter(|&&slot| slot == queued.slot).count() == 1);
                        prop_assert!(once && earlier.count() == locks.requests[queued.slot].waits_for);
                        queue.push(Naive { range, slot: queued.slot, sleeper: queued.sleeper, granted: free });
                        continue;
                    }
                    Some((_, _, true, which)) => which,
                    None if queue.is_empty() => break,
                    None => 0,
                };
                let granted: Vec<usize> = (0..queue.len()).filter(|&at| queue[at].granted).collect();
                if granted.is_empty() {
                    prop_assert!(queue.is_empty());
                    continue;
                }
                let done = queue.remove(granted[release % granted.len()]);
                let mut wake = Vec::new();
                locks.release(done.slot, done.range, &mut wake);
                let mut woken = 0;
                for at in 0..queue.len() {
                    let free = !queue[..at].iter().any(|other| overlap(&other.range, &queue[at].range));
                    if free && !queue[at].granted {
                        let sleeper = queue[at].sleeper.as_ref().unwrap();
                        prop_assert_eq!(wake.iter().filter(|other| Arc::ptr_eq(other, sleeper)).count(), 1);
                        queue[at].granted = true;
                        woken += 1;
                    }
                }
                prop_assert_eq!(wake.len(), woken);
                prop_assert_eq!(locks.outstanding(), queue.len());
            }
            prop_assert!(locks.last.is_empty());
        }
    }
}
