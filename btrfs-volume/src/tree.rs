//! Walking trees: search, ascending iteration, last key.
//!
//! A walk can neither loop nor run deep in a damaged image: a child's level must be its
//! parent's less one, and a root's level is less than [`MAX_LEVEL`](crate::node::MAX_LEVEL).
//! Keys must ascend across leaves, too, so that a scan ends.

use std::ops::RangeInclusive;

use bytes::Bytes;
use uuid::Uuid;

use crate::address::Bytenr;
use crate::error::{Error, Result};
use crate::node::{Expect, Header, Item, KeyPtr, Node};
use crate::ondisk::key::Key;
use crate::sync::Arc;

/// Where a tree starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// The tree's objectid.
    pub tree: u64,
    /// Logical address of the root node.
    pub bytenr: Bytenr,
    /// Transaction that wrote the root node.
    pub generation: u64,
    /// Level of the root node.
    pub level: u8,
}

impl Root {
    /// What its root node must be, on a volume whose nodes carry `fsid`.
    #[must_use]
    pub fn expect(&self, fsid: Uuid) -> Expect {
        Expect {
            tree: self.tree,
            bytenr: self.bytenr,
            fsid,
            generation: Some(self.generation),
            level: Some(self.level),
            first_key: None,
        }
    }
}

/// Where nodes come from.
///
/// Implementers: the node must have been checked against `expect`.
pub trait Nodes {
    /// The node that `expect` describes.
    ///
    /// # Errors
    /// It cannot be read, or is not what was expected.
    fn read_node(&self, expect: &Expect) -> Result<Arc<Node>>;
    /// The UUID that nodes carry.
    fn fsid(&self) -> Uuid;
}

/// The item with exactly `key`.
///
/// # Errors
/// A node on the way cannot be read.
pub fn get<N: Nodes + ?Sized>(nodes: &N, root: &Root, key: &Key) -> Result<Option<Bytes>> {
    let leaf = leaf_for(nodes, root, key)?;
    let items = items(&leaf);
    Ok(search(items, key)
        .ok()
        .and_then(|index| items.get(index))
        .map(|item| item.data.clone()))
}

/// The leaf that `key` is in if it is anywhere.
fn leaf_for<N: Nodes + ?Sized>(nodes: &N, root: &Root, key: &Key) -> Result<Arc<Node>> {
    let mut node = nodes.read_node(&root.expect(nodes.fsid()))?;
    while let Node::Internal(internal) = &*node {
        let ptr = internal.ptrs[internal.child_for(key)];
        let expect = child_expect(root.tree, &internal.header, &ptr);
        node = nodes.read_node(&expect)?;
    }
    Ok(node)
}

/// The items of a leaf; an internal node has none.
fn items(node: &Node) -> &[Item] {
    match node {
        Node::Leaf(leaf) => &leaf.items,
        Node::Internal(_) => &[],
    }
}

fn search(items: &[Item], key: &Key) -> Result<usize, usize> {
    items.binary_search_by(|item| item.key.cmp(key))
}

fn child_expect(tree: u64, parent: &Header, ptr: &KeyPtr) -> Expect {
    Expect {
        tree,
        bytenr: ptr.bytenr,
        fsid: parent.fsid,
        generation: Some(ptr.generation),
        // Only internal nodes have children, and their level is at least 1.
        level: Some(parent.level - 1),
        first_key: Some(ptr.key),
    }
}

/// The items of a range of keys, ascending. Holds one node of each level.
#[derive(Debug)]
pub struct Walk<'a, N: Nodes + ?Sized> {
    nodes: &'a N,
    root: Root,
    /// From the root down: a node and the index of what comes next in it. In all but the last
    /// (the leaf), that is the pointer behind the one gone down.
    path: Vec<(Arc<Node>, usize)>,
    next: Option<Key>,
    last: Key,
}

impl<'a, N: Nodes + ?Sized> Walk<'a, N> {
    /// The items of `range` in the tree at `root`.
    pub fn new(nodes: &'a N, root: Root, range: RangeInclusive<Key>) -> Self {
        let (first, last) = range.into_inner();
        Self {
            nodes,
            root,
            path: Vec::new(),
            next: (first <= last).then_some(first),
            last,
        }
    }

    /// The next item. After an error there is none.
    ///
    /// # Errors
    /// A node on the way cannot be read.
    pub fn try_next(&mut self) -> Result<Option<(Key, Bytes)>> {
        let item = self.step();
        match &item {
            Ok(Some((key, _))) if *key <= self.last => {
                self.next = key.successor();
                return item;
            }
            _ => self.next = None,
        }
        self.path.clear();
        item.map(|_| None)
    }

    fn step(&mut self) -> Result<Option<(Key, Bytes)>> {
        let Some(next) = self.next else {
            return Ok(None);
        };
        if self.path.is_empty() {
            let root = self.root.expect(self.nodes.fsid());
            let node = self.nodes.read_node(&root)?;
            self.descend(node, &next)?;
        }
        while let Some((node, index)) = self.path.last_mut() {
            let at = *index;
            *index += 1;
            match &**node {
                Node::Leaf(leaf) => {
                    if let Some(item) = leaf.items.get(at) {
                        if item.key < next {
                            return Err(out_of_order(self.root.tree, &leaf.header, item.key, next));
                        }
                        return Ok(Some((item.key, item.data.clone())));
                    }
                }
                Node::Internal(internal) => {
                    if let Some(ptr) = internal.ptrs.get(at) {
                        if ptr.key > self.last {
                            return Ok(None);
                        }
                        let expect = child_expect(self.root.tree, &internal.header, ptr);
                        let child = self.nodes.read_node(&expect)?;
                        self.path.push((child, 0));
                        continue;
                    }
                }
            }
            self.path.pop();
        }
        Ok(None)
    }

    /// Goes from `node` down to the leaf where `key` is or would be.
    fn descend(&mut self, mut node: Arc<Node>, key: &Key) -> Result<()> {
        loop {
            let child = match &*node {
                Node::Leaf(leaf) => {
                    let index = leaf.find(key).unwrap_or_else(|index| index);
                    self.path.push((node, index));
                    return Ok(());
                }
                Node::Internal(internal) => {
                    let index = internal.child_for(key);
                    let expect =
                        child_expect(self.root.tree, &internal.header, &internal.ptrs[index]);
                    let child = self.nodes.read_node(&expect)?;
                    self.path.push((Arc::clone(&node), index + 1));
                    child
                }
            };
            node = child;
        }
    }
}

fn out_of_order(tree: u64, leaf: &Header, found: Key, expected: Key) -> Error {
    Error::Node {
        tree,
        bytenr: leaf.bytenr,
        problem: format!("holds {found}, expected at least {expected}"),
    }
}

impl<N: Nodes + ?Sized> Iterator for Walk<'_, N> {
    type Item = Result<(Key, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.try_next().transpose()
    }
}

/// The item with the largest key in `range`.
///
/// # Errors
/// A node on the way cannot be read.
pub fn last<N: Nodes + ?Sized>(
    nodes: &N,
    root: &Root,
    range: RangeInclusive<Key>,
) -> Result<Option<(Key, Bytes)>> {
    let (first, last) = range.into_inner();
    // The way down goes to the last child that starts at or before `last`; its first key is in
    // it, so that no sibling needs to be looked at.
    let leaf = leaf_for(nodes, root, &last)?;
    let items = items(&leaf);
    let end = search(items, &last).map_or_else(|index| index, |index| index + 1);
    Ok(end
        .checked_sub(1)
        .and_then(|index| items.get(index))
        .filter(|item| item.key >= first)
        .map(|item| (item.key, item.data.clone())))
}
