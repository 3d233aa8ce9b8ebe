//! Memory orderings, under a checker that knows them: what the parallel part
//! wrote is there when the ordered part reads it, whichever threads they are
//! on. (In the kernel's queue the DONE bit once had no barriers.) Guarded by
//! the queue's lock, under which an item becomes done and is taken.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;

use crate::{OrderedQueue, Outcome, Pool, Work};

/// Relaxed atomics order nothing: unless something else does, a load may see
/// an old value, as plain memory would.
struct Item {
    own: Arc<AtomicUsize>,
    finished: Arc<AtomicUsize>,
}

impl Work for Item {
    fn run(&mut self) {
        self.own.store(1, Relaxed);
    }

    fn finish(&mut self, _: Outcome) {
        assert_eq!(self.own.load(Relaxed), 1);
        // I2: ordered parts need no atomic step of their own.
        let finished = self.finished.load(Relaxed);
        self.finished.store(finished + 1, Relaxed);
    }
}

#[test]
fn the_ordered_part_sees_what_the_parallel_part_wrote() {
    let mut model = loom::model::Builder::new();
    // Unless LOOM_MAX_PREEMPTIONS tells.
    model.preemption_bound.get_or_insert(3);
    model.check(|| {
        let pool = Pool::new(0);
        let queue = OrderedQueue::new(&pool);
        let finished = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let own = Arc::new(AtomicUsize::new(0));
            let finished = Arc::clone(&finished);
            queue.submit(Item { own, finished });
        }
        let helper = {
            let pool = pool.clone();
            thread::spawn(move || while pool.help() {})
        };
        queue.drain().unwrap();
        assert_eq!(finished.load(Relaxed), 2, "drain saw both");
        helper.join().unwrap();
    });
}
