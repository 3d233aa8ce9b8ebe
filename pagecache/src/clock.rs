//! The order in which clean folios are evicted: a list with O(1) push, pop and removal by ticket.

/// Names one entry of a [`Clock`]; worthless once the entry was popped or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    slot: u32,
    generation: u32,
}

/// No slot.
const NIL: u32 = u32::MAX;

#[derive(Debug)]
struct Slot<T> {
    /// Counts the entries that lived here, so that an old ticket never names a new entry.
    generation: u32,
    prev: u32,
    next: u32,
    entry: Option<T>,
}

/// A doubly linked list in one vector.
///
/// The second chance of the clock algorithm is the caller's: it pops the oldest entry and pushes
/// it again if it was referenced.
#[derive(Debug)]
pub(crate) struct Clock<T> {
    slots: Vec<Slot<T>>,
    /// First vacant slot; vacant slots are linked by `next`.
    vacant: u32,
    oldest: u32,
    newest: u32,
    len: usize,
}

impl<T> Clock<T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            vacant: NIL,
            oldest: NIL,
            newest: NIL,
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, entry: T) -> Ticket {
        let slot = if self.vacant == NIL {
            let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 clean folios");
            self.slots.push(Slot {
                generation: 0,
                prev: NIL,
                next: NIL,
                entry: None,
            });
            slot
        } else {
            let slot = self.vacant;
            self.vacant = self.at(slot).next;
            slot
        };
        let newest = self.newest;
        let place = self.at(slot);
        place.prev = newest;
        place.next = NIL;
        place.entry = Some(entry);
        let generation = place.generation;
        if newest == NIL {
            self.oldest = slot;
        } else {
            self.at(newest).next = slot;
        }
        self.newest = slot;
        self.len += 1;
        Ticket { slot, generation }
    }

    /// Takes out the oldest entry.
    pub(crate) fn pop(&mut self) -> Option<(Ticket, T)> {
        if self.oldest == NIL {
            return None;
        }
        let ticket = Ticket {
            slot: self.oldest,
            generation: self.at(self.oldest).generation,
        };
        let entry = self.remove(ticket)?;
        Some((ticket, entry))
    }

    /// Takes out an entry, unless it is gone already.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let vacant = self.vacant;
        let place = self.slots.get_mut(ticket.slot as usize)?;
        if place.generation != ticket.generation {
            return None;
        }
        let entry = place.entry.take()?;
        place.generation = place.generation.wrapping_add(1);
        let (prev, next) = (place.prev, place.next);
        place.next = vacant;
        self.vacant = ticket.slot;
        if prev == NIL {
            self.oldest = next;
        } else {
            self.at(prev).next = next;
        }
        if next == NIL {
            self.newest = prev;
        } else {
            self.at(next).prev = prev;
        }
        self.len -= 1;
        Some(entry)
    }

    fn at(&mut self, slot: u32) -> &mut Slot<T> {
        &mut self.slots[slot as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn an_old_ticket_names_nothing() {
        let mut clock = Clock::new();
        let first = clock.push('a');
        assert_eq!(clock.pop().unwrap().1, 'a');
        let second = clock.push('b');
        assert_ne!(first, second);
        assert_eq!(clock.remove(first), None);
        assert_eq!(clock.remove(second), Some('b'));
        assert_eq!(clock.remove(second), None);
        assert!(clock.pop().is_none());
    }

    proptest! {
        #[test]
        fn behaves_as_a_queue(steps in prop::collection::vec((0..3u8, any::<u16>()), 0..200)) {
            let mut clock = Clock::new();
            let mut oracle: VecDeque<(Ticket, usize)> = VecDeque::new();
            for (n, (step, pick)) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        let ticket = clock.push(n);
                        oracle.push_back((ticket, n));
                    }
                    1 => prop_assert_eq!(clock.pop(), oracle.pop_front()),
                    _ => {
                        if !oracle.is_empty() {
                            let (ticket, n) =
                                oracle.remove(usize::from(pick) % oracle.len()).unwrap();
                            prop_assert_eq!(clock.remove(ticket), Some(n));
                            prop_assert_eq!(clock.remove(ticket), None);
                        }
                    }
                }
                prop_assert_eq!(clock.len(), oracle.len());
            }
        }
    }
}
