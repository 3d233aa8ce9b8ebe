//! Order, exactly once, and nothing left behind, under random delays.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ordered_wq::{Budget, OrderedQueue, Outcome, Permit, Pool, Work};
use proptest::prelude::*;

/// What the items of one queue did.
#[derive(Default)]
struct Log {
    finished: Mutex<Vec<(usize, Outcome)>>,
    finishing: AtomicBool,
    ran: AtomicUsize,
    freed: AtomicUsize,
}

struct Item {
    index: usize,
    plan: Plan,
    ran: bool,
    log: Arc<Log>,
    _permit: Option<Permit>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    Run,
    Finish,
    Free,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    run_us: u64,
    finish_us: u64,
    fault: Fault,
}

fn pause(us: u64) {
    match us {
        0 => {}
        1..20 => thread::yield_now(),
        _ => thread::sleep(Duration::from_micros(us)),
    }
}

impl Work for Item {
    fn run(&mut self) {
        self.log.ran.fetch_add(1, Ordering::SeqCst);
        assert!(!self.ran, "run twice");
        pause(self.plan.run_us);
        assert!(self.plan.fault != Fault::Run, "planned");
        self.ran = true;
    }

    fn finish(&mut self, outcome: Outcome) {
        let log = &self.log;
        assert!(!log.finishing.swap(true, Ordering::SeqCst), "I2: overlap");
        assert_eq!(self.ran, outcome == Outcome::Done);
        pause(self.plan.finish_us);
        log.finished.lock().unwrap().push((self.index, outcome));
        assert!(log.finishing.swap(false, Ordering::SeqCst));
        assert!(self.plan.fault != Fault::Finish, "planned");
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.log.freed.fetch_add(1, Ordering::SeqCst);
        assert!(self.plan.fault != Fault::Free, "planned");
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    let fault = prop_oneof![
        40 => Just(Fault::None),
        1 => Just(Fault::Run),
        1 => Just(Fault::Finish),
        1 => Just(Fault::Free),
    ];
    let run_us = prop_oneof![4 => Just(0), 4 => 0..40_u64, 1 => 40..600_u64];
    let finish_us = prop_oneof![8 => Just(0), 2 => 0..40_u64];
    (run_us, finish_us, fault).prop_map(|(run_us, finish_us, fault)| Plan {
        run_us,
        finish_us,
        fault,
    })
}

fn quiet_planned_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some("planned") {
                usual(info);
            }
        }));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn many_queues_on_one_pool_each_keep_their_order(
        threads in 0..5_usize,
        plans in prop::collection::vec((0..5_usize, plan()), 0..120),
        limit in prop::option::of(1..6_u64),
        drop_it in any::<bool>(),
    ) {
        quiet_planned_panics();
        let pool = Pool::new(threads);
        let queues: Vec<_> = (0..5).map(|_| OrderedQueue::new(&pool)).collect();
        let logs: Vec<Arc<Log>> = (0..5).map(|_| Arc::default()).collect();
        let budget = limit.map(Budget::new);
        let mut counts = [0; 5];
        for (q, plan) in &plans {
            let permit = budget.as_ref().map(|budget| budget.acquire_helping(1, &pool));
            let id = queues[*q].submit(Item {
                index: counts[*q],
                plan: *plan,
                ran: false,
                log: Arc::clone(&logs[*q]),
                _permit: permit,
            });
            prop_assert_eq!(id.sequence(), counts[*q] as u64);
            counts[*q] += 1;
        }
        for (q, queue) in queues.into_iter().enumerate() {
            let late = plans.iter().any(|(of, plan)| {
                *of == q && matches!(plan.fault, Fault::Finish | Fault::Free)
            });
            if drop_it {
                drop(queue);
            } else {
                prop_assert_eq!(queue.drain().is_err(), late);
                prop_assert_eq!(queue.unfinished(), 0);
                prop_assert!(queue.drain().is_ok(), "reported once");
            }
            let log = &logs[q];
            let expected: Vec<_> = plans
                .iter()
                .filter(|(of, _)| *of == q)
                .enumerate()
                .map(|(index, (_, plan))| (index, match plan.fault {
                    Fault::Run => Outcome::Panicked("planned".into()),
                    _ => Outcome::Done,
                }))
                .collect();
            prop_assert_eq!(&*log.finished.lock().unwrap(), &expected);
            prop_assert_eq!(log.ran.load(Ordering::SeqCst), counts[q]);
            prop_assert_eq!(log.freed.load(Ordering::SeqCst), counts[q]);
        }
        if let Some(budget) = budget {
            prop_assert_eq!(budget.used(), 0);
            prop_assert!(budget.high_water() <= budget.limit());
        }
        pool.shutdown();
        prop_assert_eq!(pool.panics(), 0);
    }

    #[test]
    fn cancelled_items_finish_in_their_turn(
        threads in 0..3_usize,
        plans in prop::collection::vec(plan(), 0..60),
        cancel_at in any::<prop::sample::Index>(),
    ) {
        quiet_planned_panics();
        let pool = Pool::new(threads);
        let queue = OrderedQueue::new(&pool);
        let log: Arc<Log> = Arc::default();
        let mut cancelled = 0;
        for (index, plan) in plans.iter().enumerate() {
            if index == cancel_at.index(plans.len()) {
                cancelled = queue.cancel();
            }
            let log = Arc::clone(&log);
            queue.submit(Item { index, plan: *plan, ran: false, log, _permit: None });
        }
        drop(queue);
        let finished = log.finished.lock().unwrap();
        prop_assert!(finished.iter().map(|(index, _)| *index).eq(0..plans.len()));
        let outcomes = finished.iter().filter(|(_, outcome)| *outcome == Outcome::Cancelled);
        prop_assert_eq!(outcomes.count() as u64, cancelled);
        prop_assert_eq!(log.ran.load(Ordering::SeqCst) as u64, plans.len() as u64 - cancelled);
        prop_assert_eq!(log.freed.load(Ordering::SeqCst), plans.len());
    }
}

#[test]
fn submitters_on_many_threads_lose_nothing() {
    let pool = Pool::new(3);
    let queue = OrderedQueue::new(&pool);
    let log: Arc<Log> = Arc::default();
    let plan = Plan {
        run_us: 0,
        finish_us: 0,
        fault: Fault::None,
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for index in 0..2000 {
                    let log = Arc::clone(&log);
                    queue.submit(Item {
                        index,
                        plan,
                        ran: false,
                        log,
                        _permit: None,
                    });
                    if index % 500 == 0 {
                        queue.drain().unwrap();
                    }
                }
            });
        }
    });
    queue.drain().unwrap();
    assert_eq!(log.finished.lock().unwrap().len(), 8000);
    assert_eq!(log.freed.load(Ordering::SeqCst), 8000);
}
