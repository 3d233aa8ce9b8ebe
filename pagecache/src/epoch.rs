//! Which contents changed since somebody began to fetch.

use std::collections::VecDeque;
use std::ops::Range;

use crate::pages::FOLIO_SIZE;

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
    /// Ascending.
    recent: VecDeque<(u64, Range<u64>)>,
    /// Changes up to this one are no longer in `recent`.
    unlisted: u64,
    /// Of these, the last one in each region; several regions share a place. Most files never have
    /// so many changes.
    unlisted_in: Option<Box<[u64; PLACES]>>,
}

/// Who writes a file from its beginning to its end changes one region for a while, and then another.
const REGION: u64 = 64 * FOLIO_SIZE;
const PLACES: usize = 64;

/// The places of the regions that a range touches.
fn places(range: &Range<u64>) -> impl Iterator<Item = usize> {
    let regions = match range.is_empty() {
        true => 0..0,
        false => range.start / REGION..(range.end - 1) / REGION + 1,
    };
    regions.take(PLACES).map(|region| region as usize % PLACES)
}

impl Changes {
    /// Of more changes than this during one fetch no more is known than the region.
    const MOST: usize = 32;

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.now)
    }

    pub(crate) fn add(&mut self, range: Range<u64>) {
        self.now += 1;
        if self.recent.len() == Self::MOST
            && let Some((change, range)) = self.recent.pop_front()
        {
            self.fold(change, &range);
        }
        self.recent.push_back((self.now, range));
    }

    /// Remembers of a change what is kept of old ones.
    fn fold(&mut self, change: u64, range: &Range<u64>) {
        self.unlisted = change;
        let last = self
            .unlisted_in
            .get_or_insert_with(|| Box::new([0; PLACES]));
        for place in places(range) {
            last[place] = change;
        }
    }

    /// Whether `range` may have changed since `epoch`.
    pub(crate) fn touched_since(&self, epoch: Epoch, range: &Range<u64>) -> bool {
        let unlisted = || {
            let last = self.unlisted_in.as_ref();
            last.is_some_and(|last| places(range).any(|place| last[place] > epoch.0))
        };
        epoch.0 < self.unlisted && unlisted()
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
    fn only_what_changed_is_stale_until_too_much_did_nearby() {
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
        assert!(changes.touched_since(epoch, &(REGION - 1..REGION)));
        assert!(!changes.touched_since(epoch, &(REGION..2 * REGION)));
        assert!(changes.touched_since(epoch, &(0..u64::MAX)));
        assert!(!changes.touched_since(epoch, &(5..5)));
    }
}
