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

fn measure(what: &str, queues: &[OrderedQueue], permit: impl Fn() -> Option<Permit>) {
    let start = Instant::now();
    for queue in queues.iter().cycle().take(ITEMS as usize) {
        queue.submit(Empty { _permit: permit() });
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
    let one = [OrderedQueue::new(&pool)];
    let many: Vec<_> = (0..64).map(|_| OrderedQueue::new(&pool)).collect();
    let budget = Budget::new(64);
    measure("one queue", &one, || None);
    measure("64 queues", &many, || None);
    measure("one queue, a budget of 64 items", &one, || {
        Some(budget.acquire(1))
    });
    measure("the same, the submitter helps", &one, || {
        Some(budget.acquire_helping(1, &pool))
    });
    Ok(())
}
