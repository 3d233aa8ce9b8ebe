//! What a user of the queue implements.

use std::fmt;

/// One item of ordered work. Dropping it is its third part: it frees what the
/// item holds, outside every lock.
///
/// For implementers: no part may wait for the item's own queue; any part may
/// submit to it. Whatever `run` learns, errors included, it keeps in `self`.
pub trait Work: Send + 'static {
    /// The parallel part: called at most once, on any thread, in no order.
    fn run(&mut self);

    /// The ordered part: called exactly once, alone in its queue, after the
    /// ordered parts of all items submitted before. It should be short, for
    /// nothing else of the queue can finish meanwhile.
    fn finish(&mut self, outcome: Outcome);
}

impl Work for Box<dyn Work> {
    fn run(&mut self) {
        (**self).run();
    }

    fn finish(&mut self, outcome: Outcome) {
        (**self).finish(outcome);
    }
}

/// What became of an item's parallel part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned.
    Done,
    /// It panicked, with this message.
    Panicked(String),
    /// It was never started.
    Cancelled,
}

/// An item's place in the order of its queue. Ids are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub(crate) u64);

impl WorkId {
    /// How many items were submitted to the queue before this one.
    #[must_use]
    pub fn sequence(self) -> u64 {
        self.0
    }
}

impl fmt::Display for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "work item {}", self.0)
    }
}
