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
    /// What changes right now.
    held_off: Vec<Range<u64>>,
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

    /// `range` begins to change.
    pub(crate) fn hold_off(&mut self, range: Range<u64>) {
        self.held_off.push(range);
    }

    /// It has changed.
    pub(crate) fn let_in(&mut self, range: Range<u64>) {
        if let Some(held) = self.held_off.iter().position(|held| *held == range) {
            self.held_off.swap_remove(held);
        }
        self.add(range);
    }

    /// Whether anything of `range` changes right now.
    pub(crate) fn is_held_off(&self, range: &Range<u64>) -> bool {
        let mut held = self.held_off.iter();
        held.any(|held| held.start < range.end && range.start < held.end)
    }

    /// Whether `range` may have changed since `epoch`.
    pub(crate) fn touched_since(&self, epoch: Epoch, range: &Range<u64>) -> bool {
        let unlisted = || {
            let last = self.unlisted_in.as_ref();
            last.is_some_and(|last| places(range).any(|place| last[place] > epoch.0))
        };
        epoch.0 < self.unlisted && unlisted()
            || self.is_held_off(range)
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

    #[test]
    fn what_changes_is_stale_whenever_it_was_fetched() {
        let mut changes = Changes::default();
        let before = changes.epoch();
        changes.hold_off(10..20);
        changes.hold_off(10..20);
        let during = changes.epoch();
        changes.let_in(10..20);
        assert!(changes.is_held_off(&(19..30)) && !changes.is_held_off(&(20..30)));
        assert!(changes.touched_since(changes.epoch(), &(0..11)));
        changes.let_in(10..20);
        assert!(!changes.is_held_off(&(10..20)));
        for epoch in [before, during] {
            assert!(changes.touched_since(epoch, &(0..11)));
            assert!(!changes.touched_since(epoch, &(0..10)));
        }
        assert!(!changes.touched_since(changes.epoch(), &(10..20)));
    }
}
