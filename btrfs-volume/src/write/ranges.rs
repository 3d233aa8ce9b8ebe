//! A set of disjoint ranges of addresses.

use std::collections::BTreeMap;
use std::ops::Range;

/// Disjoint, non-empty ranges that don't touch.
#[derive(Debug, Clone, Default)]
pub(crate) struct RangeSet {
    ends: BTreeMap<u64, u64>,
    total: u64,
}

impl RangeSet {
    /// Bytes in all ranges.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// How many ranges.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The ranges, ascending.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> {
        self.ends.iter().map(|(&start, &end)| start..end)
    }

    /// The range that contains `at`.
    pub(crate) fn containing(&self, at: u64) -> Option<Range<u64>> {
        let (&start, &end) = self.ends.range(..=at).next_back()?;
        (at < end).then_some(start..end)
    }

    /// Whether any of `range` is in the set.
    pub(crate) fn overlaps(&self, range: Range<u64>) -> bool {
        let before = self.ends.range(..range.end).next_back();
        before.is_some_and(|(_, &end)| end > range.start)
    }

    /// Adds `range`, which overlaps nothing in the set, and joins it with its neighbours. Returns
    /// the neighbours and the joined range.
    pub(crate) fn insert(&mut self, range: Range<u64>) -> (Vec<Range<u64>>, Range<u64>) {
        let mut joined = range.clone();
        let mut neighbours = Vec::new();
        if let Some((&start, &end)) = self.ends.range(..=range.start).next_back() {
            debug_assert!(end <= range.start, "{range:?} is in the set already");
            if end == range.start {
                joined.start = start;
                neighbours.push(start..end);
            }
        }
        if let Some(&end) = self.ends.get(&range.end) {
            self.ends.remove(&range.end);
            joined.end = end;
            neighbours.push(range.end..end);
        }
        self.ends.insert(joined.start, joined.end);
        self.total += range.end - range.start;
        (neighbours, joined)
    }

    /// Takes `range` out. Returns the range that it was part of; `None` if it was not in the set
    /// as a whole, and nothing is changed then.
    pub(crate) fn remove(&mut self, range: Range<u64>) -> Option<Range<u64>> {
        let whole = self.containing(range.start)?;
        if range.end > whole.end {
            return None;
        }
        self.ends.remove(&whole.start);
        if whole.start < range.start {
            self.ends.insert(whole.start, range.start);
        }
        if range.end < whole.end {
            self.ends.insert(range.end, whole.end);
        }
        self.total -= range.end - range.start;
        Some(whole)
    }

    /// First place at or after `from` with `len` bytes, or else the longest run seen on the way.
    pub(crate) fn first_fit(&self, from: u64, len: u64) -> Result<u64, u64> {
        let mut longest = 0;
        let around = self.containing(from).map(|range| from..range.end);
        let behind = self
            .ends
            .range(from.saturating_add(1)..)
            .map(|(&s, &e)| s..e);
        for range in around.into_iter().chain(behind) {
            let have = range.end - range.start;
            if have >= len {
                return Ok(range.start);
            }
            longest = longest.max(have);
        }
        Err(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn neighbours_join_and_split() {
        let mut set = RangeSet::default();
        set.insert(10..20);
        set.insert(30..40);
        let (neighbours, joined) = set.insert(20..30);
        assert_eq!((neighbours, joined), (vec![10..20, 30..40], 10..40));
        assert_eq!(set.remove(15..16), Some(10..40));
        assert_eq!(set.remove(14..16), None);
        assert_eq!(set.iter().collect::<Vec<_>>(), [10..15, 16..40]);
        assert_eq!(set.total(), 29);
        assert_eq!(set.first_fit(0, 6), Ok(16));
        assert_eq!(set.first_fit(12, 3), Ok(12));
        assert_eq!(set.first_fit(39, 3), Err(1));
    }

    proptest! {
        #[test]
        fn like_a_set_of_bytes(ops in prop::collection::vec((0..64u64, 1..9u64), 0..60)) {
            let mut set = RangeSet::default();
            let mut oracle = [false; 80];
            for (start, len) in ops {
                let range = start..start + len;
                let bytes = range.start as usize..range.end as usize;
                if oracle[bytes.clone()].iter().all(|&b| b) {
                    prop_assert!(set.remove(range).is_some());
                    oracle[bytes].fill(false);
                } else if oracle[bytes.clone()].iter().all(|&b| !b) {
                    set.insert(range);
                    oracle[bytes].fill(true);
                } else {
                    prop_assert!(set.remove(range).is_none());
                }
                let probe = &oracle[start as usize / 2..][..len as usize];
                let probed = set.overlaps(start / 2..start / 2 + len);
                prop_assert_eq!(probed, probe.iter().any(|&b| b));
                prop_assert_eq!(set.total(), oracle.iter().filter(|&&b| b).count() as u64);
                let runs = oracle.chunk_by(|a, b| a == b).filter(|run| run[0]).count();
                prop_assert_eq!(set.len(), runs);
            }
        }
    }
}
