use std::collections::BTreeMap;
use std::ops::Range;

use crate::sync::{Arc, Sleeper};

/// How often a request that sleeps is passed by later ones.
///
/// So many short locks are taken while a thread wakes.
pub(crate) const PASSES: u32 = if cfg!(any(test, shuttle)) { 2 } else { 64 };

/// Where there were more requests at a time, none passes others: it would have to look at them all.
const FEW: usize = 64;

/// The queue of lock requests, held and waiting, without any locking.
///
/// `last` tells for each byte the latest outstanding request that covers it. A
/// new request waits for exactly those that it finds there: each of them is
/// released only after it was granted, so after all earlier ones on its bytes
/// (I4). Requests know who waits for them, so a release searches nothing (I5).
///
/// To wake a thread takes longer than to hold many a lock, and who wakes threads in turn gets no
/// further. So a request that finds only sleepers is granted before them, [`PASSES`] times
/// at most for each: they wait for it as if it had come first.
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

/// What a request's thread does. The range is its own once it is `Granted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Granted,
    /// It sees at once that the range was handed to it. Nobody passes it.
    Awake,
    Asleep,
    /// It is being woken to take the range, which goes to whoever passes it meanwhile.
    Called,
}

#[derive(Default)]
struct Request {
    /// Empty once it is released.
    range: Range<u64>,
    stage: Stage,
    /// How many passed it.
    passed: u32,
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
        let waits_for = if !self.overlaps(range.clone()) {
            self.cover(range.clone(), slot);
            0
        } else if self.may_pass(&range) {
            self.pass(slot, &range);
            0
        } else {
            self.queue(slot, &range)
        };
        let request = &mut self.requests[slot];
        request.range = range;
        request.passed = 0;
        request.waits_for = waits_for;
        if waits_for == 0 {
            request.stage = Stage::Granted;
            return Queued {
                slot,
                sleeper: None,
            };
        }
        let sleeper = Arc::new(Sleeper::default());
        request.stage = Stage::Awake;
        request.sleeper = Some(Arc::clone(&sleeper));
        Queued {
            slot,
            sleeper: Some(sleeper),
        }
    }

    /// Whether a request covers a byte of the range, held or waiting.
    pub(crate) fn overlaps(&self, range: Range<u64>) -> bool {
        if range.is_empty() {
            return false;
        }
        let before = self.last.range(..range.end).next_back();
        before.is_some_and(|(_, piece)| piece.end > range.start)
    }

    /// Whether a request that waited awake was granted; otherwise its thread is asleep from now on.
    pub(crate) fn granted_or_asleep(&mut self, slot: usize) -> bool {
        let stage = &mut self.requests[slot].stage;
        if *stage == Stage::Awake {
            *stage = Stage::Asleep;
        }
        *stage == Stage::Granted
    }

    /// Whether a request whose thread slept is granted now; otherwise it was passed, and nobody
    /// else passes it.
    pub(crate) fn granted_or_awake(&mut self, slot: usize) -> bool {
        let request = &mut self.requests[slot];
        if request.stage == Stage::Called {
            request.stage = match request.waits_for {
                0 => Stage::Granted,
                _ => Stage::Awake,
            };
        }
        request.stage == Stage::Granted
    }

    /// Ends a request that was granted. Those that may go on now are added to
    /// `wake`. Where requests are held for `long`, the range is handed to a sleeper:
    /// to wait for it costs less than to let others pass.
    pub(crate) fn release(
        &mut self,
        slot: usize,
        range: Range<u64>,
        long: impl FnOnce() -> bool,
        wake: &mut Vec<Arc<Sleeper>>,
    ) {
        debug_assert_eq!(self.requests[slot].stage, Stage::Granted);
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
        let hand_over = !waiters.is_empty() && long();
        for waiter in waiters.drain(..) {
            let request = &mut self.requests[waiter];
            request.waits_for -= 1;
            if request.waits_for == 0 {
                wake.extend(request.is_next(hand_over));
            }
        }
        self.requests[slot].waiters = waiters;
        self.requests[slot].range = 0..0;
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

    /// Queues a request behind all that it overlaps; answers how many it waits for.
    fn queue(&mut self, slot: usize, range: &Range<u64>) -> usize {
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
        self.cover(range.clone(), slot);
        waits_for
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

    /// Whether all that a new request overlaps can be passed.
    fn may_pass(&self, range: &Range<u64>) -> bool {
        let can_be_passed = |other: &Request| {
            matches!(other.stage, Stage::Asleep | Stage::Called) && other.passed < PASSES
        };
        let mut others = self.requests.iter();
        self.requests.len() <= FEW
            && others.all(|other| !other.overlaps(range) || can_be_passed(other))
    }

    /// Lets a request go before all that it overlaps. They are the latest on their bytes still.
    fn pass(&mut self, slot: usize, range: &Range<u64>) {
        let mut waiters = std::mem::take(&mut self.requests[slot].waiters);
        for (passed, request) in self.requests.iter_mut().enumerate() {
            if request.overlaps(range) {
                request.passed += 1;
                request.waits_for += 1;
                waiters.push(passed);
            }
        }
        self.requests[slot].waiters = waiters;
        let before = self.last.range(..=range.start).next_back();
        let mut from = before.map_or(range.start, |(_, piece)| piece.end.max(range.start));
        while from < range.end {
            let next = self.last.range(from..range.end).next();
            let (start, end) = next.map_or((range.end, range.end), |(&at, next)| (at, next.end));
            self.cover(from..start, slot);
            from = end;
        }
    }

    /// Makes a request the latest on bytes that have none.
    fn cover(&mut self, Range { start, end }: Range<u64>, slot: usize) {
        if start < end {
            self.last.insert(start, Piece { end, slot });
        }
    }
}

impl Request {
    fn overlaps(&self, range: &Range<u64>) -> bool {
        self.range.start < range.end && range.start < self.range.end
    }

    /// No other is before it any more: who must be woken for that.
    fn is_next(&mut self, hand_over: bool) -> Option<Arc<Sleeper>> {
        match self.stage {
            Stage::Asleep if !hand_over => {
                self.stage = Stage::Called;
                self.sleeper.clone()
            }
            Stage::Awake | Stage::Asleep => {
                self.stage = Stage::Granted;
                self.sleeper.take()
            }
            // It was woken and comes.
            Stage::Called | Stage::Granted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A request of the oracle, in a list in the order of grants: it waits for the earlier ones that
    /// it overlaps.
    struct Naive {
        range: Range<u64>,
        slot: usize,
        sleeper: Option<Arc<Sleeper>>,
        stage: Stage,
        passed: u32,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Request(Range<u64>),
        Release(usize, bool),
        Doze(usize),
        Come(usize),
    }

    fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
        a.start < b.end && b.start < a.end
    }

    fn step() -> impl Strategy<Value = Step> {
        let range = (0_u64..32, 1_u64..12).prop_map(|(start, len)| start..start + len);
        prop_oneof![
            4 => range.prop_map(Step::Request),
            4 => (0_usize..64, any::<bool>()).prop_map(|(which, long)| Step::Release(which, long)),
            2 => (0_usize..64).prop_map(Step::Doze),
            1 => (0_usize..64).prop_map(Step::Come),
        ]
    }

    #[derive(Default)]
    struct Both {
        locks: Locks,
        queue: Vec<Naive>,
    }

    impl Both {
        fn is_next(&self, at: usize) -> bool {
            let mut earlier = self.queue[..at].iter();
            !earlier.any(|other| overlap(&other.range, &self.queue[at].range))
        }

        /// One of the requests in a stage, if there is one.
        fn pick(&self, which: usize, stage: Stage) -> Option<usize> {
            let all = (0..self.queue.len()).filter(|&at| self.queue[at].stage == stage);
            let all: Vec<usize> = all.collect();
            (!all.is_empty()).then(|| all[which % all.len()])
        }

        fn run(&mut self, step: Step) {
            match step {
                Step::Request(range) => self.request(range),
                Step::Release(which, long) => {
                    if let Some(at) = self.pick(which, Stage::Granted) {
                        self.release(at, long);
                    }
                }
                Step::Doze(which) => {
                    if let Some(at) = self.pick(which, Stage::Awake) {
                        assert!(!self.locks.granted_or_asleep(self.queue[at].slot));
                        self.queue[at].stage = Stage::Asleep;
                    }
                    if let Some(at) = self.pick(which, Stage::Granted) {
                        assert!(self.locks.granted_or_asleep(self.queue[at].slot));
                    }
                }
                Step::Come(which) => {
                    if let Some(at) = self.pick(which, Stage::Called) {
                        let granted = self.is_next(at);
                        let slot = self.queue[at].slot;
                        assert_eq!(self.locks.granted_or_awake(slot), granted);
                        self.queue[at].stage = if granted {
                            Stage::Granted
                        } else {
                            Stage::Awake
                        };
                    }
                    if let Some(at) = self.pick(which, Stage::Granted) {
                        assert!(self.locks.granted_or_awake(self.queue[at].slot));
                    }
                }
            }
            let waiting = (0..self.queue.len()).filter(|&at| !self.is_next(at));
            assert_eq!(self.locks.sleeping(), waiting.count());
            assert_eq!(self.locks.outstanding(), self.queue.len());
        }

        fn request(&mut self, range: Range<u64>) {
            let hit = |other: &&mut Naive| overlap(&other.range, &range);
            let free = !self.queue.iter_mut().any(|other| hit(&&mut *other));
            assert_eq!(self.locks.overlaps(range.clone()), !free);
            let passes = self.queue.iter_mut().filter(hit).all(|other| {
                matches!(other.stage, Stage::Asleep | Stage::Called) && other.passed < PASSES
            });
            let queued = self.locks.request(range.clone());
            assert_eq!(queued.sleeper.is_none(), free || passes);
            let mut new = Naive {
                range: range.clone(),
                slot: queued.slot,
                sleeper: queued.sleeper,
                stage: Stage::Awake,
                passed: 0,
            };
            if passes {
                self.queue
                    .iter_mut()
                    .filter(hit)
                    .for_each(|other| other.passed += 1);
                new.stage = Stage::Granted;
                self.queue.insert(0, new);
            } else {
                self.queue.push(new);
            }
            self.check_edges();
        }

        /// Each that waits is known to those that it waits for, once.
        fn check_edges(&self) {
            for (slot, request) in self.locks.requests.iter().enumerate() {
                let known = self.locks.requests.iter().map(|other| {
                    let known = other.waiters.iter().filter(|&&waiter| waiter == slot);
                    known.count()
                });
                assert!(known.clone().all(|times| times <= 1));
                assert_eq!(known.sum::<usize>(), request.waits_for);
            }
        }

        fn release(&mut self, at: usize, long: bool) {
            let done = self.queue.remove(at);
            let mut wake = Vec::new();
            let slow = || long;
            self.locks.release(done.slot, done.range, slow, &mut wake);
            let mut woken = 0;
            for at in 0..self.queue.len() {
                let next = self.is_next(at);
                let naive = &mut self.queue[at];
                let after = match naive.stage {
                    Stage::Awake => Stage::Granted,
                    Stage::Asleep if long => Stage::Granted,
                    Stage::Asleep => Stage::Called,
                    Stage::Called | Stage::Granted => continue,
                };
                if next {
                    naive.stage = after;
                    let sleeper = naive.sleeper.as_ref().unwrap();
                    let same = wake.iter().filter(|other| Arc::ptr_eq(other, sleeper));
                    assert_eq!(same.count(), 1);
                    woken += 1;
                }
            }
            assert_eq!(wake.len(), woken);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn grants_in_order_but_to_those_who_pass_sleepers(
            steps in proptest::collection::vec(step(), 1..80),
        ) {
            let mut both = Both::default();
            for step in steps {
                both.run(step);
            }
            while !both.queue.is_empty() {
                both.run(Step::Come(0));
                both.run(Step::Release(0, false));
            }
            prop_assert!(both.locks.last.is_empty());
        }
    }

    /// Of so many requests for one range the first holds it and the others sleep.
    fn sleepers(count: usize) -> Locks {
        let mut locks = Locks::default();
        for slot in 0..=count {
            assert_eq!(locks.request(0..10).slot, slot);
        }
        (1..=count).for_each(|slot| assert!(!locks.granted_or_asleep(slot)));
        locks
    }

    #[test]
    fn a_sleeper_is_passed_so_often_and_no_more() {
        let mut locks = sleepers(1);
        locks.release(0, 0..10, || false, &mut Vec::new());
        for nth in 0..PASSES {
            let passes = locks.request(5..15);
            assert!(passes.sleeper.is_none(), "{nth}");
            locks.release(passes.slot, 5..15, || false, &mut Vec::new());
        }
        assert!(locks.request(5..15).sleeper.is_some());
        assert!(locks.granted_or_awake(1));
    }

    #[test]
    fn among_many_nobody_is_passed() {
        for (count, passes) in [(FEW - 1, true), (FEW, false)] {
            let mut locks = sleepers(count);
            locks.release(0, 0..10, || false, &mut Vec::new());
            assert_eq!(locks.request(0..1).sleeper.is_none(), passes);
        }
    }
}
