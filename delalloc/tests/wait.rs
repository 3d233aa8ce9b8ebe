//! The wait for a range against a pipeline whose workers can be paused.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use delalloc::{
    Claim, Delalloc, Limits, NoPageLocks, Ordered, OrderedCompletion, OrderedExtents,
    OrderedHandle, PAGE_SIZE, RangeWriteback, Space, SpaceLedger, SyncMode, Ticket, Unfinished,
    Until, WINDOW, WritebackControl, plan_pieces, wait_for_range, wait_in_flight,
};
use extent_tree::{ExtentIoTree, StateBits};

#[derive(Clone, Debug, PartialEq)]
struct Failure(&'static str);

impl From<Unfinished> for Failure {
    fn from(_: Unfinished) -> Self {
        Self("unfinished")
    }
}

/// A door that a stage of the pipeline goes through.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let closed = self.closed.lock().unwrap();
        drop(self.changed.wait_while(closed, |closed| *closed).unwrap());
    }
}

struct Finishing {
    ordered: Ordered,
    handle: OrderedHandle<(), Failure>,
    result: Result<(), Failure>,
}

/// One file with one thread that compresses and one that writes.
struct Pipeline {
    file: Arc<Delalloc>,
    extents: OrderedExtents<(), Failure>,
    compress: mpsc::Sender<Claim>,
    compressing: Arc<Gate>,
    writing: Arc<Gate>,
    /// Which piece fails, counted down.
    fail_after: Arc<AtomicU32>,
    starts: AtomicU32,
}

impl Pipeline {
    fn new(ledger: &SpaceLedger) -> Arc<Self> {
        let (compress, compress_queue) = mpsc::channel::<Claim>();
        type Write = (Ticket<Finishing>, Ordered, OrderedHandle<(), Failure>);
        let (write, write_queue) = mpsc::channel::<Write>();
        let compressing = Arc::new(Gate::default());
        let writing = Arc::new(Gate::default());
        let fail_after = Arc::new(AtomicU32::new(u32::MAX));
        let extents = OrderedExtents::new();
        let completion = OrderedCompletion::new(|finishing: Finishing| {
            finishing.handle.settle(finishing.ordered, finishing.result);
        });
        thread::spawn({
            let (gate, extents) = (Arc::clone(&compressing), extents.clone());
            move || {
                for claim in compress_queue {
                    gate.pass();
                    let ticket = completion.submit();
                    let range = claim.range();
                    let handle = extents.add(range, PAGE_SIZE, ());
                    write
                        .send((ticket, claim.order(PAGE_SIZE), handle))
                        .unwrap();
                }
            }
        });
        thread::spawn({
            let (gate, fail_after) = (Arc::clone(&writing), Arc::clone(&fail_after));
            move || {
                for (ticket, ordered, handle) in write_queue {
                    gate.pass();
                    let result = match fail_after.fetch_sub(1, Ordering::SeqCst) {
                        0 => Err(Failure("device")),
                        _ => Ok(()),
                    };
                    assert!(handle.end_io(PAGE_SIZE, result.clone()));
                    ticket.complete(Finishing {
                        ordered,
                        handle,
                        result,
                    });
                }
            }
        });
        Arc::new(Self {
            file: Delalloc::new(ledger),
            extents,
            compress,
            compressing,
            writing,
            fail_after,
            starts: AtomicU32::new(0),
        })
    }

    fn write(&self, range: Range<u64>) {
        let reservation = self.file.reserve(range.clone()).unwrap();
        self.file.dirty(range, reservation).ignore();
    }

    fn wait_in_background(
        self: &Arc<Self>,
        range: Range<u64>,
        until: Until,
    ) -> mpsc::Receiver<Result<(), Failure>> {
        let (send, done) = mpsc::channel();
        let pipeline = Arc::clone(self);
        thread::spawn(move || send.send(wait_for_range(&*pipeline, range, until)));
        done
    }
}

impl RangeWriteback for Pipeline {
    type Error = Failure;

    fn tree(&self) -> &ExtentIoTree {
        self.file.tree()
    }

    fn start(&self, range: Range<u64>, mode: SyncMode) -> Result<(), Failure> {
        let mut wbc = WritebackControl::new(range, mode);
        let mut from = 0;
        let mut pages = 0;
        while let Some((mut claim, ())) =
            self.file
                .claim_next(&NoPageLocks, from, &mut wbc, 8 * WINDOW)
        {
            from = claim.range().end;
            for piece in plan_pieces(claim.range(), u64::MAX) {
                pages += (piece.range.end - piece.range.start) / PAGE_SIZE;
                self.compress.send(claim.split_to(piece.range.end)).unwrap();
            }
        }
        assert_eq!(wbc.nr_written(), pages);
        self.starts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn wait_writeback(&self, _: Range<u64>) -> Result<(), Failure> {
        Ok(())
    }

    fn wait_ordered(&self, range: Range<u64>) -> Result<(), Failure> {
        self.extents.wait_range(range)
    }
}

fn eventually(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "it never happens");
        thread::yield_now();
    }
}

fn waits(done: &mpsc::Receiver<Result<(), Failure>>) -> bool {
    done.recv_timeout(Duration::from_millis(40)).is_err()
}

fn comes(done: &mpsc::Receiver<Result<(), Failure>>) -> Result<(), Failure> {
    done.recv_timeout(Duration::from_secs(20)).unwrap()
}

const FILE: u64 = 5 * WINDOW + 3 * PAGE_SIZE;

fn ledger() -> SpaceLedger {
    SpaceLedger::new(Limits {
        metadata_per_extent: 100,
        ..Limits::UNLIMITED
    })
}

#[test]
fn fsync_returns_early() {
    // The guard: IN_FLIGHT and ORDERED follow each other without a gap, and
    // the wait goes by them.
    for until in [Until::Written, Until::Clean] {
        let ledger = ledger();
        let pipeline = Pipeline::new(&ledger);
        pipeline.write(0..FILE);
        pipeline.compressing.close();
        pipeline.writing.close();
        let done = pipeline.wait_in_background(0..FILE, until);
        eventually(|| pipeline.file.tree().test_all(0..FILE, StateBits::IN_FLIGHT));
        assert!(waits(&done), "nothing is compressed");
        pipeline.compressing.open();
        eventually(|| pipeline.file.tree().test_all(0..FILE, StateBits::ORDERED));
        assert!(waits(&done), "nothing is on the device");
        pipeline.writing.open();
        assert_eq!(comes(&done), Ok(()));
        assert!(pipeline.file.is_settled() && pipeline.extents.is_empty());
        assert!(ledger.is_settled());
        assert_eq!(ledger.counters(Space::Data).bytes_used, 6 * PAGE_SIZE);
    }
}

#[test]
fn what_was_redirtied_in_flight_is_written_too() {
    let ledger = ledger();
    let pipeline = Pipeline::new(&ledger);
    pipeline.compressing.close();
    pipeline.write(0..FILE);
    pipeline.start(0..FILE, SyncMode::None).unwrap();
    // Dirty at the call, and not to be claimed before the flight has ended.
    pipeline.write(WINDOW..WINDOW + PAGE_SIZE);
    let done = pipeline.wait_in_background(0..FILE, Until::Written);
    assert!(waits(&done));
    pipeline.writing.close();
    pipeline.compressing.open();
    // Both starts of the first round, and one before it, found it on its way.
    eventually(|| pipeline.starts.load(Ordering::SeqCst) == 3);
    pipeline.writing.open();
    assert_eq!(comes(&done), Ok(()));
    assert!(pipeline.file.is_settled() && ledger.is_settled());
    assert_eq!(ledger.counters(Space::Data).bytes_used, 7 * PAGE_SIZE);
}

#[test]
fn a_busy_writer_does_not_hold_up_fsync_for_good() {
    let ledger = ledger();
    let pipeline = Pipeline::new(&ledger);
    let stop = Arc::new(AtomicBool::new(false));
    pipeline.write(0..FILE);
    let writer = thread::spawn({
        let (pipeline, stop) = (Arc::clone(&pipeline), Arc::clone(&stop));
        move || {
            while !stop.load(Ordering::Relaxed) {
                pipeline.write(0..FILE);
            }
        }
    });
    for _ in 0..3 {
        let done = pipeline.wait_in_background(0..FILE, Until::Written);
        assert_eq!(comes(&done), Ok(()));
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    wait_for_range(&*pipeline, 0..u64::MAX, Until::Clean).unwrap();
    assert!(pipeline.file.is_settled() && ledger.is_settled());
}

#[test]
fn what_lies_outside_the_range_is_left_alone() {
    let ledger = ledger();
    let pipeline = Pipeline::new(&ledger);
    pipeline.write(0..FILE);
    wait_for_range(&*pipeline, WINDOW..2 * WINDOW, Until::Clean).unwrap();
    assert_eq!(
        pipeline.file.tree().states(),
        [
            (0..WINDOW, StateBits::DELALLOC),
            (2 * WINDOW..FILE, StateBits::DELALLOC)
        ]
    );
    pipeline.file.audit();
    wait_for_range(&*pipeline, 0..u64::MAX, Until::Clean).unwrap();
    let starts = pipeline.starts.load(Ordering::SeqCst);
    wait_for_range(&*pipeline, 0..u64::MAX, Until::Clean).unwrap();
    assert_eq!(
        pipeline.starts.load(Ordering::SeqCst),
        starts + 2,
        "one round"
    );
    assert!(ledger.is_settled());
}

#[test]
fn one_failed_piece_leaves_the_others_whole() {
    for failed in 0..6 {
        let ledger = ledger();
        let pipeline = Pipeline::new(&ledger);
        pipeline.fail_after.store(failed, Ordering::SeqCst);
        pipeline.writing.close();
        pipeline.write(0..FILE);
        let done = pipeline.wait_in_background(0..FILE, Until::Clean);
        eventually(|| pipeline.extents.len() == 6);
        // The ordered wait is on the last one; every error is met by it.
        assert!(waits(&done));
        pipeline.writing.open();
        let result = comes(&done);
        // An extent that had finished before its turn tells by the count only.
        assert!(matches!(result, Ok(()) | Err(Failure("device"))));
        assert_eq!(
            pipeline.extents.error_since(&mut 0),
            Some(Failure("device"))
        );
        assert_eq!(pipeline.extents.failures(), 1);
        assert!(pipeline.file.is_settled() && ledger.is_settled());
        assert_eq!(ledger.counters(Space::Data).bytes_used, 5 * PAGE_SIZE);
    }
}

/// Somebody comes at the end of each of so many rounds, and has got that far with the file.
struct Redirtied {
    tree: ExtentIoTree,
    got: StateBits,
    rounds_left: AtomicU32,
    starts: Mutex<Vec<SyncMode>>,
}

impl RangeWriteback for Redirtied {
    type Error = Failure;

    fn tree(&self) -> &ExtentIoTree {
        &self.tree
    }

    fn start(&self, range: Range<u64>, mode: SyncMode) -> Result<(), Failure> {
        self.starts.lock().unwrap().push(mode);
        self.tree.clear_bits(range, self.got).ignore();
        Ok(())
    }

    fn wait_writeback(&self, _: Range<u64>) -> Result<(), Failure> {
        Ok(())
    }

    fn wait_ordered(&self, range: Range<u64>) -> Result<(), Failure> {
        let left = self.rounds_left.load(Ordering::SeqCst);
        if left > 0 {
            self.rounds_left.store(left - 1, Ordering::SeqCst);
            self.tree.set_bits(range, self.got).ignore();
        }
        Ok(())
    }
}

#[test]
fn it_looks_again_until_nothing_is_left() {
    let rounds = [
        (Until::Clean, 0, 1),
        (Until::Clean, 1, 2),
        (Until::Clean, 5, 6),
        (Until::Written, 0, 1),
        (Until::Written, 1, 2),
        (Until::Written, 5, 2),
    ];
    let states = [
        StateBits::DELALLOC,
        StateBits::IN_FLIGHT,
        StateBits::ORDERED,
    ];
    let cases = states.map(|got| rounds.map(|of| (got, of)));
    for (got, (until, redirtied, rounds)) in cases.into_iter().flatten() {
        let file = Redirtied {
            tree: ExtentIoTree::new(),
            got,
            rounds_left: AtomicU32::new(redirtied),
            starts: Mutex::default(),
        };
        wait_for_range(&file, 0..PAGE_SIZE, until).unwrap();
        let starts = file.starts.into_inner().unwrap();
        assert_eq!(starts.len(), 2 * rounds, "{until:?} {redirtied}");
        let each = [SyncMode::None, SyncMode::All];
        assert!(starts.chunks(2).all(|round| round == each));
    }
}

#[test]
fn the_wait_for_what_is_in_flight_passes_every_window() {
    let tree = ExtentIoTree::new();
    let flights = [0..PAGE_SIZE, WINDOW..3 * WINDOW, 5 * WINDOW..5 * WINDOW + 1];
    for flight in &flights {
        tree.set_bits(flight.clone(), StateBits::IN_FLIGHT).ignore();
    }
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_in_flight(&tree, 0..5 * WINDOW));
        // What it waits for ends from the front: it must not leave before the
        // last of its range, nor stay for what lies behind.
        for window in 0..3 {
            eventually(|| tree.sleepers() == 1);
            thread::sleep(Duration::from_millis(5));
            assert!(!waiter.is_finished());
            let ended = window * WINDOW..(window + 1) * WINDOW;
            tree.clear_bits(ended, StateBits::IN_FLIGHT).ignore();
        }
        waiter.join().unwrap();
    });
    assert!(tree.test_any(5 * WINDOW..6 * WINDOW, StateBits::IN_FLIGHT));
}

#[test]
fn a_flight_that_takes_off_behind_the_wait_does_not_prolong_it() {
    let tree = ExtentIoTree::new();
    let (first, second) = (PAGE_SIZE..2 * PAGE_SIZE, WINDOW..WINDOW + PAGE_SIZE);
    let take_off = |range: &Range<u64>| tree.set_bits(range.clone(), StateBits::IN_FLIGHT).ignore();
    let land = |range: &Range<u64>| {
        tree.clear_bits(range.clone(), StateBits::IN_FLIGHT)
            .ignore()
    };
    take_off(&first);
    take_off(&second);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_in_flight(&tree, 0..2 * WINDOW));
        eventually(|| tree.sleepers() == 1);
        land(&first);
        eventually(|| tree.sleepers() == 1);
        take_off(&first);
        land(&second);
        let left = tree.sleepers();
        land(&first);
        waiter.join().unwrap();
        assert_eq!(left, 0);
    });
}

#[test]
fn a_waiter_sees_a_claim_at_every_moment() {
    let ledger = ledger();
    let file = Delalloc::new(&ledger);
    let range = 0..4 * PAGE_SIZE;
    file.dirty(range.clone(), file.reserve(range.clone()).unwrap())
        .ignore();
    let claim = file.claim_range(range.clone()).unwrap();
    let on_its_way = StateBits::IN_FLIGHT | StateBits::ORDERED;
    thread::scope(|scope| {
        scope.spawn(|| file.tree().wait_clear(0..u64::MAX, on_its_way));
        eventually(|| file.tree().sleepers() == 1);
        let ordered = claim.order(PAGE_SIZE);
        assert_eq!(file.tree().sleepers(), 1, "no gap between the two");
        ordered.complete();
        assert_eq!(file.tree().sleepers(), 0);
    });
}

/// Two pages of one window, of which one or the other was always in flight: who waited for what was
/// in flight waited as long as that went on. Guarded by the single pages in `wait_in_flight`.
#[test]
fn flights_that_overlap_hold_up_the_wait_for_good() {
    let tree = ExtentIoTree::new();
    let pages = [0..PAGE_SIZE, PAGE_SIZE..2 * PAGE_SIZE];
    let take_off = |range: &Range<u64>| tree.set_bits(range.clone(), StateBits::IN_FLIGHT).ignore();
    let land = |range: &Range<u64>| {
        tree.clear_bits(range.clone(), StateBits::IN_FLIGHT)
            .ignore()
    };
    take_off(&pages[0]);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_in_flight(&tree, 0..2 * WINDOW));
        eventually(|| tree.sleepers() == 1);
        let mut rounds = 0;
        while !waiter.is_finished() && rounds < 100 {
            let [first, second] = [&pages[rounds % 2], &pages[(rounds + 1) % 2]];
            take_off(second);
            land(first);
            thread::sleep(Duration::from_millis(2));
            rounds += 1;
        }
        pages.iter().for_each(land);
        waiter.join().unwrap();
        assert!(rounds < 100);
    });
}

/// A wait that began within a page waited for a moment at which that page and the next one had both
/// landed. Guarded by `page` in `wait_in_flight`.
#[test]
fn a_wait_from_within_a_page_is_held_up_by_two_pages_in_turn() {
    let tree = ExtentIoTree::new();
    let pages = [5 * PAGE_SIZE..6 * PAGE_SIZE, 6 * PAGE_SIZE..7 * PAGE_SIZE];
    let take_off = |range: &Range<u64>| tree.set_bits(range.clone(), StateBits::IN_FLIGHT).ignore();
    let land = |range: &Range<u64>| {
        tree.clear_bits(range.clone(), StateBits::IN_FLIGHT)
            .ignore()
    };
    pages.iter().for_each(take_off);
    thread::scope(|scope| {
        let range = pages[0].start + 100..pages[1].end;
        let waiter = scope.spawn(|| wait_in_flight(&tree, range));
        eventually(|| tree.sleepers() == 1);
        land(&pages[0]);
        eventually(|| tree.sleepers() == 1);
        take_off(&pages[0]);
        land(&pages[1]);
        let left = tree.sleepers();
        land(&pages[0]);
        waiter.join().unwrap();
        assert_eq!(left, 0);
    });
}
