//! The folios of one file by index, without an allocation for a file of one folio.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::folio::Folio;

/// A map from folio index to folio.
#[derive(Debug, Default)]
pub(crate) struct Folios {
    /// Folio 0 lives here, because most files have no other.
    first: Option<Folio>,
    rest: BTreeMap<u64, Folio>,
}

impl Folios {
    pub(crate) fn get(&self, index: u64) -> Option<&Folio> {
        if index == 0 {
            self.first.as_ref()
        } else {
            self.rest.get(&index)
        }
    }

    pub(crate) fn get_mut(&mut self, index: u64) -> Option<&mut Folio> {
        if index == 0 {
            self.first.as_mut()
        } else {
            self.rest.get_mut(&index)
        }
    }

    /// The folio, an empty one if there was none.
    pub(crate) fn entry(&mut self, index: u64) -> &mut Folio {
        if index == 0 {
            self.first.get_or_insert_default()
        } else {
            self.rest.entry(index).or_default()
        }
    }

    pub(crate) fn remove(&mut self, index: u64) -> Option<Folio> {
        if index == 0 {
            self.first.take()
        } else {
            self.rest.remove(&index)
        }
    }

    /// The folios with an index in `range`, ascending.
    pub(crate) fn range(&self, range: Range<u64>) -> impl Iterator<Item = (u64, &Folio)> {
        let first = self.first.as_ref().filter(|_| range.contains(&0));
        let start = range.start.max(1);
        let rest = self.rest.range(start..range.end.max(start));
        first
            .map(|folio| (0, folio))
            .into_iter()
            .chain(rest.map(|(&index, folio)| (index, folio)))
    }

    /// The folios with an index in `range`, ascending, to be changed.
    pub(crate) fn range_mut(
        &mut self,
        range: Range<u64>,
    ) -> impl Iterator<Item = (u64, &mut Folio)> {
        let first = self.first.as_mut().filter(|_| range.contains(&0));
        let start = range.start.max(1);
        let rest = self.rest.range_mut(start..range.end.max(start));
        first
            .map(|folio| (0, folio))
            .into_iter()
            .chain(rest.map(|(&index, folio)| (index, folio)))
    }

    /// The first index in `range` that has a folio.
    pub(crate) fn first_in(&self, range: Range<u64>) -> Option<u64> {
        self.range(range).next().map(|(index, _)| index)
    }
}
