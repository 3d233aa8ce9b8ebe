use std::ops::Range;

use crate::StateBits;

/// A maximal range of bytes in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) bits: StateBits,
}

/// Segments, disjoint and ascending, in arrays of bounded length.
///
/// One search finds a segment together with its neighbours, which every edit
/// needs to merge with, and they are next to each other in memory: that is why
/// it is not a `BTreeMap`.
///
/// No chunk is empty, and `starts[i]` is where `chunks[i]` starts.
#[derive(Default)]
pub(crate) struct Segments {
    starts: Vec<u64>,
    chunks: Vec<Vec<Segment>>,
}

/// Most segments in a chunk.
const FULL: usize = if cfg!(test) { 8 } else { 128 };
/// With fewer segments, a chunk is merged with its neighbour if both fit.
const SPARSE: usize = FULL / 4;

/// Where a segment is; behind the last one, it is the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    chunk: usize,
    index: usize,
}

impl Segments {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The first segment that ends at or behind `at`.
    pub(crate) fn seek(&self, at: u64) -> Position {
        let chunk = partition_point(&self.starts, |&start| start <= at);
        let chunk = chunk.saturating_sub(1);
        let Some(segments) = self.chunks.get(chunk) else {
            return Position { chunk, index: 0 };
        };
        // The chunk before may end at `at` too: then its last segment touches
        // the first of this one, and is the one that is meant.
        if self.starts[chunk] == at
            && let Some(before) = chunk.checked_sub(1)
            && let Some(last) = self.chunks[before].last()
            && last.end == at
        {
            return Position {
                chunk: before,
                index: self.chunks[before].len() - 1,
            };
        }
        let index = partition_point(segments, |segment| segment.end < at);
        if index < segments.len() {
            Position { chunk, index }
        } else {
            Position {
                chunk: chunk + 1,
                index: 0,
            }
        }
    }

    /// Whether `position` is what [`Segments::seek`] would find; `false` where that takes a search.
    pub(crate) fn is_first_from(&self, position: Position, at: u64) -> bool {
        let Position { chunk, index } = position;
        let chunk = self.chunks.get(chunk);
        let pair = chunk.and_then(|chunk| chunk.get(index.checked_sub(1)?..=index));
        pair.is_some_and(|pair| pair[0].end < at && at <= pair[1].end)
    }

    pub(crate) fn get(&self, at: Position) -> Option<&Segment> {
        self.chunks.get(at.chunk)?.get(at.index)
    }

    /// The segment behind one that is there.
    pub(crate) fn get_after(&self, at: Position) -> Option<&Segment> {
        let here = self.chunks[at.chunk].get(at.index + 1);
        here.or_else(|| self.chunks.get(at.chunk + 1)?.first())
    }

    /// The segments from a position on.
    pub(crate) fn iter_from(&self, from: Position) -> impl Iterator<Item = &Segment> + '_ {
        let first = self
            .chunks
            .get(from.chunk)
            .map(|chunk| &chunk[from.index..]);
        let rest = self.chunks.get(from.chunk + 1..).unwrap_or_default();
        first.into_iter().flatten().chain(rest.iter().flatten())
    }

    /// Replaces `count` segments from a position on by `new`.
    pub(crate) fn splice(&mut self, from: Position, count: usize, new: &[Segment]) {
        if from.chunk == self.chunks.len() {
            debug_assert_eq!(count, 0);
            self.append(new);
            return;
        }
        let Position { chunk, index } = from;
        let here = self.chunks[chunk].len() - index;
        if count > here {
            self.remove_front(chunk + 1, count - here);
        }
        let segments = &mut self.chunks[chunk];
        let old = index..index + count.min(here);
        match segments.get_mut(old.clone()) {
            Some(same) if same.len() == new.len() => same.copy_from_slice(new),
            _ => drop(segments.splice(old, new.iter().copied())),
        }
        self.repair(chunk);
    }

    pub(crate) fn insert(&mut self, at: Position, new: Segment) {
        match self.chunks.get_mut(at.chunk) {
            Some(segments) => {
                segments.insert(at.index, new);
                self.repair(at.chunk);
            }
            None => self.append(&[new]),
        }
    }

    /// Removes one that is there.
    pub(crate) fn remove(&mut self, at: Position) {
        self.chunks[at.chunk].remove(at.index);
        self.repair(at.chunk);
    }

    /// Gives one that is there other bits.
    pub(crate) fn set_bits(&mut self, at: Position, bits: StateBits) {
        self.chunks[at.chunk][at.index].bits = bits;
    }

    fn append(&mut self, new: &[Segment]) {
        let Some(first) = new.first() else { return };
        match self.chunks.last_mut() {
            Some(last) if last.len() + new.len() <= FULL => last.extend_from_slice(new),
            // A full chunk stays so: a file written from start to end leaves
            // none that is half empty.
            _ => {
                self.starts.push(first.start);
                self.chunks.push(new.to_vec());
                self.repair(self.chunks.len() - 1);
            }
        }
    }

    /// Removes the first `count` segments of a chunk and of those behind it.
    fn remove_front(&mut self, chunk: usize, mut count: usize) {
        let mut emptied = chunk;
        while count > 0 && count >= self.chunks[emptied].len() {
            count -= self.chunks[emptied].len();
            emptied += 1;
        }
        if count > 0 {
            self.chunks[emptied].drain(..count);
            self.starts[emptied] = self.chunks[emptied][0].start;
        }
        self.chunks.drain(chunk..emptied);
        self.starts.drain(chunk..emptied);
    }

    /// Makes the length and the start of a chunk right again.
    fn repair(&mut self, chunk: usize) {
        let len = self.chunks[chunk].len();
        if len == 0 {
            self.chunks.remove(chunk);
            self.starts.remove(chunk);
            return;
        }
        self.starts[chunk] = self.chunks[chunk][0].start;
        if len > FULL {
            self.split(chunk);
        } else if len < SPARSE {
            let fits = |other: usize| {
                let other = self.chunks.get(other);
                other.is_some_and(|other| other.len() + len <= FULL / 2)
            };
            if fits(chunk + 1) {
                self.merge(chunk);
            } else if chunk > 0 && fits(chunk - 1) {
                self.merge(chunk - 1);
            }
        }
    }

    /// Cuts a chunk that is too long into halves of a full one.
    fn split(&mut self, chunk: usize) {
        let whole = std::mem::take(&mut self.chunks[chunk]);
        let parts = whole.len().div_ceil(FULL / 2 + 1);
        let part = whole.len().div_ceil(parts);
        let cut = || whole.chunks(part);
        let start = |segments: &[Segment]| segments[0].start;
        self.starts.splice(chunk..=chunk, cut().map(start));
        self.chunks.splice(chunk..=chunk, cut().map(<[_]>::to_vec));
    }

    fn merge(&mut self, chunk: usize) {
        let mut next = self.chunks.remove(chunk + 1);
        self.starts.remove(chunk + 1);
        self.chunks[chunk].append(&mut next);
    }
}

/// As the method of slices, with three looks at a time that don't wait for each other: where memory
/// is slow, half the time.
fn partition_point<T>(mut rest: &[T], before: impl Fn(&T) -> bool) -> usize {
    let mut skipped = 0;
    while rest.len() > 4 {
        let quarter = rest.len() / 4;
        let is_before = |nth: usize| usize::from(before(&rest[nth * quarter - 1]));
        let skip = (is_before(1) + is_before(2) + is_before(3)) * quarter;
        skipped += skip;
        // As long whatever was found, so that the processor need not guess.
        rest = &rest[skip..skip + rest.len() - 3 * quarter];
    }
    skipped + rest.iter().filter(|one| before(one)).count()
}

impl Segment {
    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Some touch what follows them, others don't.
    fn segment(start: u64) -> Segment {
        Segment {
            start,
            end: start + if start.is_multiple_of(3) { 5 } else { 10 },
            bits: StateBits::USER0,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Segments at multiples of ten, replaced by index.
        #[test]
        fn agrees_with_one_array(
            splices in proptest::collection::vec((0_usize..100, 0_usize..60, 0_u64..40), 1..30),
        ) {
            let mut segments = Segments::default();
            let mut oracle: Vec<Segment> = Vec::new();
            for (at, count, new) in splices {
                let at = at.min(oracle.len());
                let count = count.min(oracle.len() - at);
                let start = at.checked_sub(1).map_or(0, |before| oracle[before].end);
                let end = oracle.get(at + count).map_or(start + 1000, |after| after.start);
                let new: Vec<Segment> = (0..new)
                    .map(|nth| segment(start.next_multiple_of(10) + 10 * nth))
                    .take_while(|segment| segment.end <= end)
                    .collect();
                let from = oracle.get(at).map_or(u64::MAX, |segment| segment.end);
                segments.splice(segments.seek(from), count, &new);
                oracle.splice(at..at + count, new);

                prop_assert_eq!(segments.is_empty(), oracle.is_empty());
                let start = segments.seek(0);
                prop_assert_eq!(segments.iter_from(start).copied().collect::<Vec<_>>(), oracle.clone());
                let sound = segments.chunks.iter().zip(&segments.starts)
                    .all(|(chunk, &start)| (1..=FULL).contains(&chunk.len()) && chunk[0].start == start);
                prop_assert!(sound && segments.chunks.len() == segments.starts.len());
                for at in 0..2100 {
                    let found = segments.iter_from(segments.seek(at)).next().copied();
                    prop_assert_eq!(found, oracle.iter().find(|segment| segment.end >= at).copied());
                }
            }
        }
    }

    #[test]
    fn a_point_is_found_wherever_it_is() {
        let all: Vec<usize> = (0..200).collect();
        for len in 0..=all.len() {
            for point in 0..=len {
                let found = partition_point(&all[..len], |&at| at < point);
                assert_eq!(found, point, "of {len}");
            }
        }
    }

    #[test]
    fn only_what_a_search_finds_is_taken_for_it() {
        let all: Vec<Segment> = (0..20).map(|nth| segment(nth * 10)).collect();
        let mut segments = Segments::default();
        segments.splice(segments.seek(0), 0, &all);
        let mut known = 0;
        for at in 0..220 {
            let found = segments.seek(at);
            for chunk in 0..=segments.chunks.len() {
                for index in 0..=FULL {
                    let position = Position { chunk, index };
                    let first = segments.is_first_from(position, at);
                    assert!(!first || position == found, "{at}");
                    known += usize::from(first);
                }
            }
        }
        assert!(known > 150, "{known}");
    }

    #[test]
    fn memory_follows_the_number_of_states() {
        let mut segments = Segments::default();
        let all: Vec<Segment> = (0..1000).map(|nth| segment(nth * 10)).collect();
        segments.splice(segments.seek(0), 0, &all);
        assert!(segments.chunks.len() < 1000 / (FULL / 2));
        // All but every hundredth go, one at a time.
        for nth in (0..1000_u64).filter(|nth| !nth.is_multiple_of(100)) {
            segments.splice(segments.seek(nth * 10 + 1), 1, &[]);
        }
        let left: usize = segments.chunks.iter().map(Vec::len).sum();
        assert_eq!(left, 10);
        assert!(segments.chunks.len() <= 5, "{}", segments.chunks.len());
    }

    fn lens(segments: &Segments) -> Vec<usize> {
        segments.chunks.iter().map(Vec::len).collect()
    }

    /// Chunks of so many segments: written from start to end, which fills them, then shrunk.
    fn chunks(wanted: &[usize]) -> Segments {
        let mut segments = Segments::default();
        for nth in 0..(FULL * wanted.len()) as u64 {
            segments.splice(segments.seek(nth * 10 + 1), 0, &[segment(nth * 10)]);
        }
        assert_eq!(lens(&segments), vec![FULL; wanted.len()]);
        for (chunk, &len) in wanted.iter().enumerate() {
            for _ in len..FULL {
                shrink(&mut segments, chunk);
            }
        }
        assert_eq!(lens(&segments), wanted);
        segments
    }

    fn shrink(segments: &mut Segments, chunk: usize) {
        segments.splice(Position { chunk, index: 0 }, 1, &[]);
    }

    #[test]
    fn a_full_chunk_is_cut_when_it_gets_longer() {
        let short = |start| Segment {
            end: start + 5,
            ..segment(start)
        };
        for (new, after) in [
            (&[short(0), short(5)][..], &[FULL, FULL][..]),
            (&[short(0), short(5), short(10)], &[5, 4, FULL]),
        ] {
            let mut segments = chunks(&[FULL - 2, FULL]);
            segments.splice(segments.seek(0), 0, new);
            assert_eq!(lens(&segments), after);
        }
    }

    #[test]
    fn a_sparse_chunk_joins_a_neighbour_if_both_fill_half_of_one() {
        for (before, shrunk, after) in [
            ([2, 2, 8], 1, &[3, 8][..]),
            ([2, 3, 8], 0, &[4, 8]),
            ([2, 4, 8], 0, &[1, 4, 8]),
            ([8, 3, 2], 2, &[8, 4]),
        ] {
            let mut segments = chunks(&before);
            shrink(&mut segments, shrunk);
            assert_eq!(lens(&segments), after);
        }
    }
}
