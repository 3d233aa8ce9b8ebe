//! What went wrong in ordered queues elsewhere; each test is named after the
//! symptom and names the line that guards against it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use ordered_wq::{Budget, Error, OrderedQueue, Outcome, Pool, Work, work};

mod support;

use support::within_10_s;

/// Keeps the only thread of a pool busy until what it returns is dropped.
fn hold_up(pool: &Pool) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    pool.spawn(move || {
        tell.send(()).unwrap();
        assert!(held.recv().is_err(), "nothing is sent");
    });
    told.recv().unwrap();
    release
}

/// Runs items that are so quick that the next run of a worker is long: for certain in none of
/// several rounds, since that depends on the time they take, but in nearly all.
fn quicken(queue: &OrderedQueue) {
    let last_is_finished = Arc::new(AtomicBool::new(false));
    for _ in 0..300 {
        queue.submit(work(|| (), |_| ()));
    }
    let last = Arc::clone(&last_is_finished);
    queue.submit(work(|| (), move |_| last.store(true, Ordering::SeqCst)));
    // Anything else would have to be woken by the worker, which would make it slow.
    while !last_is_finished.load(Ordering::SeqCst) {
        thread::yield_now();
    }
}

/// A freed item's address was used again and taken for the same item. Guarded
/// by `Order::item`, which finds an item by its id less the head's: boxes of one
/// size are recycled here at once, and the queue still finishes each.
#[test]
fn hang_when_an_address_is_used_again() {
    within_10_s(|| {
        let queue = OrderedQueue::new(&Pool::new(2));
        let finished = Arc::new(AtomicUsize::new(0));
        for _ in 0..200 {
            for _ in 0..50 {
                let finished = Arc::clone(&finished);
                let payload = [0_u8; 64];
                queue.submit(work(
                    move || payload,
                    move |payload| {
                        finished.fetch_add(payload.unwrap().len(), Ordering::SeqCst);
                    },
                ));
            }
            queue.drain().unwrap();
        }
        assert_eq!(finished.load(Ordering::SeqCst), 200 * 50 * 64);
    });
}

/// The ordered part of one instance waits for an item of another instance on
/// the same pool. Guarded by the `while core.advance(target) {}` of
/// `OrderedQueue::wait_until`: the waiting thread does the work itself.
#[test]
fn deadlock_when_an_ordered_part_waits_for_a_second_queue() {
    for threads in 1..4 {
        within_10_s(move || {
            let pool = Pool::new(threads);
            let outer = OrderedQueue::new(&pool);
            let inner = Arc::new(OrderedQueue::new(&pool));
            let innermost = Arc::new(OrderedQueue::new(&pool));
            let order = Arc::new(Mutex::new(Vec::new()));
            for n in 0..20 {
                let (inner, innermost) = (Arc::clone(&inner), Arc::clone(&innermost));
                let order = Arc::clone(&order);
                outer.submit(work(
                    || (),
                    move |_| {
                        let id = inner.submit(work(
                            || (),
                            move |_| {
                                let id = innermost.submit(work(|| (), |_| ()));
                                innermost.wait(id).unwrap();
                            },
                        ));
                        inner.wait(id).unwrap();
                        order.lock().unwrap().push(n);
                    },
                ));
            }
            outer.drain().unwrap();
            assert!(order.lock().unwrap().iter().copied().eq(0..20));
        });
    }
}

/// The same where the ordered part sleeps on something else that the second
/// queue's item does. That takes a second thread, which nothing else may hold
/// up: guarded by `Order::turn_due`, which turns away a thread that comes by
/// while the head's ordered part runs, instead of letting it wait.
#[test]
fn deadlock_when_an_ordered_part_sleeps() {
    within_10_s(|| {
        let pool = Pool::new(2);
        let outer = OrderedQueue::new(&pool);
        let inner = Arc::new(OrderedQueue::new(&pool));
        let (enter, entered) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        outer.submit(work(
            || (),
            move |_| {
                enter.send(()).unwrap();
                told.recv().unwrap();
            },
        ));
        entered.recv().unwrap();
        let (run, ran) = mpsc::channel();
        outer.submit(work(move || run.send(()).unwrap(), |_| ()));
        ran.recv().unwrap();
        inner.submit(work(|| (), move |_| tell.send(()).unwrap()));
        // Not by `drain`, which would do the work of a third thread.
        while inner.unfinished() > 0 {
            thread::yield_now();
        }
        outer.drain().unwrap();
    });
}

struct NotesItsDrop {
    name: &'static str,
    gate: Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Work for NotesItsDrop {
    fn run(&mut self) {
        if let Some((running, gate)) = self.gate.take() {
            running.send(()).unwrap();
            gate.recv().unwrap();
        }
    }
    fn finish(&mut self, _: Outcome) {
        self.log
            .lock()
            .unwrap()
            .push(format!("finish {}", self.name));
    }
}

impl Drop for NotesItsDrop {
    fn drop(&mut self) {
        self.log.lock().unwrap().push(format!("free {}", self.name));
    }
}

/// The worker's own item was freed before it had finished others. Guarded by
/// `own_work` in `Core::carry_out`, where the thread has the turn.
#[test]
fn own_item_is_freed_last() {
    within_10_s(|| {
        let pool = Pool::new(0);
        let queue = OrderedQueue::new(&pool);
        let log = Arc::new(Mutex::new(Vec::new()));
        let (open, gate) = mpsc::channel();
        let (running, wait) = mpsc::channel();
        let mut gate = Some((running, gate));
        for name in ["a", "b", "c"] {
            let log = Arc::clone(&log);
            let gate = gate.take();
            queue.submit(NotesItsDrop { name, gate, log });
        }
        thread::scope(|scope| {
            scope.spawn(|| assert!(pool.help(), "runs a, which waits"));
            wait.recv().unwrap();
            while pool.help() {}
            open.send(()).unwrap();
        });
        queue.drain().unwrap();
        assert_eq!(
            *log.lock().unwrap(),
            [
                "finish a", "finish b", "free b", "finish c", "free c", "free a"
            ]
        );
    });
}

/// The same where the turn comes when the own item is done. Guarded by `own_work` in
/// `Core::finish_due`.
#[test]
fn own_item_is_freed_last_when_it_was_not_the_head() {
    within_10_s(|| {
        let pool = Pool::new(0);
        let queue = OrderedQueue::new(&pool);
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut gates = Vec::new();
        for name in ["a", "b", "c"] {
            let log = Arc::clone(&log);
            let gate = (name != "c").then(|| {
                let (running, wait) = mpsc::channel();
                let (open, gate) = mpsc::channel();
                gates.push((wait, open));
                (running, gate)
            });
            queue.submit(NotesItsDrop { name, gate, log });
        }
        let help = || {
            let pool = pool.clone();
            thread::spawn(move || assert!(pool.help()))
        };
        let threads = [0, 1].map(|n| {
            let thread = help();
            gates[n].0.recv().unwrap();
            thread
        });
        help().join().unwrap();
        for (thread, (_, open)) in threads.into_iter().zip(gates) {
            open.send(()).unwrap();
            thread.join().unwrap();
        }
        assert_eq!(
            *log.lock().unwrap(),
            [
                "finish a", "free a", "finish b", "finish c", "free c", "free b"
            ]
        );
    });
}

/// The wait came back while an item's memory was still held. Guarded by
/// `State::unfreed`.
#[test]
fn drain_returns_before_an_item_is_freed() {
    struct SlowFree(Arc<AtomicUsize>);
    impl Work for SlowFree {
        fn run(&mut self) {}
        fn finish(&mut self, _: Outcome) {}
    }
    impl Drop for SlowFree {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(3));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let queue = OrderedQueue::new(&Pool::new(2));
    let freed = Arc::new(AtomicUsize::new(0));
    for n in 1..40 {
        queue.submit(SlowFree(Arc::clone(&freed)));
        thread::sleep(Duration::from_micros(n * 7));
        queue.drain().unwrap();
        assert_eq!(freed.load(Ordering::SeqCst) as u64, n);
    }
}

/// The last reference to the queue's owner was dropped inside the queue, which
/// then waited for itself. Guarded by `Inside`.
#[test]
fn hang_when_an_item_drops_its_own_queue() {
    within_10_s(|| {
        let pool = Pool::new(1);
        let queue = Arc::new(OrderedQueue::new(&pool));
        let (tell, told) = mpsc::channel();
        let own = Arc::clone(&queue);
        let (open, gate) = mpsc::channel::<()>();
        queue.submit(work(
            move || gate.recv(),
            move |_| {
                assert!(matches!(own.drain(), Err(Error::WaitsForItself)));
                drop(own);
                tell.send(()).unwrap();
            },
        ));
        let (second, finished) = mpsc::channel();
        queue.submit(work(|| (), move |_| second.send(()).unwrap()));
        drop(queue);
        open.send(()).unwrap();
        told.recv().unwrap();
        finished.recv().unwrap();
        drop(pool);
    });
}

/// The last handle of the pool was dropped on one of its own threads, which
/// then joined itself. Guarded by `on_worker` in `Owner::shutdown`.
#[test]
fn hang_when_a_worker_drops_its_pool() {
    within_10_s(|| {
        let pool = Pool::new(2);
        let (open, gate) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let own = pool.clone();
        pool.spawn(move || {
            gate.recv().unwrap();
            drop(own);
            tell.send(()).unwrap();
        });
        drop(pool);
        open.send(()).unwrap();
        told.recv().unwrap();
    });
}

/// A panicking item stalled those behind it. Guarded by `caught` around each
/// part in `Core::carry_out` and `Core::finish_due`.
#[test]
fn stall_behind_a_panic() {
    within_10_s(|| {
        let queue = OrderedQueue::new(&Pool::new(2));
        let (out, results) = mpsc::channel();
        for n in 0..6 {
            let out = out.clone();
            queue.submit(work(
                move || assert!(n != 1, "in run"),
                move |result| {
                    out.send((n, result)).unwrap();
                    assert!(n != 3, "in finish");
                },
            ));
        }
        let Err(Error::Panicked { id, message }) = queue.drain() else {
            panic!("the owner isn't told");
        };
        assert_eq!((id.sequence(), message.as_str()), (3, "in finish"));
        queue.drain().unwrap();
        let results: Vec<_> = results.try_iter().collect();
        assert!(results.iter().map(|(n, _)| *n).eq(0..6));
        for (n, result) in results {
            assert_eq!(result.is_err(), n == 1);
        }
    });
}

/// One failed item left its neighbours behind. Whichever of them fails, in
/// whichever part, all others are finished and freed, in order. Guarded by
/// `caught` around each part in `Core::carry_out` and `Core::finish_due`.
#[test]
fn neighbours_of_a_failed_item_are_lost() {
    const ITEMS: usize = 5;
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Part {
        Run,
        Finish,
        Free,
    }
    struct Item {
        index: usize,
        fails_in: Option<Part>,
        finished: mpsc::Sender<(usize, bool)>,
        freed: Arc<AtomicUsize>,
    }
    impl Item {
        fn enter(&self, part: Part) {
            assert!(self.fails_in != Some(part), "planned");
        }
    }
    impl Work for Item {
        fn run(&mut self) {
            self.enter(Part::Run);
        }
        fn finish(&mut self, outcome: Outcome) {
            let done = outcome == Outcome::Done;
            self.finished.send((self.index, done)).unwrap();
            self.enter(Part::Finish);
        }
    }
    impl Drop for Item {
        fn drop(&mut self) {
            self.freed.fetch_add(1, Ordering::SeqCst);
            self.enter(Part::Free);
        }
    }
    for part in [Part::Run, Part::Finish, Part::Free] {
        for failing in 0..ITEMS {
            within_10_s(move || {
                let queue = OrderedQueue::new(&Pool::new(2));
                let (finished, results) = mpsc::channel();
                let freed = Arc::new(AtomicUsize::new(0));
                for index in 0..ITEMS {
                    queue.submit(Item {
                        index,
                        fails_in: (index == failing).then_some(part),
                        finished: finished.clone(),
                        freed: Arc::clone(&freed),
                    });
                }
                let told = queue.drain();
                assert_eq!(told.is_err(), part != Part::Run, "the owner is told");
                let expected =
                    (0..ITEMS).map(|index| (index, part != Part::Run || index != failing));
                assert!(results.try_iter().eq(expected), "{part:?} {failing}");
                assert_eq!(freed.load(Ordering::SeqCst), ITEMS);
            });
        }
    }
}

/// Holds a file, as an item of writeback does.
struct Holds(Arc<Mutex<u32>>);

impl Work for Holds {
    fn run(&mut self) {}

    fn finish(&mut self, _: Outcome) {
        *self.0.lock().unwrap() += 1;
    }
}

/// What an ordered part needed was gone when its turn came. What the item holds
/// lives as long as the item, whoever else lets go of it, and goes with it.
/// Guarded by the `drop(work)` at the end of `Core::finish_due`, and by nothing
/// earlier that drops.
#[test]
fn what_an_item_holds_is_gone_before_its_ordered_part() {
    within_10_s(|| {
        let pool = Pool::new(0);
        let queue = OrderedQueue::new(&pool);
        let inode = Arc::new(Mutex::new(0));
        let outside = Arc::downgrade(&inode);
        for _ in 0..3 {
            queue.submit(Holds(Arc::clone(&inode)));
        }
        drop(inode);
        // Each help runs one item, and one job is there as long as any is pending.
        assert!(pool.help() && pool.help());
        assert_eq!(pool.queued(), 1);
        let inode = outside.upgrade().expect("an item is still queued");
        assert_eq!(*inode.lock().unwrap(), 2);
        drop(inode);
        assert!(pool.help());
        assert!(outside.upgrade().is_none(), "nothing is kept for longer");
    });
}

/// Items that were so quick that a worker claims them by the dozen, and then pairs that need each
/// other: each thread had claimed both of a pair. Guarded by `of_run` in `State::claim`: what was
/// claimed first is started first, whoever claimed it.
#[test]
fn deadlock_when_neighbours_need_each_other() {
    within_10_s(|| {
        let pool = Pool::new(2);
        let queue = OrderedQueue::new(&pool);
        for _ in 0..20 {
            let both_wait = Arc::new(Barrier::new(3));
            for _ in 0..2 {
                let both_wait = Arc::clone(&both_wait);
                pool.spawn(move || {
                    both_wait.wait();
                });
            }
            for _ in 0..300 {
                queue.submit(work(|| (), |_| ()));
            }
            let (out, finished) = mpsc::channel();
            for _ in 0..40 {
                let both = Arc::new(Barrier::new(2));
                for _ in 0..2 {
                    let (both, out) = (Arc::clone(&both), out.clone());
                    queue.submit(work(
                        move || both.wait(),
                        move |_| out.send(()).expect("the test waits"),
                    ));
                }
            }
            both_wait.wait();
            // Not by `drain`, which would do the work of a third thread.
            drop(out);
            assert_eq!(finished.iter().count(), 80);
        }
    });
}

/// The same with an item that needs the ordered part of the one before: it was run before that was
/// finished. Guarded by the order in `Core::carry_out`: a thread that has the turn finishes its item
/// before it starts the next of its run.
#[test]
fn deadlock_when_an_item_needs_the_ordered_part_before() {
    within_10_s(|| {
        let pool = Pool::new(1);
        let queue = OrderedQueue::new(&pool);
        for _ in 0..20 {
            quicken(&queue);
            let release = hold_up(&pool);
            let (out, finished) = mpsc::channel();
            for _ in 0..10 {
                let (tell, told) = mpsc::channel();
                let out = out.clone();
                queue.submit(work(
                    || (),
                    move |_| tell.send(()).expect("the next one waits"),
                ));
                queue.submit(work(
                    move || told.recv().expect("it is told"),
                    move |_| out.send(()).expect("the test waits"),
                ));
            }
            drop((release, out));
            assert_eq!(finished.iter().count(), 10);
        }
    });
}

/// The same where the head is slow and on another thread: that finished the head and what was done
/// behind it and left, and the rest of the run was done one by one and finished by nobody. Guarded
/// by the `turn_due` behind `complete` in `Core::carry_out`, after each item of a run.
#[test]
fn deadlock_when_the_turn_comes_in_the_middle_of_a_run() {
    within_10_s(|| {
        let pool = Pool::new(1);
        let queue = OrderedQueue::new(&pool);
        for _ in 0..20 {
            quicken(&queue);
            let release = hold_up(&pool);
            let (start, started) = mpsc::channel();
            let (open, gate) = mpsc::channel();
            queue.submit(work(
                move || {
                    start.send(()).unwrap();
                    gate.recv().unwrap();
                },
                |_| (),
            ));
            queue.submit(work(|| (), |_| ()));
            let (leave, left) = mpsc::channel();
            let (tell, told) = mpsc::channel();
            queue.submit(work(
                move || {
                    open.send(()).unwrap();
                    left.recv().unwrap();
                },
                move |_| tell.send(()).unwrap(),
            ));
            let (out, finished) = mpsc::channel();
            queue.submit(work(
                move || told.recv().unwrap(),
                move |_| out.send(()).unwrap(),
            ));
            for _ in 0..10 {
                queue.submit(work(|| (), |_| ()));
            }
            let other = thread::spawn({
                let pool = pool.clone();
                move || {
                    assert!(pool.help(), "runs the head and finishes the one behind");
                    leave.send(()).unwrap();
                }
            });
            started.recv().unwrap();
            drop(release);
            other.join().unwrap();
            finished.recv().unwrap();
        }
    });
}

/// Items that a worker had claimed and not started ran although they were cancelled. Guarded by the
/// loop in `State::cancel`.
#[test]
fn cancelled_items_run_because_they_were_claimed() {
    within_10_s(|| {
        let pool = Pool::new(1);
        let queue = OrderedQueue::new(&pool);
        let (out, results) = mpsc::channel();
        for _ in 0..20 {
            quicken(&queue);
            // So that all are there when it claims a run.
            let release = hold_up(&pool);
            let (start, started) = mpsc::channel();
            let (open, gate) = mpsc::channel::<()>();
            queue.submit(work(
                move || {
                    start.send(()).unwrap();
                    gate.recv()
                },
                |_| (),
            ));
            for _ in 0..40 {
                let out = out.clone();
                queue.submit(work(|| (), move |result| out.send(result).unwrap()));
            }
            drop(release);
            started.recv().unwrap();
            assert_eq!(queue.cancel(), 40);
            open.send(()).unwrap();
            queue.drain().unwrap();
            assert!(results.try_iter().eq(vec![Err(Outcome::Cancelled); 40]));
        }
    });
}

#[test]
fn shutdown_runs_what_is_queued_and_later_jobs_run_where_somebody_waits() {
    within_10_s(|| {
        let pool = Pool::new(2);
        let queue = OrderedQueue::new(&pool);
        let finished = Arc::new(AtomicUsize::new(0));
        let submit = || {
            let finished = Arc::clone(&finished);
            queue.submit(work(
                || thread::sleep(Duration::from_millis(1)),
                move |_| {
                    finished.fetch_add(1, Ordering::SeqCst);
                },
            ));
        };
        (0..20).for_each(|_| submit());
        pool.shutdown();
        assert_eq!(finished.load(Ordering::SeqCst), 20);
        submit();
        thread::sleep(Duration::from_millis(10));
        assert_eq!(finished.load(Ordering::SeqCst), 20);
        queue.drain().unwrap();
        assert_eq!(finished.load(Ordering::SeqCst), 21);
        pool.shutdown();
    });
}

/// Items were cancelled where no thread would come by again, and whoever waited
/// for them slept on. Guarded by the `finish_due` of `OrderedQueue::cancel`.
#[test]
fn hang_when_cancelled_items_have_no_worker() {
    within_10_s(|| {
        let queue = OrderedQueue::new(&Pool::new(0));
        let (out, results) = mpsc::channel();
        for _ in 0..3 {
            let out = out.clone();
            queue.submit(work(|| (), move |result| out.send(result).unwrap()));
        }
        assert_eq!(queue.cancel(), 3);
        assert_eq!(queue.unfinished(), 0);
        let results: Vec<_> = results.try_iter().collect();
        assert_eq!(results, vec![Err(Outcome::Cancelled); 3]);
        assert_eq!(queue.cancel(), 0);
    });
}

/// Only one worker was woken for a burst, and the others slept on. Guarded by
/// the `wake_one` of a worker that leaves jobs behind, in `Core::work`.
#[test]
fn a_burst_wakes_as_many_workers_as_it_needs() {
    within_10_s(|| {
        let pool = Pool::new(4);
        let all_at_once = Arc::new(Barrier::new(4));
        for _ in 0..50 {
            // Until they sleep again.
            thread::sleep(Duration::from_millis(1));
            let (out, results) = mpsc::channel();
            for _ in 0..4 {
                let (all_at_once, out) = (Arc::clone(&all_at_once), out.clone());
                pool.spawn(move || {
                    all_at_once.wait();
                    out.send(()).unwrap();
                });
            }
            drop(out);
            assert_eq!(results.iter().count(), 4);
        }
    });
}

#[test]
fn a_spawned_job_that_panics_is_counted_and_costs_no_thread() {
    let pool = Pool::new(1);
    let (out, results) = mpsc::channel();
    pool.spawn(|| panic!("planned"));
    pool.spawn(move || out.send(7).unwrap());
    assert_eq!(results.recv().unwrap(), 7);
    assert_eq!(pool.panics(), 1);
}

/// Who shut a pool down, or dropped its last handle, went on while its jobs still ran, because a job
/// had shut it down before, or another thread was about to. Guarded by `Owner::shutdown`, in which a
/// worker leaves the handles where they are, and others join under the lock of the handles.
#[test]
fn shutdown_returns_before_the_threads_have_ended() {
    within_10_s(|| {
        for by_a_job in [true, false] {
            let pool = Pool::new(1);
            let ended = Arc::new(AtomicBool::new(false));
            let (tell, told) = mpsc::channel();
            let (open, gate) = mpsc::channel::<()>();
            pool.spawn({
                let (pool, ended) = (pool.clone(), Arc::clone(&ended));
                move || {
                    if by_a_job {
                        pool.shutdown();
                    }
                    drop(pool);
                    tell.send(()).unwrap();
                    assert!(gate.recv().is_err(), "nothing is sent");
                    thread::sleep(Duration::from_millis(50));
                    ended.store(true, Ordering::SeqCst);
                }
            });
            told.recv().unwrap();
            thread::scope(|scope| {
                if !by_a_job {
                    scope.spawn(|| pool.shutdown());
                    thread::sleep(Duration::from_millis(50));
                }
                drop(open);
                pool.shutdown();
                assert!(ended.load(Ordering::SeqCst), "{by_a_job}");
            });
        }
    });
}

/// Jobs of a pool without threads were gone with its last handle, and with them the items of a queue
/// that one of them had dropped. Guarded by the loop in the drop of `Owner`.
#[test]
fn jobs_are_lost_with_a_pool_without_threads() {
    within_10_s(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        let count = || {
            let ran = Arc::clone(&ran);
            move || {
                ran.fetch_add(1, Ordering::SeqCst);
            }
        };
        let pool = Pool::new(0);
        pool.spawn(count());
        pool.spawn(count());
        drop(pool);
        assert_eq!(ran.swap(0, Ordering::SeqCst), 2);

        let pool = Pool::new(0);
        let queue = OrderedQueue::new(&pool);
        let own = Arc::new(Mutex::new(None::<OrderedQueue>));
        let last = Arc::clone(&own);
        queue.submit(work(move || drop(last.lock().unwrap().take()), |_| ()));
        for _ in 0..3 {
            let count = count();
            queue.submit(work(|| (), move |_| count()));
        }
        *own.lock().unwrap() = Some(queue);
        assert!(pool.help());
        assert_eq!(ran.load(Ordering::SeqCst), 0);
        drop(pool);
        assert_eq!(ran.load(Ordering::SeqCst), 3);

        // After a shutdown, too.
        let pool = Pool::new(1);
        pool.shutdown();
        pool.spawn(count());
        drop(pool);
        assert_eq!(ran.load(Ordering::SeqCst), 4);
    });
}

/// Who helped for a budget went to sleep when no job was there, and slept on when one came, though the
/// pool had no thread for it: nobody ran the item that held the budget. Guarded by `helpers` in
/// `Core::wake_one` and, for one that is called and leaves, by `Pool::pass_on`.
#[test]
fn who_helps_for_the_budget_sleeps_beside_a_job() {
    for helpers in 1..4 {
        for shut_down in [false, true] {
            within_10_s(move || {
                let pool = Pool::new(usize::from(shut_down));
                if shut_down {
                    pool.shutdown();
                }
                let queue = OrderedQueue::new(&pool);
                let budget = Budget::new(10);
                let held = budget.acquire(9);
                thread::scope(|scope| {
                    for _ in 0..helpers {
                        scope.spawn(|| drop(budget.acquire_helping(9, &pool)));
                    }
                    while budget.waited() < helpers {
                        thread::yield_now();
                    }
                    // Until they sleep.
                    thread::sleep(Duration::from_millis(20));
                    queue.submit(work(move || drop(held), |_| ()));
                });
                queue.drain().unwrap();
            });
        }
    }
}
