//! The order of one queue, without threads: which item may start, which may be
//! finished.

use std::collections::VecDeque;

use crate::Outcome;

/// The items of a queue from the first unfinished one on. Ids are dense, so an
/// item's place is its id less the head's.
pub(crate) struct Order<T> {
    items: VecDeque<Item<T>>,
    /// Id of the first item that isn't unlinked.
    head: u64,
    /// Id of the first item that nobody has started; all after it are pending.
    next_start: u64,
}

enum Item<T> {
    Pending(T),
    /// Its parallel part runs.
    Running,
    /// The kernel's DONE flag. The list's lock orders what the parallel part
    /// wrote before what the ordered part reads.
    Done(T, Outcome),
    /// Its ordered part runs. Only the head is ever in this state.
    Finishing,
}

impl<T> Order<T> {
    pub(crate) fn new() -> Self {
        Self {
            items: VecDeque::new(),
            head: 0,
            next_start: 0,
        }
    }

    /// Id of the first item that isn't unlinked.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Id of the next item to be pushed.
    pub(crate) fn end(&self) -> u64 {
        self.head + self.items.len() as u64
    }

    pub(crate) fn push(&mut self, item: T) -> u64 {
        let id = self.end();
        self.items.push_back(Item::Pending(item));
        id
    }

    /// Takes the first pending item with an id less than `below`.
    pub(crate) fn start(&mut self, below: u64) -> Option<(u64, T)> {
        let id = self.next_start;
        if id >= below.min(self.end()) {
            return None;
        }
        self.next_start += 1;
        match std::mem::replace(self.item(id), Item::Running) {
            Item::Pending(item) => Some((id, item)),
            _ => unreachable!("no item at or after next_start was started"),
        }
    }

    /// Whether an item waits to be started.
    pub(crate) fn has_pending(&self) -> bool {
        self.next_start < self.end()
    }

    /// Gives a started item back.
    pub(crate) fn complete(&mut self, id: u64, item: T, outcome: Outcome) {
        let slot = self.item(id);
        debug_assert!(matches!(slot, Item::Running), "completed once");
        *slot = Item::Done(item, outcome);
    }

    /// Completes all pending items as cancelled and says how many.
    pub(crate) fn cancel(&mut self) -> u64 {
        let cancelled = self.end() - self.next_start;
        let first = (self.next_start - self.head) as usize;
        for slot in self.items.iter_mut().skip(first) {
            *slot = match std::mem::replace(slot, Item::Running) {
                Item::Pending(item) => Item::Done(item, Outcome::Cancelled),
                _ => unreachable!("no item at or after next_start was started"),
            };
        }
        self.next_start += cancelled;
        cancelled
    }

    /// Takes the head if it may be finished now: it is done, and nobody else
    /// is at it. It stays listed, and so keeps all others out, until
    /// [`Self::unlink_head`].
    pub(crate) fn take_head(&mut self) -> Option<(u64, T, Outcome)> {
        let head = self.items.front_mut()?;
        match std::mem::replace(head, Item::Finishing) {
            Item::Done(item, outcome) => Some((self.head, item, outcome)),
            other => {
                *head = other;
                None
            }
        }
    }

    /// Ends what [`Self::take_head`] began.
    pub(crate) fn unlink_head(&mut self) {
        let head = self.items.pop_front();
        debug_assert!(matches!(head, Some(Item::Finishing)), "taken before");
        self.head += 1;
    }

    fn item(&mut self, id: u64) -> &mut Item<T> {
        let index = (id - self.head) as usize;
        &mut self.items[index]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_head_is_a_barrier_while_it_is_finished() {
        let mut order = Order::new();
        for item in ["a", "b", "c"] {
            order.push(item);
        }
        let a = order.start(u64::MAX).unwrap();
        let b = order.start(u64::MAX).unwrap();
        order.complete(b.0, b.1, Outcome::Done);
        assert_eq!(order.take_head(), None, "a runs");
        order.complete(a.0, a.1, Outcome::Panicked("x".into()));
        assert_eq!(
            order.take_head(),
            Some((0, "a", Outcome::Panicked("x".into())))
        );
        assert_eq!(order.take_head(), None, "b is done, but a is at the head");
        order.unlink_head();
        assert_eq!(order.take_head(), Some((1, "b", Outcome::Done)));
        order.unlink_head();
        assert_eq!(order.take_head(), None, "c hasn't run");
        assert_eq!((order.head(), order.end()), (2, 3));
    }

    #[test]
    fn start_heeds_its_bound() {
        let mut order = Order::new();
        order.push('a');
        order.push('b');
        assert_eq!(order.start(0), None);
        assert_eq!(order.start(1), Some((0, 'a')));
        assert_eq!(order.start(1), None);
        assert_eq!(order.start(7), Some((1, 'b')));
        assert_eq!(order.start(7), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push,
        Start,
        Complete(prop::sample::Index),
        Cancel,
        Take,
        Unlink,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Push),
            4 => Just(Step::Start),
            4 => any::<prop::sample::Index>().prop_map(Step::Complete),
            1 => Just(Step::Cancel),
            4 => Just(Step::Take),
            4 => Just(Step::Unlink),
        ]
    }

    #[derive(Clone, Copy, PartialEq, Debug)]
    enum State {
        Pending,
        Running,
        Done,
        Cancelled,
        Finishing,
        Gone,
    }

    proptest! {
        /// Against a list of all items ever pushed, which is searched.
        #[test]
        fn behaves_like_a_plain_list(steps in prop::collection::vec(step(), 1..200)) {
            let mut order = Order::new();
            let mut oracle: Vec<State> = Vec::new();
            for step in steps {
                let head = oracle.iter().position(|s| *s != State::Gone).unwrap_or(oracle.len());
                match step {
                    Step::Push => {
                        let id = order.push(oracle.len());
                        prop_assert_eq!(id as usize, oracle.len());
                        oracle.push(State::Pending);
                    }
                    Step::Start => {
                        let first = oracle.iter().position(|s| *s == State::Pending);
                        prop_assert_eq!(order.start(u64::MAX), first.map(|n| (n as u64, n)));
                        if let Some(n) = first {
                            oracle[n] = State::Running;
                        }
                    }
                    Step::Complete(index) => {
                        let running: Vec<usize> =
                            (0..oracle.len()).filter(|n| oracle[*n] == State::Running).collect();
                        if !running.is_empty() {
                            let n = *index.get(&running);
                            order.complete(n as u64, n, Outcome::Done);
                            oracle[n] = State::Done;
                        }
                    }
                    Step::Cancel => {
                        let pending = oracle.iter_mut().filter(|s| **s == State::Pending);
                        let cancelled = pending.map(|s| *s = State::Cancelled).count();
                        prop_assert_eq!(order.cancel(), cancelled as u64);
                    }
                    Step::Take => {
                        let expected = match oracle.get(head) {
                            Some(State::Done) => Some((head as u64, head, Outcome::Done)),
                            Some(State::Cancelled) => Some((head as u64, head, Outcome::Cancelled)),
                            _ => None,
                        };
                        prop_assert_eq!(order.take_head(), expected.clone());
                        if expected.is_some() {
                            oracle[head] = State::Finishing;
                        }
                    }
                    Step::Unlink => {
                        if oracle.get(head) == Some(&State::Finishing) {
                            order.unlink_head();
                            oracle[head] = State::Gone;
                        }
                    }
                }
                let head = oracle.iter().position(|s| *s != State::Gone).unwrap_or(oracle.len());
                prop_assert_eq!(order.head() as usize, head);
                prop_assert_eq!(order.end() as usize, oracle.len());
            }
        }
    }
}
