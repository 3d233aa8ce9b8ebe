//! Completion and waiting under a scheduler that tries interleavings. A lost
//! wake-up is a deadlock here, which the checker reports.

use std::env;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use extent_tree::ExtentIoTree;
use shuttle::sync::mpsc;
use shuttle::thread;

use crate::sync::{Arc, Mutex};
use crate::{
    Claim, Delalloc, Limits, NoPageLocks, Ordered, OrderedCompletion, OrderedExtents,
    OrderedHandle, PAGE_SIZE, RangeWriteback, SpaceLedger, SyncMode, Ticket, Unfinished, Until,
    WINDOW, WritebackControl, wait_for_range,
};

/// Runs a model under random schedules and under ones with few preemptions.
fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    let told = env::var("UBTRFS_MODEL_ITERATIONS").ok();
    let iterations = told.map_or(3000, |told| told.parse().expect("a number"));
    shuttle::check_random(model, iterations);
    shuttle::check_pct(model, iterations, 3);
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
        handle.settle(ordered, Ok(()));
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

/// What of a window some extent holds: its contents when it was claimed.
type Versions = Arc<[AtomicU32; 2]>;

type Submitted = (Ticket<Stored>, Stored);

struct Stored {
    ordered: Ordered,
    handle: OrderedHandle<(), Failure>,
    version: u32,
}

/// A thread that submits, two devices that end I/O in any order, a writer, and
/// two who sync what the other one has perhaps claimed. One write fails.
fn two_fsyncs_and_a_failure() {
    let ledger = SpaceLedger::new(Limits::UNLIMITED);
    let (queue, claims) = mpsc::channel::<Claim>();
    let file = Arc::new(File {
        file: Delalloc::new(&ledger),
        extents: OrderedExtents::new(),
        queue: Mutex::new(queue),
    });
    let (written, stored) = (Versions::default(), Versions::default());
    // Of writes that have returned, which is what an fsync answers for.
    let dirtied = Versions::default();
    let window = |range: &Range<u64>| usize::try_from(range.start / WINDOW).unwrap();
    let completion = OrderedCompletion::new({
        let stored = Arc::clone(&stored);
        move |item: Stored| {
            // The third version of the second window never gets through.
            let at = window(&item.ordered.range());
            if (at, item.version) == (1, 3) {
                return item.handle.settle(item.ordered, Err(Failure));
            }
            let before = stored[at].swap(item.version, Ordering::SeqCst);
            assert!(before <= item.version, "an older completion came later");
            item.handle.settle(item.ordered, Ok(()));
        }
    });
    let mut threads = Vec::new();
    let devices = [(); 2].map(|()| {
        let (device, items) = mpsc::channel::<Submitted>();
        threads.push(thread::spawn(move || {
            while let Ok((ticket, item)) = items.recv() {
                thread::yield_now();
                ticket.complete(item);
            }
        }));
        device
    });
    threads.push(thread::spawn({
        let (extents, written) = (file.extents.clone(), Arc::clone(&written));
        move || {
            let mut turns = devices.iter().cycle();
            while let Ok(claim) = claims.recv() {
                let version = written[window(&claim.range())].load(Ordering::SeqCst);
                let item = Stored {
                    handle: extents.add(claim.range(), 1, ()),
                    ordered: claim.order(PAGE_SIZE),
                    version,
                };
                turns
                    .next()
                    .unwrap()
                    .send((completion.submit(), item))
                    .unwrap();
            }
        }
    }));
    let write = {
        let (file, written, dirtied) = (
            Arc::clone(&file),
            Arc::clone(&written),
            Arc::clone(&dirtied),
        );
        move |at: usize| {
            let range = at as u64 * WINDOW..at as u64 * WINDOW + PAGE_SIZE;
            let reservation = file.file.reserve(range.clone()).unwrap();
            let version = written[at].fetch_add(1, Ordering::SeqCst) + 1;
            file.file.dirty(range, reservation).ignore();
            dirtied[at].fetch_max(version, Ordering::SeqCst);
        }
    };
    let fsync = {
        let (file, stored) = (Arc::clone(&file), Arc::clone(&stored));
        move |windows: Range<usize>, until| {
            let wanted = dirtied
                .each_ref()
                .map(|version| version.load(Ordering::SeqCst));
            let range = windows.start as u64 * WINDOW..windows.end as u64 * WINDOW;
            let result = wait_for_range(&*file, range, until);
            // As for one who opened the file before all this.
            let told = result.is_err() || file.extents.error_since(&mut 0).is_some();
            for at in windows {
                let stored = stored[at].load(Ordering::SeqCst);
                assert!(stored >= wanted[at] || told, "{stored} of {wanted:?}");
            }
        }
    };
    write(0);
    write(1);
    let others = [
        thread::spawn({
            let (write, fsync) = (write.clone(), fsync.clone());
            move || {
                write(0);
                fsync(0..2, Until::Written);
            }
        }),
        thread::spawn(move || {
            write(1);
            write(0);
            write(1);
        }),
    ];
    fsync(0..2, Until::Written);
    fsync(0..1, Until::Clean);
    for other in others {
        other.join().unwrap();
    }
    while wait_for_range(&*file, 0..2 * WINDOW, Until::Clean).is_err() {}
    assert!(file.file.is_settled() && file.extents.is_empty() && ledger.is_settled());
    drop((fsync, file));
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn fsync_tells_the_truth_to_both() {
    check(two_fsyncs_and_a_failure);
}
