//! Completion and waiting under a scheduler that tries interleavings. A lost
//! wake-up is a deadlock here, which the checker reports.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use extent_tree::ExtentIoTree;
use shuttle::sync::mpsc;
use shuttle::thread;

use crate::sync::{Arc, Mutex};
use crate::{
    Claim, Delalloc, Limits, NoPageLocks, Ordered, OrderedCompletion, OrderedExtents,
    OrderedHandle, PAGE_SIZE, RangeWriteback, SpaceLedger, SyncMode, Unfinished, Until, WINDOW,
    WritebackControl, wait_for_range,
};

const ITERATIONS: usize = 2000;

/// Runs a model under random schedules and under ones with few preemptions.
fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(model, ITERATIONS);
    shuttle::check_pct(model, ITERATIONS, 3);
}

#[test]
fn completion_is_in_order_and_a_drain_sees_all() {
    check(|| {
        let finished = Arc::new(Mutex::new(Vec::new()));
        let inside = AtomicU32::new(0);
        let line = OrderedCompletion::new({
            let finished = Arc::clone(&finished);
            move |item: u32| {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                finished.lock().push(item);
                inside.fetch_sub(1, Ordering::SeqCst);
            }
        });
        let tickets: Vec<_> = (0..4).map(|item| (item, line.submit())).collect();
        let threads: Vec<_> = tickets
            .into_iter()
            .map(|(item, ticket)| {
                thread::spawn(move || {
                    if item == 2 {
                        drop(ticket);
                    } else {
                        ticket.complete(item);
                    }
                })
            })
            .collect();
        line.drain();
        assert_eq!(*finished.lock(), [0, 1, 3]);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[derive(Clone, Debug)]
struct Failure;

impl From<Unfinished> for Failure {
    fn from(_: Unfinished) -> Self {
        Self
    }
}

type Finishing = (Ordered, OrderedHandle<(), Failure>);

struct File {
    file: Arc<Delalloc>,
    extents: OrderedExtents<(), Failure>,
    queue: Mutex<mpsc::Sender<Claim>>,
}

impl RangeWriteback for File {
    type Error = Failure;

    fn tree(&self) -> &ExtentIoTree {
        self.file.tree()
    }

    fn start(&self, range: Range<u64>, mode: SyncMode) -> Result<(), Failure> {
        let mut wbc = WritebackControl::new(range, mode);
        while let Some((claim, ())) = self.file.claim_next(&NoPageLocks, 0, &mut wbc, WINDOW) {
            self.queue.lock().send(claim).unwrap();
        }
        Ok(())
    }

    fn wait_writeback(&self, _: Range<u64>) -> Result<(), Failure> {
        Ok(())
    }

    fn wait_ordered(&self, range: Range<u64>) -> Result<(), Failure> {
        self.extents.wait_range(range)
    }
}

/// The state of a write: what was dirty at the call must be in the trees.
fn fsync_against_the_queue() {
    let ledger = SpaceLedger::new(Limits::UNLIMITED);
    let (queue, claims) = mpsc::channel::<Claim>();
    let file = Arc::new(File {
        file: Delalloc::new(&ledger),
        extents: OrderedExtents::new(),
        queue: Mutex::new(queue),
    });
    let completion = OrderedCompletion::new(|(ordered, handle): Finishing| {
        ordered.complete();
        handle.finish(Ok(()));
    });
    let worker = thread::spawn({
        let extents = file.extents.clone();
        move || {
            while let Ok(claim) = claims.recv() {
                let ticket = completion.submit();
                let handle = extents.add(claim.range(), 1, ());
                ticket.complete((claim.order(PAGE_SIZE), handle));
            }
        }
    });
    let write = |range: Range<u64>| {
        let reservation = file.file.reserve(range.clone()).unwrap();
        file.file.dirty(range, reservation).ignore();
    };
    write(0..2 * WINDOW);
    let background = thread::spawn({
        let file = Arc::clone(&file);
        move || file.start(0..u64::MAX, SyncMode::None).unwrap()
    });
    // Perhaps claimed already, so that this is dirty again while in flight.
    write(0..PAGE_SIZE);
    wait_for_range(&*file, 0..2 * WINDOW, Until::Written).unwrap();
    // Not `is_settled`: the other thread may still hold a lock for a moment.
    assert_eq!(file.file.tree().states(), []);
    assert!(file.extents.is_empty() && ledger.is_settled());
    background.join().unwrap();
    assert!(file.file.is_settled());
    drop(file);
    worker.join().unwrap();
}

#[test]
fn fsync_waits_for_what_was_dirty_at_the_call() {
    check(fsync_against_the_queue);
}
