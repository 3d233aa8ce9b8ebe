//! Which contents changed since somebody began to fetch.

use std::collections::VecDeque;
use std::ops::Range;

/// A version of a mapping's contents, to be taken before fetching from a device.
///
/// It moves on when contents leave the cache that a fetch may have missed: written pages that are
/// evicted or forgotten, and all that is truncated, discarded or invalidated. Who changes the
/// device by other means than writeback calls [`Mapping::invalidate`](crate::Mapping::invalidate)
/// afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

/// The last changes, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    now: u64,
    /// Changes up to this one are no longer listed.
    unlisted: u64,
    /// Ascending.
    recent: VecDeque<(u64, Range<u64>)>,
}

impl Changes {
    /// More changes than this during one fetch make it stale whatever they were.
    const MOST: usize = 32;

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.now)
    }

    pub(crate) fn add(&mut self, range: Range<u64>) {
        self.now += 1;
        if self.recent.len() == Self::MOST
            && let Some((change, _)) = self.recent.pop_front()
        {
            self.unlisted = change;
        }
        self.recent.push_back((self.now, range));
    }

    /// Whether `range` may have changed since `epoch`.
    pub(crate) fn touched_since(&self, epoch: Epoch, range: &Range<u64>) -> bool {
        epoch.0 < self.unlisted
            || self
                .recent
                .iter()
                .rev()
                .take_while(|(change, _)| *change > epoch.0)
                .any(|(_, changed)| changed.start < range.end && range.start < changed.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_stale_until_too_much_did() {
        let mut changes = Changes::default();
        changes.add(0..10);
        let epoch = changes.epoch();
        assert!(!changes.touched_since(epoch, &(0..10)));
        changes.add(20..30);
        assert!(!changes.touched_since(epoch, &(0..20)));
        assert!(changes.touched_since(epoch, &(29..31)));
        assert!(!changes.touched_since(changes.epoch(), &(20..30)));
        for _ in 1..Changes::MOST {
            changes.add(50..60);
        }
        assert!(!changes.touched_since(epoch, &(0..20)));
        changes.add(50..60);
        assert!(changes.touched_since(epoch, &(0..20)));
    }
}
