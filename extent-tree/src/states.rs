use std::ops::Range;

use crate::segments::{Position, Segment, Segments};
use crate::{Change, Select, StateBits};

/// What becomes of the bits of a byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edit {
    /// Bytes that don't match stay; without it, all bytes are meant.
    pub(crate) only: Option<Select>,
    pub(crate) set: StateBits,
    pub(crate) clear: StateBits,
}

impl Edit {
    fn apply(&self, bits: StateBits) -> StateBits {
        match self.only {
            Some(only) if !only.matches(bits) => bits,
            _ => bits.difference(self.clear).union(self.set),
        }
    }
}

/// The states of one file, without any locking.
///
/// I1 and I2 hold between calls.
#[derive(Default)]
pub(crate) struct States {
    segments: Segments,
    /// Where the last edit began.
    recent: Position,
    /// Scratch of [`States::edit`], kept for its capacity.
    new: Vec<Segment>,
}

impl States {
    /// An edit of a range that is one segment or none and touches no other, which is the usual
    /// case: whether it changed anything. Others are left to [`States::edit_touching`].
    pub(crate) fn edit_alone(&mut self, range: &Range<u64>, edit: &Edit) -> Option<bool> {
        if range.is_empty() {
            return Some(false);
        }
        let at = self.seek(range.start);
        let bits = self.bits_alone(at, range)?;
        let edited = edit.apply(bits);
        if edited == bits {
            return Some(false);
        }
        let Range { start, end } = *range;
        let new = Segment {
            start,
            end,
            bits: edited,
        };
        match (bits.is_empty(), edited.is_empty()) {
            (true, _) => self.segments.insert(at, new),
            (false, true) => self.segments.remove(at),
            (false, false) => self.segments.set_bits(at, edited),
        }
        Some(true)
    }

    /// As [`Segments::seek`]; at once where the last edit was, as bits are often set, converted and
    /// cleared on one range.
    fn seek(&mut self, at: u64) -> Position {
        if !self.segments.is_first_from(self.recent, at) {
            self.recent = self.segments.seek(at);
        }
        self.recent
    }

    /// The bits of such a range, of which the position is the first segment that touches it.
    fn bits_alone(&self, from: Position, range: &Range<u64>) -> Option<StateBits> {
        match self.segments.get(from) {
            Some(first) if first.range() == *range => {
                let next = self.segments.get_after(from);
                let alone = next.is_none_or(|next| next.start > range.end);
                alone.then_some(first.bits)
            }
            Some(first) if first.start <= range.end => None,
            _ => Some(StateBits::empty()),
        }
    }

    /// An edit of any range that is not empty. The segments that touch it are looked at too: they
    /// may have to merge with what changes.
    pub(crate) fn edit_touching(&mut self, range: Range<u64>, edit: &Edit) -> Change {
        let mut change = Change::default();
        let from = self.seek(range.start);
        let new = &mut self.new;
        new.clear();
        let mut step = |new: &mut Vec<_>, part: Range<u64>, bits: StateBits| {
            let edited = edit.apply(bits);
            if edited != bits && !part.is_empty() {
                change.push(part.clone());
            }
            append(new, part, edited);
        };

        let mut count = 0;
        let mut done = range.start;
        for segment in self.segments.iter_from(from) {
            let Segment { start, end, bits } = *segment;
            if start > range.end {
                break;
            }
            count += 1;
            append(new, start..end.min(range.start), bits);
            step(new, done..start.max(done), StateBits::empty());
            let inside = start.max(range.start)..end.min(range.end).max(done);
            done = inside.end;
            step(new, inside, bits);
            append(new, start.max(range.end)..end, bits);
        }
        step(new, done..range.end, StateBits::empty());

        if !change.is_empty() {
            self.segments.splice(from, count, &self.new);
        }
        change
    }

    /// The states from `range.start` on, cut to the range.
    pub(crate) fn iter(
        &self,
        range: Range<u64>,
    ) -> impl Iterator<Item = (Range<u64>, StateBits)> + '_ {
        self.segments
            .iter_from(self.segments.seek(range.start))
            .take_while(move |segment| segment.start < range.end)
            .map(move |segment| {
                let Range { start, end } = segment.range();
                (start.max(range.start)..end.min(range.end), segment.bits)
            })
            .filter(|(part, _)| !part.is_empty())
    }

    pub(crate) fn find(
        &self,
        range: Range<u64>,
        select: Select,
    ) -> Option<(Range<u64>, StateBits)> {
        self.iter(range).find(|&(_, bits)| select.matches(bits))
    }

    pub(crate) fn find_contiguous(
        &self,
        range: Range<u64>,
        select: Select,
        max_len: u64,
    ) -> Option<Range<u64>> {
        let mut found: Option<Range<u64>> = None;
        for (part, bits) in self.iter(range) {
            match (&mut found, select.matches(bits)) {
                (None, false) => continue,
                (None, true) => found = Some(part),
                (Some(found), true) if found.end == part.start => found.end = part.end,
                (Some(_), _) => break,
            }
            if let Some(found) = &mut found
                && found.end - found.start >= max_len
            {
                found.end = found.start + max_len;
                break;
            }
        }
        found.filter(|found| !found.is_empty())
    }

    pub(crate) fn covered(&self, range: Range<u64>, select: Select) -> bool {
        let mut done = range.start;
        for (part, bits) in self.iter(range.clone()) {
            if part.start != done || !select.matches(bits) {
                return false;
            }
            done = part.end;
        }
        done >= range.end
    }

    pub(crate) fn count(&self, range: Range<u64>, select: Select) -> u64 {
        self.iter(range)
            .filter(|&(_, bits)| select.matches(bits))
            .map(|(part, _)| part.end - part.start)
            .sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }
}

/// Adds `part` behind `new`; here I1 and I2 are made true.
fn append(new: &mut Vec<Segment>, part: Range<u64>, bits: StateBits) {
    if part.is_empty() || bits.is_empty() {
        return;
    }
    match new.last_mut() {
        Some(last) if last.end == part.start && last.bits == bits => last.end = part.end,
        _ => new.push(Segment {
            start: part.start,
            end: part.end,
            bits,
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: u64 = 160;

    /// A byte an entry; what the tree must agree with.
    struct Oracle([StateBits; SIZE as usize]);

    impl Oracle {
        fn states(&self) -> Vec<(Range<u64>, StateBits)> {
            let mut new = Vec::new();
            for at in 0..SIZE {
                append(&mut new, at..at + 1, self.0[at as usize]);
            }
            new.into_iter()
                .map(|segment| (segment.range(), segment.bits))
                .collect()
        }

        fn runs(&self, hit: impl Fn(u64, StateBits) -> bool) -> Vec<Range<u64>> {
            let mut runs: Vec<Range<u64>> = Vec::new();
            for at in 0..SIZE {
                if hit(at, self.0[at as usize]) {
                    match runs.last_mut() {
                        Some(last) if last.end == at => last.end += 1,
                        _ => runs.push(at..at + 1),
                    }
                }
            }
            runs
        }
    }

    fn bits() -> impl Strategy<Value = StateBits> {
        (0_u32..8).prop_map(StateBits::from_bits_truncate)
    }

    fn select() -> impl Strategy<Value = Select> {
        (1_u32..8, 0_u32..8, any::<bool>()).prop_map(|(wanted, none, all)| {
            let wanted = StateBits::from_bits_truncate(wanted);
            let none = StateBits::from_bits_truncate(none);
            if all {
                Select::all(wanted).without(none)
            } else {
                Select::any(wanted).without(none)
            }
        })
    }

    /// Any range, or one of those that touch no other.
    fn range() -> impl Strategy<Value = Range<u64>> {
        let len = prop_oneof![3 => 0..12_u64, 1 => 0..=SIZE];
        prop_oneof![
            3 => (0..=SIZE, len).prop_map(|(start, len)| start..(start + len).min(SIZE)),
            1 => (0..SIZE / 8).prop_map(|nth| nth * 8..nth * 8 + 4),
        ]
    }

    fn edit() -> impl Strategy<Value = (Range<u64>, Edit)> {
        let edit = (proptest::option::of(select()), bits(), bits());
        let edit = edit.prop_map(|(only, set, clear)| Edit { only, set, clear });
        (range(), edit)
    }

    impl States {
        fn edit(&mut self, range: Range<u64>, edit: &Edit) -> Change {
            match self.edit_alone(&range, edit) {
                Some(changed) => Change::of(range, changed),
                None => self.edit_touching(range, edit),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn agrees_with_a_byte_a_sector(
            edits in proptest::collection::vec(edit(), 1..80),
            queries in proptest::collection::vec((0..=SIZE, 0..=SIZE, select(), 0..=SIZE), 1..8),
        ) {
            let mut states = States::default();
            let mut oracle = Oracle([StateBits::empty(); SIZE as usize]);
            for (range, edit) in edits {
                let before = Oracle(oracle.0);
                for at in range.clone() {
                    let byte = &mut oracle.0[at as usize];
                    *byte = edit.apply(*byte);
                }
                let change = states.edit(range, &edit);
                let expected = oracle.runs(|at, bits| before.0[at as usize] != bits);
                prop_assert_eq!(change.bytes(), expected.iter().map(|run| run.end - run.start).sum::<u64>());
                prop_assert_eq!(change.ranges().collect::<Vec<_>>(), expected);
                prop_assert_eq!(states.iter(0..u64::MAX).collect::<Vec<_>>(), oracle.states());
            }
            for (start, end, select, max_len) in queries {
                let runs = oracle.runs(|at, bits| (start..end).contains(&at) && select.matches(bits));
                let total: u64 = runs.iter().map(|run| run.end - run.start).sum();
                prop_assert_eq!(states.count(start..end, select), total);
                prop_assert_eq!(states.covered(start..end, select), total == end.saturating_sub(start));
                let first = states.find(start..end, select).map(|(range, _)| range.start);
                prop_assert_eq!(first, runs.first().map(|run| run.start));
                let contiguous = runs.first().map(|run| run.start..run.end.min(run.start + max_len));
                prop_assert_eq!(
                    states.find_contiguous(start..end, select, max_len),
                    contiguous.filter(|run| !run.is_empty())
                );
            }
        }
    }

    #[test]
    fn the_end_of_the_address_space_is_a_range_like_any_other() {
        let mut states = States::default();
        let set = Edit {
            only: None,
            set: StateBits::USER0,
            clear: StateBits::empty(),
        };
        assert_eq!(states.edit(u64::MAX - 1..u64::MAX, &set).bytes(), 1);
        assert_eq!(states.edit(0..u64::MAX, &set).bytes(), u64::MAX - 1);
        assert_eq!(
            states.iter(0..u64::MAX).collect::<Vec<_>>(),
            [(0..u64::MAX, StateBits::USER0)]
        );
    }
}
