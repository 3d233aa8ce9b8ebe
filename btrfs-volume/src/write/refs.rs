//! Changes of references to extents, kept until the commit enters them into the extent tree.

use std::collections::BTreeMap;

/// What is to become of a node's extent item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeRef {
    /// A new node of `tree`.
    Add { tree: u64, level: u8 },
    /// A node goes. `fresh`: no commit ever referred to it.
    Drop { level: u8, fresh: bool },
}

/// What refers to a data extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DataRef {
    pub(crate) root: u64,
    pub(crate) objectid: u64,
    /// Offset in the file at which the extent would start; may wrap below 0.
    pub(crate) offset: u64,
}

/// Changes of the references to one data extent.
#[derive(Debug, Clone)]
pub(crate) struct DataChange {
    pub(crate) num_bytes: u64,
    /// Allocated in this transaction.
    pub(crate) fresh: bool,
    /// By how much each count changes.
    pub(crate) counts: Vec<(DataRef, i64)>,
}

/// All changes, by address.
#[derive(Debug, Default)]
pub(crate) struct DelayedRefs {
    pub(crate) nodes: BTreeMap<u64, NodeRef>,
    pub(crate) data: BTreeMap<u64, DataChange>,
}

impl DelayedRefs {
    /// Changes the count of `data_ref` to the data extent at `bytenr`.
    pub(crate) fn change_data(
        &mut self,
        bytenr: u64,
        num_bytes: u64,
        data_ref: DataRef,
        by: i64,
        fresh: bool,
    ) {
        let change = self.data.entry(bytenr).or_insert_with(|| DataChange {
            num_bytes,
            fresh,
            counts: Vec::new(),
        });
        change.fresh |= fresh;
        match change.counts.iter_mut().find(|(have, _)| *have == data_ref) {
            Some((_, count)) => *count += by,
            None => change.counts.push((data_ref, by)),
        }
    }
}
