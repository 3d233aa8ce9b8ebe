use std::collections::BTreeMap;
use std::ops::Range;

use crate::states::States;
use crate::sync::{Arc, Sleeper};
use crate::{Change, Select};

/// Those who wait until a range has none of some bits, without any locking.
///
/// Each watches one byte that still has such a bit. As long as that byte keeps
/// it, the wait cannot be over, so a change elsewhere costs it nothing (I5);
/// when it loses it, the waiter is done or moves on to another such byte.
#[derive(Default)]
pub(crate) struct Waits {
    /// By watched byte, then by id: the wait.
    watching: BTreeMap<(u64, u64), Wait>,
    next_id: u64,
}

struct Wait {
    range: Range<u64>,
    busy: Select,
    sleeper: Arc<Sleeper>,
}

impl Waits {
    /// Where to sleep until no byte of the range is `busy`; nowhere if that is
    /// so already.
    pub(crate) fn wait(
        &mut self,
        states: &States,
        range: Range<u64>,
        busy: Select,
    ) -> Option<Arc<Sleeper>> {
        let (found, _) = states.find(range.clone(), busy)?;
        let sleeper = Arc::new(Sleeper::default());
        let id = self.next_id;
        self.next_id += 1;
        self.watching.insert(
            (found.start, id),
            Wait {
                range,
                busy,
                sleeper: Arc::clone(&sleeper),
            },
        );
        Some(sleeper)
    }

    /// Adds those whose wait ended with this change to `wake`.
    pub(crate) fn changed(
        &mut self,
        states: &States,
        change: &Change,
        wake: &mut Vec<Arc<Sleeper>>,
    ) {
        for part in change.ranges() {
            let mut from = (part.start, 0);
            let to = (part.end, 0);
            while let Some((&key, wait)) = self.watching.range(from..to).next() {
                let found = states.find(wait.range.clone(), wait.busy);
                let wait = self.watching.remove(&key).expect("it was just found");
                from = (key.0, key.1 + 1);
                match found {
                    // Perhaps the same one.
                    Some((byte, _)) => drop(self.watching.insert((byte.start, key.1), wait)),
                    None => wake.push(wait.sleeper),
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.watching.is_empty()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.watching.len()
    }
}
