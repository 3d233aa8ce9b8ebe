//! Sorted changes are applied to a COW B-tree in one pass.
//!
//! Each leaf that a change falls into is merged with its changes and cut into as many leaves as
//! that takes; the parent gets the list of what took the child's place and does the same. So a
//! node is written once however many changes it gets, and the resulting tree depends on nothing
//! but the old tree and the set of changes.
//!
//! Which nodes may be changed in place is the [`NodeStore`]'s to say: those of the running
//! transaction. Trees that share nodes can be added there: a shared node is loaded, its old place
//! stays allocated, and its children get another reference.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;

use bytes::Bytes;

use crate::address::Bytenr;
use crate::error::{Error, Result};
use crate::node::{ITEM_SIZE, Item, KeyPtr, internal_capacity, leaf_capacity};
use crate::ondisk::Key;
use crate::tree::Root;

/// Changes by key: put this item, or delete it.
pub(crate) type Changes = BTreeMap<Key, Option<Bytes>>;

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Level 0.
    Leaf(Vec<Item>),
    /// Above.
    Internal(Vec<KeyPtr>),
}

/// Where nodes are taken from and put.
pub(crate) trait NodeStore {
    /// Bytes of a node.
    fn nodesize(&self) -> usize;
    /// The running transaction. Its nodes may be changed in place.
    fn transid(&self) -> u64;
    /// What a node holds. A node of the running transaction is taken out and must be
    /// [stored](Self::store) again or [freed](Self::free).
    fn load(&mut self, tree: u64, ptr: &KeyPtr, level: u8, is_root: bool) -> Result<Body>;
    /// Space for a new node.
    fn allocate(&mut self, tree: u64, level: u8) -> Result<Bytenr>;
    /// Gives a node's space back.
    fn free(&mut self, tree: u64, ptr: &KeyPtr, level: u8);
    /// Sets what a node of the running transaction holds.
    fn store(&mut self, tree: u64, bytenr: Bytenr, level: u8, body: Body);
}

/// A child as its parent sees it once changes were applied.
struct Kid {
    ptr: KeyPtr,
    /// Bytes in use, of a node that lost something and may be too empty now.
    shrunk_to: Option<usize>,
}

/// Applies `changes` to the tree at `root`.
///
/// # Errors
/// Of the store; [`Error::TooLarge`] for an item that no leaf can hold. The tree is broken then.
pub(crate) fn apply<S: NodeStore>(store: &mut S, root: &mut Root, changes: Changes) -> Result<()> {
    let mut batch = Batch {
        tree: root.tree,
        leaf_capacity: leaf_capacity(store.nodesize()),
        internal_capacity: internal_capacity(store.nodesize()),
        changes: changes.into_iter().peekable(),
        store,
    };
    let ptr = KeyPtr {
        key: Key::MIN,
        bytenr: root.bytenr,
        generation: root.generation,
    };
    let mut level = root.level;
    let mut kids = batch.update(ptr, level, None, true, true)?;
    while kids.len() > 1 {
        level += 1;
        if level >= crate::node::MAX_LEVEL {
            return Err(Error::NoSpace {
                what: "another level of a tree",
                wanted: 1,
                available: 0,
            });
        }
        let ptrs = kids.into_iter().map(|kid| kid.ptr).collect();
        kids = batch.emit_internal(None, level, ptrs, true)?;
    }
    let mut top = match kids.pop() {
        Some(kid) => kid.ptr,
        None => {
            level = 0;
            let bytenr = batch.store.allocate(root.tree, 0)?;
            batch
                .store
                .store(root.tree, bytenr, 0, Body::Leaf(Vec::new()));
            KeyPtr {
                key: Key::MIN,
                bytenr,
                generation: batch.store.transid(),
            }
        }
    };
    // Only a node that was changed can have become superfluous.
    while level > 0 && top.generation == batch.store.transid() {
        let Body::Internal(ptrs) = batch.store.load(root.tree, &top, level, true)? else {
            return Err(wrong_level(root.tree, &top));
        };
        if let [only] = ptrs[..] {
            batch.store.free(root.tree, &top, level);
            top = only;
            level -= 1;
        } else {
            batch
                .store
                .store(root.tree, top.bytenr, level, Body::Internal(ptrs));
            break;
        }
    }
    root.bytenr = top.bytenr;
    root.generation = top.generation;
    root.level = level;
    Ok(())
}

fn wrong_level(tree: u64, ptr: &KeyPtr) -> Error {
    Error::Node {
        tree,
        bytenr: ptr.bytenr,
        problem: "is not of the level that its parent says".into(),
    }
}

struct Batch<'a, S> {
    tree: u64,
    leaf_capacity: usize,
    internal_capacity: usize,
    /// What is applied is freed, so that nodes take its place.
    changes: Peekable<btree_map::IntoIter<Key, Option<Bytes>>>,
    store: &'a mut S,
}

impl<S: NodeStore> Batch<'_, S> {
    /// Applies the changes below `bound` to the node at `ptr`; returns what takes its place.
    /// `edge`: nothing in the tree is to its right. The depth is that of the tree, at most 8.
    fn update(
        &mut self,
        ptr: KeyPtr,
        level: u8,
        bound: Option<Key>,
        edge: bool,
        is_root: bool,
    ) -> Result<Vec<Kid>> {
        match self.store.load(self.tree, &ptr, level, is_root)? {
            Body::Leaf(items) if level == 0 => self.update_leaf(ptr, items, bound, edge),
            Body::Internal(ptrs) if level > 0 => {
                self.update_internal(ptr, level, ptrs, bound, edge)
            }
            _ => Err(wrong_level(self.tree, &ptr)),
        }
    }

    fn update_leaf(
        &mut self,
        ptr: KeyPtr,
        items: Vec<Item>,
        bound: Option<Key>,
        edge: bool,
    ) -> Result<Vec<Kid>> {
        let mut merged: Vec<Item> = Vec::with_capacity(items.len() + 16);
        let mut changed = false;
        let mut lost = false;
        let mut old = items.into_iter().peekable();
        loop {
            if edge && old.peek().is_none() && self.changes.peek().is_some() {
                return self.append(ptr, merged, changed, lost);
            }
            let change = self.changes.next_if(|(key, _)| {
                bound.is_none_or(|bound| *key < bound)
                    && old.peek().is_none_or(|item| *key <= item.key)
            });
            let Some((key, data)) = change else {
                match old.next() {
                    Some(item) => {
                        merged.push(item);
                        continue;
                    }
                    None => break,
                }
            };
            let replaced = old.next_if(|item| item.key == key);
            match data {
                Some(data) => {
                    let item = self.item(key, data)?;
                    if replaced.as_ref().is_some_and(|old| old.data == item.data) {
                        merged.extend(replaced);
                        continue;
                    }
                    merged.push(item);
                    changed = true;
                }
                None => {
                    changed |= replaced.is_some();
                    lost |= replaced.is_some();
                }
            }
        }
        if !changed {
            return Ok(self.keep_leaf(ptr, merged));
        }
        self.emit_leaves(ptr, merged, lost)
    }

    /// An item that a leaf can hold.
    fn item(&self, key: Key, data: Bytes) -> Result<Item> {
        if ITEM_SIZE + data.len() > self.leaf_capacity {
            return Err(Error::TooLarge {
                what: "an item",
                len: data.len() as u64,
                max: (self.leaf_capacity - ITEM_SIZE) as u64,
            });
        }
        Ok(Item { key, data })
    }

    fn keep_leaf(&mut self, ptr: KeyPtr, items: Vec<Item>) -> Vec<Kid> {
        if ptr.generation == self.store.transid() {
            self.store
                .store(self.tree, ptr.bytenr, 0, Body::Leaf(items));
        }
        vec![Kid {
            ptr,
            shrunk_to: None,
        }]
    }

    /// Puts all other changes behind `merged`, which takes the place of the tree's last leaf, `old`.
    /// Each leaf is filled and stored before the next one is begun: what is appended may be all that
    /// a tree will hold.
    fn append(
        &mut self,
        old: KeyPtr,
        merged: Vec<Item>,
        mut changed: bool,
        lost: bool,
    ) -> Result<Vec<Kid>> {
        let mut place = Place::of(old, self.store.transid());
        let mut kids = Vec::new();
        let mut leaf = Vec::with_capacity(merged.len() + 16);
        let mut space = 0;
        let mut merged = merged.into_iter();
        loop {
            let item = match (merged.next(), self.changes.peek()) {
                (Some(item), _) => item,
                (None, None) => break,
                (None, Some(_)) => match self.changes.next() {
                    Some((key, Some(data))) => {
                        changed = true;
                        self.item(key, data)?
                    }
                    // There is nothing to delete.
                    _ => continue,
                },
            };
            if space + item.space() > self.leaf_capacity {
                let next = Vec::with_capacity(leaf.len() + 16);
                kids.push(self.emit_leaf(&mut place, std::mem::replace(&mut leaf, next))?);
                space = 0;
            }
            space += item.space();
            leaf.push(item);
        }
        if !changed {
            return Ok(self.keep_leaf(old, leaf));
        }
        if leaf.is_empty() {
            self.store.free(self.tree, &old, 0);
            return Ok(Vec::new());
        }
        let mut last = self.emit_leaf(&mut place, leaf)?;
        last.shrunk_to = (kids.is_empty() && lost).then_some(space);
        kids.push(last);
        Ok(kids)
    }

    /// Cuts `items` into leaves of about the same size, the first in the place of `old`.
    fn emit_leaves(&mut self, old: KeyPtr, items: Vec<Item>, lost: bool) -> Result<Vec<Kid>> {
        let mut place = Place::of(old, self.store.transid());
        if items.is_empty() {
            self.store.free(self.tree, &old, 0);
            return Ok(Vec::new());
        }
        let total: usize = items.iter().map(Item::space).sum();
        let leaves = total.div_ceil(self.leaf_capacity);
        let target = total.div_ceil(leaves);
        let mut kids = Vec::with_capacity(leaves + 1);
        let mut leaf: Vec<Item> = Vec::new();
        let mut space = 0;
        let mut left = total;
        for item in items {
            let next = item.space();
            let full = space + next > self.leaf_capacity;
            // Once what is left fits into this leaf nothing is cut any more.
            let enough = space >= target && space + left > self.leaf_capacity;
            if !leaf.is_empty() && (full || enough) {
                kids.push(self.emit_leaf(&mut place, std::mem::take(&mut leaf))?);
                space = 0;
            }
            space += next;
            left -= next;
            leaf.push(item);
        }
        kids.push(self.emit_leaf(&mut place, leaf)?);
        if let ([kid], true) = (&mut kids[..], lost) {
            kid.shrunk_to = Some(space);
        }
        Ok(kids)
    }

    fn emit_leaf(&mut self, place: &mut Place, items: Vec<Item>) -> Result<Kid> {
        let key = items[0].key;
        let bytenr = place.take(self.store, self.tree, 0)?;
        self.store.store(self.tree, bytenr, 0, Body::Leaf(items));
        Ok(Kid {
            ptr: KeyPtr {
                key,
                bytenr,
                generation: self.store.transid(),
            },
            shrunk_to: None,
        })
    }

    fn update_internal(
        &mut self,
        ptr: KeyPtr,
        level: u8,
        ptrs: Vec<KeyPtr>,
        bound: Option<Key>,
        edge: bool,
    ) -> Result<Vec<Kid>> {
        let mut kids: Vec<Kid> = Vec::with_capacity(ptrs.len() + 8);
        let mut changed = false;
        let before = ptrs.len();
        for (index, child) in ptrs.iter().enumerate() {
            let next = ptrs.get(index + 1).map(|next| next.key);
            let child_bound = next.or(bound);
            let concerned = self
                .changes
                .peek()
                .is_some_and(|(key, _)| child_bound.is_none_or(|bound| *key < bound));
            if !concerned {
                kids.push(Kid {
                    ptr: *child,
                    shrunk_to: None,
                });
                continue;
            }
            let child_edge = edge && next.is_none();
            let new = self.update(*child, level - 1, child_bound, child_edge, false)?;
            changed |= !matches!(&new[..], [kid] if kid.ptr == *child);
            kids.extend(new);
        }
        self.join_small(&mut kids, level - 1)?;
        let ptrs: Vec<KeyPtr> = kids.into_iter().map(|kid| kid.ptr).collect();
        if !changed {
            if ptr.generation == self.store.transid() {
                self.store
                    .store(self.tree, ptr.bytenr, level, Body::Internal(ptrs));
            }
            return Ok(vec![Kid {
                ptr,
                shrunk_to: None,
            }]);
        }
        let lost = ptrs.len() < before;
        let left = ptrs.len();
        let mut new = self.emit_internal(Some(ptr), level, ptrs, edge)?;
        if let ([kid], true) = (&mut new[..], lost) {
            kid.shrunk_to = Some(left);
        }
        Ok(new)
    }

    /// Cuts `ptrs` into nodes of `level`, the first in the place of `old`.
    fn emit_internal(
        &mut self,
        old: Option<KeyPtr>,
        level: u8,
        ptrs: Vec<KeyPtr>,
        fill: bool,
    ) -> Result<Vec<Kid>> {
        let transid = self.store.transid();
        let mut place = old.map_or(Place::default(), |old| Place::of(old, transid));
        if ptrs.is_empty() {
            if let Some(old) = old {
                self.store.free(self.tree, &old, level);
            }
            return Ok(Vec::new());
        }
        let nodes = ptrs.len().div_ceil(self.internal_capacity);
        let each = if fill {
            self.internal_capacity
        } else {
            ptrs.len().div_ceil(nodes)
        };
        ptrs.chunks(each)
            .map(|ptrs| {
                let bytenr = place.take(self.store, self.tree, level)?;
                self.store
                    .store(self.tree, bytenr, level, Body::Internal(ptrs.to_vec()));
                Ok(Kid {
                    ptr: KeyPtr {
                        key: ptrs[0].key,
                        bytenr,
                        generation: transid,
                    },
                    shrunk_to: None,
                })
            })
            .collect()
    }

    /// Joins nodes of `level` that became too empty with a neighbour.
    fn join_small(&mut self, kids: &mut Vec<Kid>, level: u8) -> Result<()> {
        let capacity = if level == 0 {
            self.leaf_capacity
        } else {
            self.internal_capacity
        };
        let mut index = 0;
        while index < kids.len() {
            let small = kids[index].shrunk_to.is_some_and(|to| to < capacity / 3);
            // A join makes a node that is looked at again, in the place of the left one.
            let joined = small
                && (index > 0 && self.join(kids, index - 1, level)?
                    || index + 1 < kids.len() && self.join(kids, index, level)?);
            if joined {
                index = index.saturating_sub(1);
            } else {
                index += 1;
            }
        }
        Ok(())
    }

    /// Joins the nodes at `left` and behind it if they fit into one.
    fn join(&mut self, kids: &mut Vec<Kid>, left: usize, level: u8) -> Result<bool> {
        let (a, b) = (kids[left].ptr, kids[left + 1].ptr);
        let first = self.store.load(self.tree, &a, level, false)?;
        let second = self.store.load(self.tree, &b, level, false)?;
        let transid = self.store.transid();
        let (fits, space) = match (&first, &second) {
            (Body::Leaf(x), Body::Leaf(y)) => {
                let space: usize = x.iter().chain(y).map(Item::space).sum();
                (space <= self.leaf_capacity, space)
            }
            (Body::Internal(x), Body::Internal(y)) => {
                let count = x.len() + y.len();
                (count <= self.internal_capacity, count)
            }
            _ => return Err(wrong_level(self.tree, &a)),
        };
        if !fits {
            for (ptr, body) in [(a, first), (b, second)] {
                if ptr.generation == transid {
                    self.store.store(self.tree, ptr.bytenr, level, body);
                }
            }
            return Ok(false);
        }
        let body = match (first, second) {
            (Body::Leaf(mut x), Body::Leaf(y)) => {
                x.extend(y);
                Body::Leaf(x)
            }
            (Body::Internal(mut x), Body::Internal(y)) => {
                x.extend(y);
                Body::Internal(x)
            }
            _ => return Err(wrong_level(self.tree, &a)),
        };
        self.store.free(self.tree, &b, level);
        let bytenr = Place::of(a, transid).take(self.store, self.tree, level)?;
        self.store.store(self.tree, bytenr, level, body);
        kids.remove(left + 1);
        kids[left] = Kid {
            ptr: KeyPtr {
                key: a.key,
                bytenr,
                generation: transid,
            },
            shrunk_to: Some(space),
        };
        Ok(true)
    }
}

/// Where the next node goes: first where the old one was if it is of this transaction.
#[derive(Default)]
struct Place {
    reuse: Option<Bytenr>,
    /// An old node that makes way.
    free: Option<KeyPtr>,
}

impl Place {
    fn of(old: KeyPtr, transid: u64) -> Self {
        if old.generation == transid {
            Self {
                reuse: Some(old.bytenr),
                free: None,
            }
        } else {
            Self {
                reuse: None,
                free: Some(old),
            }
        }
    }

    fn take<S: NodeStore>(&mut self, store: &mut S, tree: u64, level: u8) -> Result<Bytenr> {
        if let Some(old) = self.free.take() {
            store.free(tree, &old, level);
        }
        match self.reuse.take() {
            Some(bytenr) => Ok(bytenr),
            None => store.allocate(tree, level),
        }
    }
}
