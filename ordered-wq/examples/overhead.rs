//! What an item costs that does nothing: `cargo run --release -p ordered-wq
//! --example overhead [THREADS]`.

use std::error::Error;
use std::time::Instant;

use ordered_wq::{Budget, OrderedQueue, Outcome, Permit, Pool, Work};

const ITEMS: u32 = 1_000_000;

struct Empty {
    _permit: Option<Permit>,
}

impl Work for Empty {
    fn run(&mut self) {}
    fn finish(&mut self, _: Outcome) {}
}

fn measure(what: &str, queues: &[OrderedQueue<Empty>], permit: impl Fn() -> Option<Permit>) {
    let start = Instant::now();
    for queue in queues.iter().cycle().take(ITEMS as usize) {
        queue.push(Empty { _permit: permit() });
    }
    for queue in queues {
        queue.drain().expect("nothing panics");
    }
    println!(
        "{:>6} ns an item, {what}",
        (start.elapsed() / ITEMS).as_nanos()
    );
}

fn main() -> Result<(), Box<dyn Error>> {
    let threads = std::env::args().nth(1).map_or(Ok(2), |n| n.parse())?;
    let pool = Pool::try_new(threads)?;
    let one = [OrderedQueue::of_one_type(&pool)];
    let many: Vec<_> = (0..64).map(|_| OrderedQueue::of_one_type(&pool)).collect();
    let budget = Budget::new(64);
    measure("one queue", &one, || None);
    measure("64 queues", &many, || None);
    // Who sleeps for the budget needs a thread that gives it back.
    if threads > 0 {
        measure("one queue, a budget of 64 items", &one, || {
            Some(budget.acquire(1))
        });
    }
    measure("a budget of 64 items, the submitter helps", &one, || {
        Some(budget.acquire_helping(1, &pool))
    });
    Ok(())
}
