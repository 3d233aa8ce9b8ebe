//! The order of one queue, without threads: which item may start, which may be
//! finished.

use std::collections::VecDeque;

use crate::Outcome;

/// The items of a queue from the first unfinished one on. Ids are dense, so an
/// item's place is its id less the head's.
pub(crate) struct Order<T> {
    items: VecDeque<Item<T>>,
    /// Id of the first item that is listed.
    head: u64,
    /// Id of the first item that nobody has started; all after it are pending.
    next_start: u64,
    /// Somebody has the turn: he alone finishes items, from the head on. That is the barrier.
    turn: bool,
}

enum Item<T> {
    Pending(T),
    /// Somebody has it: its parallel part runs, or its ordered part.
    Taken,
    /// The kernel's DONE flag. The list's lock orders what the parallel part
    /// wrote before what the ordered part reads.
    Done(T, Outcome),
}

impl<T> Order<T> {
    pub(crate) fn new() -> Self {
        Self {
            items: VecDeque::new(),
            head: 0,
            next_start: 0,
            turn: false,
        }
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
        match std::mem::replace(self.item(id), Item::Taken) {
            Item::Pending(item) => Some((id, item)),
            _ => unreachable!("no item at or after next_start was started"),
        }
    }

    /// How many items nobody has started.
    pub(crate) fn pending(&self) -> usize {
        (self.end() - self.next_start) as usize
    }

    /// Gives a started item back.
    pub(crate) fn complete(&mut self, id: u64, item: T, outcome: Outcome) {
        let slot = self.item(id);
        debug_assert!(matches!(slot, Item::Taken), "completed once");
        *slot = Item::Done(item, outcome);
    }

    /// Completes all pending items as cancelled and says how many.
    pub(crate) fn cancel(&mut self) -> u64 {
        let mut cancelled = 0;
        while let Some((id, item)) = self.start(u64::MAX) {
            self.complete(id, item, Outcome::Cancelled);
            cancelled += 1;
        }
        cancelled
    }

    /// Takes the turn for a started item, if it is the head and nobody has it.
    pub(crate) fn turn_of(&mut self, id: u64) -> bool {
        let free = !self.turn && self.head == id;
        self.turn |= free;
        free
    }

    /// Takes the turn if the head is done and nobody has it.
    pub(crate) fn turn_due(&mut self) -> bool {
        let due = !self.turn && matches!(self.items.front(), Some(Item::Done(..)));
        self.turn |= due;
        due
    }

    /// Who has the turn takes what is done from the head on, at most so many. The items stay
    /// listed until [`Self::unlist`].
    pub(crate) fn take_due(&mut self, most: usize, due: &mut Vec<(u64, T, Outcome)>) {
        debug_assert!(self.turn, "I2: only who has the turn finishes");
        for (id, slot) in (self.head..).zip(self.items.iter_mut().take(most)) {
            match std::mem::replace(slot, Item::Taken) {
                Item::Done(item, outcome) => due.push((id, item, outcome)),
                other => {
                    *slot = other;
                    break;
                }
            }
        }
    }

    /// Who has the turn has finished the items before `end`.
    pub(crate) fn unlist(&mut self, end: u64) {
        debug_assert!(self.turn, "I2: only who has the turn finishes");
        self.items.drain(..(end - self.head) as usize);
        self.head = end;
    }

    /// Ends the turn.
    pub(crate) fn end_turn(&mut self) {
        debug_assert!(self.turn, "taken before");
        self.turn = false;
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

    fn due<T>(order: &mut Order<T>, most: usize) -> Vec<(u64, T, Outcome)> {
        let mut due = Vec::new();
        order.take_due(most, &mut due);
        due
    }

    #[test]
    fn the_head_is_a_barrier_while_it_is_finished() {
        let mut order = Order::new();
        for item in ["a", "b", "c", "d"] {
            order.push(item);
        }
        let a = order.start(u64::MAX).unwrap();
        let b = order.start(u64::MAX).unwrap();
        let c = order.start(u64::MAX).unwrap();
        order.complete(b.0, b.1, Outcome::Done);
        assert!(!order.turn_due(), "a runs");
        assert!(!order.turn_of(2), "a is first");
        order.complete(a.0, a.1, Outcome::Panicked("x".into()));
        assert!(order.turn_due());
        assert!(!order.turn_due() && !order.turn_of(0), "it is taken");
        let panicked = (0, "a", Outcome::Panicked("x".into()));
        assert_eq!(due(&mut order, 1), [panicked]);
        assert_eq!(due(&mut order, 9), [], "a is still listed");
        order.unlist(1);
        assert_eq!(due(&mut order, 9), [(1, "b", Outcome::Done)]);
        order.unlist(2);
        assert_eq!(due(&mut order, 9), [], "c hasn't run");
        order.end_turn();
        assert!(!order.turn_due() && order.turn_of(c.0));
        assert_eq!((order.head, order.end(), order.pending()), (2, 4, 1));
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
        Turn,
        TurnOf(prop::sample::Index),
        Take(usize),
        Unlist,
        End,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Push),
            4 => Just(Step::Start),
            4 => any::<prop::sample::Index>().prop_map(Step::Complete),
            1 => Just(Step::Cancel),
            4 => Just(Step::Turn),
            2 => any::<prop::sample::Index>().prop_map(Step::TurnOf),
            4 => (1..4_usize).prop_map(Step::Take),
            4 => Just(Step::Unlist),
            4 => Just(Step::End),
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
            let mut turn = false;
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
                    Step::Turn => {
                        let done = matches!(oracle.get(head), Some(State::Done | State::Cancelled));
                        prop_assert_eq!(order.turn_due(), done && !turn);
                        turn |= done;
                    }
                    Step::TurnOf(index) if !oracle.is_empty() => {
                        let n = index.index(oracle.len());
                        prop_assert_eq!(order.turn_of(n as u64), n == head && !turn);
                        turn |= n == head;
                    }
                    Step::Take(most) if turn => {
                        let expected: Vec<_> = (head..oracle.len())
                            .take(most)
                            .map_while(|n| match oracle[n] {
                                State::Done => Some((n as u64, n, Outcome::Done)),
                                State::Cancelled => Some((n as u64, n, Outcome::Cancelled)),
                                _ => None,
                            })
                            .collect();
                        prop_assert_eq!(due(&mut order, most), expected.clone());
                        for (_, n, _) in expected {
                            oracle[n] = State::Finishing;
                        }
                    }
                    Step::Unlist if turn => {
                        let finished = oracle[head..].iter().take_while(|s| **s == State::Finishing);
                        let end = head + finished.count();
                        order.unlist(end as u64);
                        oracle[head..end].fill(State::Gone);
                    }
                    // As the queue does: never before what was taken is finished.
                    Step::End if turn && oracle.get(head) != Some(&State::Finishing) => {
                        order.end_turn();
                        turn = false;
                    }
                    Step::TurnOf(_) | Step::Take(_) | Step::Unlist | Step::End => {}
                }
                let head = oracle.iter().position(|s| *s != State::Gone).unwrap_or(oracle.len());
                prop_assert_eq!(order.head as usize, head);
                prop_assert_eq!(order.end() as usize, oracle.len());
            }
        }
    }
}
