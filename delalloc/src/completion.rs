use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::sync::{Arc, Condvar, Mutex, panicking};

/// Hands what was submitted to a finishing function in the order of
/// submission, in whatever order it completes: so the trees are a function of
/// the submissions alone, and never of the device.
///
/// One for each filesystem. The function is called for one item at a time, on
/// the thread that completed the item all others had waited for, and with no
/// lock held: it may complete others. A handle: clones are the same.
pub struct OrderedCompletion<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    finish: Box<dyn Fn(T) + Send + Sync>,
    line: Mutex<Line<T>>,
    moved: Condvar,
}

struct Line<T> {
    /// The number of the first slot in `slots`.
    head: u64,
    slots: VecDeque<Slot<T>>,
    /// Somebody calls `finish`; whoever completes something leaves it to them.
    running: bool,
}

enum Slot<T> {
    Pending,
    Ready(T),
    GivenUp,
}

/// A place in the line.
///
/// Dropped, it holds up nobody: the place is passed over, and what had waited for
/// it is finished by this very drop. If that panics, so does the drop, except
/// where a panic drops the ticket.
#[must_use = "dropping it gives the place up"]
pub struct Ticket<T> {
    shared: Arc<Shared<T>>,
    number: u64,
    used: bool,
}

impl<T> OrderedCompletion<T> {
    /// An empty line before a finishing function.
    #[must_use]
    pub fn new(finish: impl Fn(T) + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                finish: Box::new(finish),
                line: Mutex::new(Line {
                    head: 0,
                    slots: VecDeque::new(),
                    running: false,
                }),
                moved: Condvar::default(),
            }),
        }
    }

    /// Takes the next place. Call it where the order is decided.
    pub fn submit(&self) -> Ticket<T> {
        let mut line = self.shared.line.lock();
        let number = line.tail();
        line.slots.push_back(Slot::Pending);
        drop(line);
        Ticket {
            shared: Arc::clone(&self.shared),
            number,
            used: false,
        }
    }

    /// Waits until everything submitted so far is finished or given up.
    ///
    /// The finishing function must not call it.
    pub fn drain(&self) {
        let mut line = self.shared.line.lock();
        let tail = line.tail();
        while line.head < tail {
            line = self.shared.moved.wait(line);
        }
    }

    /// How many are submitted and not finished.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.line.lock().slots.len()
    }

    /// Whether everything submitted is finished.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Line<T> {
    fn tail(&self) -> u64 {
        self.head + self.slots.len() as u64
    }
}

impl<T> Ticket<T> {
    /// Its I/O is done: `item` is finished as soon as everything before it is,
    /// perhaps by this very call, together with what had waited for it.
    ///
    /// # Panics
    ///
    /// When the finishing function panicked in this call; all others that were
    /// ready are finished nevertheless.
    pub fn complete(mut self, item: T) {
        self.used = true;
        self.shared.fill(self.number, Slot::Ready(item));
    }
}

impl<T> Shared<T> {
    fn fill(&self, number: u64, slot: Slot<T>) {
        let mut line = self.line.lock();
        let at = usize::try_from(number - line.head).expect("the line is in memory");
        line.slots[at] = slot;
        if line.running {
            return;
        }
        line.running = true;
        let mut panicked = None;
        // The head stays in line while it is finished: `drain` counts on it.
        while let Some(head) = line.slots.front_mut() {
            match std::mem::replace(head, Slot::GivenUp) {
                Slot::Pending => {
                    *head = Slot::Pending;
                    break;
                }
                Slot::GivenUp => {}
                Slot::Ready(item) => {
                    drop(line);
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.finish)(item))) {
                        panicked.get_or_insert(panic);
                    }
                    line = self.line.lock();
                }
            }
            line.slots.pop_front();
            line.head += 1;
            self.moved.notify_all();
        }
        line.running = false;
        drop(line);
        match panicked {
            // A second panic would end the process.
            Some(_) if panicking() => {
                tracing::error!("finishing panicked while a ticket was dropped by a panic");
            }
            Some(panic) => resume_unwind(panic),
            None => {}
        }
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        if !self.used {
            self.shared.fill(self.number, Slot::GivenUp);
        }
    }
}

impl<T> Clone for OrderedCompletion<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> fmt::Debug for OrderedCompletion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.shared.line.lock();
        f.debug_struct("OrderedCompletion")
            .field("head", &line.head)
            .field("pending", &line.slots.len())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.number).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finishes_in_order_of_submission(
            order in Just((0..20_usize).collect::<Vec<_>>()).prop_shuffle(),
            given_up in proptest::collection::vec(any::<bool>(), 20),
        ) {
            let finished = Arc::new(Mutex::new(Vec::new()));
            let line = OrderedCompletion::new({
                let finished = Arc::clone(&finished);
                move |item: usize| finished.lock().push(item)
            });
            let mut tickets: Vec<_> = (0..20).map(|_| Some(line.submit())).collect();
            for (done, &item) in order.iter().enumerate() {
                let ticket = tickets[item].take().unwrap();
                if given_up[item] {
                    drop(ticket);
                } else {
                    ticket.complete(item);
                }
                let ready = (0..20).find(|item| !order[..=done].contains(item)).unwrap_or(20);
                let expected: Vec<_> = (0..ready).filter(|&item| !given_up[item]).collect();
                prop_assert_eq!(&*finished.lock(), &expected);
                prop_assert_eq!(line.len(), 20 - ready);
                prop_assert_eq!(line.is_empty(), ready == 20);
            }
            line.drain();
        }
    }

    #[test]
    fn threads_finish_one_at_a_time_and_a_drain_waits_for_all() {
        let inside = AtomicBool::new(false);
        let finished = Arc::new(Mutex::new(Vec::new()));
        let line = OrderedCompletion::new({
            let finished = Arc::clone(&finished);
            move |item: u32| {
                assert!(!inside.swap(true, Ordering::SeqCst));
                thread::yield_now();
                finished.lock().push(item);
                inside.store(false, Ordering::SeqCst);
            }
        });
        let mut hands: [Vec<_>; 4] = Default::default();
        for item in 0..1000_u32 {
            hands[item as usize % 4].push((item, line.submit()));
        }
        thread::scope(|scope| {
            for hand in hands {
                scope.spawn(move || {
                    for (item, ticket) in hand.into_iter().rev() {
                        ticket.complete(item);
                    }
                });
            }
            line.drain();
            assert_eq!(*finished.lock(), (0..1000).collect::<Vec<_>>());
        });
    }

    #[test]
    fn a_panic_stalls_nobody() {
        let finished = Arc::new(Mutex::new(Vec::new()));
        let line = OrderedCompletion::new({
            let finished = Arc::clone(&finished);
            move |item: u32| {
                assert!(item != 1, "item one");
                finished.lock().push(item);
            }
        });
        let [a, b, c] = [line.submit(), line.submit(), line.submit()];
        c.complete(2);
        b.complete(1);
        let panic = catch_unwind(AssertUnwindSafe(|| a.complete(0)));
        assert!(panic.is_err());
        assert_eq!(*finished.lock(), [0, 2]);
        line.submit().complete(3);
        line.drain();
        assert_eq!(*finished.lock(), [0, 2, 3]);
    }

    #[test]
    fn a_finishing_function_may_complete_another() {
        let later: Arc<Mutex<Vec<Ticket<u32>>>> = Arc::default();
        let finished = Arc::new(Mutex::new(Vec::new()));
        let line = OrderedCompletion::new({
            let (later, finished) = (Arc::clone(&later), Arc::clone(&finished));
            move |item| {
                finished.lock().push(item);
                let next = later.lock().pop();
                if let Some(next) = next {
                    next.complete(item + 1);
                }
            }
        });
        let first = line.submit();
        later.lock().push(line.submit());
        first.complete(0);
        assert_eq!(*finished.lock(), [0, 1]);
    }
}
