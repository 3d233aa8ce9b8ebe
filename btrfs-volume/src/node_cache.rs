//! Decoded nodes, kept within a budget of bytes.

use std::collections::HashMap;

use crate::address::Bytenr;
use crate::node::Node;
use crate::sync::{Arc, Mutex};

/// Rounds of the clock that a leaf survives without being used.
const LEAF_CREDIT: u8 = 1;
/// The same for an internal node: each of them is on the way to hundreds of leaves.
const INTERNAL_CREDIT: u8 = 4;

/// A cache of nodes with clock eviction, shared by all trees.
///
/// Invariant: the nodes in it together take at most `budget` bytes. Locking: one mutex, held for
/// a lookup or an insertion and never during I/O.
#[derive(Debug)]
pub(crate) struct NodeCache {
    nodesize: usize,
    budget: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    used: usize,
    index: HashMap<Bytenr, usize>,
    slots: Vec<Slot>,
    hand: usize,
}

#[derive(Debug)]
struct Slot {
    node: Arc<Node>,
    size: usize,
    credit: u8,
}

impl Slot {
    fn full_credit(node: &Node) -> u8 {
        match node {
            Node::Leaf(_) => LEAF_CREDIT,
            Node::Internal(_) => INTERNAL_CREDIT,
        }
    }
}

impl NodeCache {
    pub(crate) fn new(nodesize: usize, budget: usize) -> Self {
        Self {
            nodesize,
            budget,
            inner: Mutex::default(),
        }
    }

    /// The node at `bytenr`, if it is here.
    pub(crate) fn get(&self, bytenr: Bytenr) -> Option<Arc<Node>> {
        let mut inner = self.inner.lock();
        let slot = *inner.index.get(&bytenr)?;
        let slot = &mut inner.slots[slot];
        slot.credit = Slot::full_credit(&slot.node);
        Some(Arc::clone(&slot.node))
    }

    /// Keeps `node`, instead of what was kept for its address.
    pub(crate) fn insert(&self, node: &Arc<Node>) {
        let mut inner = self.inner.lock();
        let bytenr = node.header().bytenr;
        inner.remove(bytenr);
        let size = self.size_of(node);
        while inner.used + size > self.budget {
            if !inner.evict_one() {
                // Larger than the whole budget: not kept.
                return;
            }
        }
        let slot = inner.slots.len();
        inner.slots.push(Slot {
            node: Arc::clone(node),
            size,
            credit: 0,
        });
        inner.index.insert(bytenr, slot);
        inner.used += size;
    }

    /// Drops what is kept for `bytenr`.
    pub(crate) fn remove(&self, bytenr: Bytenr) {
        self.inner.lock().remove(bytenr);
    }

    /// Drops everything.
    pub(crate) fn clear(&self) {
        *self.inner.lock() = Inner::default();
    }

    /// Bytes that a node takes in memory. A leaf keeps its buffer, for its items are slices of it.
    fn size_of(&self, node: &Node) -> usize {
        match node {
            Node::Leaf(leaf) => self.nodesize + size_of_val(&leaf.items[..]),
            Node::Internal(internal) => size_of_val(&internal.ptrs[..]),
        }
    }

    /// Bytes in it.
    pub(crate) fn used(&self) -> usize {
        self.inner.lock().used
    }
}

impl Inner {
    fn remove(&mut self, bytenr: Bytenr) {
        if let Some(slot) = self.index.remove(&bytenr) {
            self.take(slot);
        }
    }

    /// Takes a slot out whose index entry is gone; the last slot moves into its place.
    fn take(&mut self, slot: usize) {
        let gone = self.slots.swap_remove(slot);
        self.used -= gone.size;
        if let Some(moved) = self.slots.get(slot) {
            self.index.insert(moved.node.header().bytenr, slot);
        }
    }

    /// Evicts the next node without credit; `false` if there is none at all.
    fn evict_one(&mut self) -> bool {
        while !self.slots.is_empty() {
            self.hand %= self.slots.len();
            let slot = &mut self.slots[self.hand];
            if slot.credit == 0 {
                let bytenr = slot.node.header().bytenr;
                self.remove(bytenr);
                return true;
            }
            slot.credit -= 1;
            self.hand += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::node::{Header, Internal, KeyPtr, Leaf};
    use crate::ondisk::Key;

    const NODESIZE: usize = 4096;

    fn node(bytenr: u64, level: u8) -> Arc<Node> {
        let header = Header {
            fsid: Uuid::nil(),
            bytenr: Bytenr(bytenr),
            flags: 0,
            chunk_tree_uuid: Uuid::nil(),
            generation: 1,
            owner: 5,
            nritems: 0,
            level,
        };
        Arc::new(if level == 0 {
            let items = Vec::new();
            Node::Leaf(Leaf { header, items })
        } else {
            let ptr = KeyPtr {
                key: Key::MIN,
                bytenr: Bytenr(0),
                generation: 1,
            };
            let ptrs = vec![ptr; 100];
            Node::Internal(Internal { header, ptrs })
        })
    }

    #[test]
    fn the_budget_holds_and_used_internal_nodes_stay() {
        let budget = 10 * NODESIZE;
        let cache = NodeCache::new(NODESIZE, budget);
        cache.insert(&node(1, 1));
        for i in 2..1000 {
            cache.insert(&node(i, 0));
            assert!(cache.used() <= budget);
            assert!(cache.get(Bytenr(i)).is_some());
            assert!(cache.get(Bytenr(1)).is_some(), "{i}");
        }
        assert!(cache.get(Bytenr(2)).is_none());
        let again = node(999, 0);
        cache.insert(&again);
        assert!(Arc::ptr_eq(&cache.get(Bytenr(999)).unwrap(), &again));
        cache.remove(Bytenr(999));
        assert!(cache.get(Bytenr(999)).is_none());
        cache.clear();
        assert_eq!(cache.used(), 0);
        let tiny = NodeCache::new(NODESIZE, 100);
        tiny.insert(&node(1, 0));
        assert_eq!(tiny.used(), 0);
    }
}
