//! The nodes of the running transaction.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::panic::resume_unwind;

use uuid::Uuid;

use super::btree::{Body, NodeStore};
use super::refs::{DelayedRefs, NodeRef};
use super::space::{Kind, Space};
use crate::address::Bytenr;
use crate::error::{Error, Result};
use crate::node::{
    Expect, FLAG_MIXED_BACKREF, FLAG_WRITTEN, Header, KeyPtr, Node, encode_internal, encode_leaf,
};
use crate::ondisk::objectid::CHUNK_TREE;
use crate::storage::Storage;
use crate::sync::{Arc, AtomicUsize, Ordering, thread};
use crate::tree::Nodes;

/// Most bytes of nodes that go out in one write.
const WRITE_BYTES: usize = 1 << 20;

/// A node that was made in the running transaction.
#[derive(Debug)]
struct Dirty {
    tree: u64,
    level: u8,
    body: Body,
}

/// Nodes, space and references: what the trees stand on.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) storage: Arc<Storage>,
    pub(crate) transid: u64,
    pub(crate) space: Space,
    pub(crate) refs: DelayedRefs,
    /// Nodes that each tree has more (or fewer) than at the last look.
    pub(crate) node_counts: BTreeMap<u64, i64>,
    pub(crate) chunk_tree_uuid: Uuid,
    dirty: BTreeMap<u64, Dirty>,
    /// How many may encode and write nodes at once.
    pub(crate) threads: usize,
}

impl Engine {
    pub(crate) fn new(
        storage: Arc<Storage>,
        space: Space,
        transid: u64,
        chunk_tree_uuid: Uuid,
    ) -> Self {
        Self {
            storage,
            transid,
            space,
            refs: DelayedRefs::default(),
            node_counts: BTreeMap::new(),
            chunk_tree_uuid,
            dirty: BTreeMap::new(),
            threads: 1,
        }
    }

    /// Writes all nodes of the transaction, every copy.
    pub(crate) fn write_nodes(&mut self) -> Result<()> {
        let most = WRITE_BYTES / self.nodesize();
        let nodesize = self.nodesize() as u64;
        let mut runs: Vec<Run> = Vec::new();
        let mut chunk = 0;
        for (bytenr, node) in std::mem::take(&mut self.dirty) {
            self.storage.forget_node(Bytenr(bytenr));
            match runs.last_mut() {
                Some(run)
                    if run.start + run.nodes.len() as u64 * nodesize == bytenr
                        && run.nodes.len() < most
                        && self.space.group_of(bytenr).0 == chunk =>
                {
                    run.nodes.push(node);
                }
                _ => {
                    chunk = self.space.group_of(bytenr).0;
                    let nodes = vec![node];
                    runs.push(Run {
                        start: bytenr,
                        nodes,
                    });
                }
            }
        }
        let header = Header {
            fsid: self.storage.geometry().node_fsid,
            bytenr: Bytenr(0),
            flags: FLAG_WRITTEN | FLAG_MIXED_BACKREF,
            chunk_tree_uuid: self.chunk_tree_uuid,
            generation: self.transid,
            owner: 0,
            nritems: 0,
            level: 0,
        };
        let helpers = runs.len().min(self.threads) - usize::from(!runs.is_empty());
        let next = AtomicUsize::new(0);
        let work = || write_runs(&self.storage, &header, &runs, &next);
        thread::scope(|scope| {
            let helpers: Vec<_> = (0..helpers)
                // Without a thread there is one helper fewer.
                .filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
                .collect();
            let mut result = work();
            for helper in helpers {
                let theirs = helper.join();
                result = result.and(theirs.unwrap_or_else(|panic| resume_unwind(panic)));
            }
            result
        })
    }
}

/// Nodes that lie side by side.
struct Run {
    start: u64,
    nodes: Vec<Dirty>,
}

/// Encodes and writes runs that nobody else has taken. Where each goes is settled before.
fn write_runs(storage: &Storage, header: &Header, runs: &[Run], next: &AtomicUsize) -> Result<()> {
    let nodesize = storage.geometry().nodesize as usize;
    let mut buf = Vec::new();
    while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
        buf.resize(run.nodes.len() * nodesize, 0);
        for (index, (node, slot)) in run.nodes.iter().zip(buf.chunks_mut(nodesize)).enumerate() {
            let header = Header {
                bytenr: Bytenr(run.start + (index * nodesize) as u64),
                owner: node.tree,
                level: node.level,
                ..*header
            };
            match &node.body {
                Body::Leaf(items) => encode_leaf(&header, items, slot),
                Body::Internal(ptrs) => encode_internal(&header, ptrs, slot),
            }
        }
        write_copies(storage, run.start, &buf)?;
    }
    Ok(())
}

/// Writes `buf` at every place that `bytenr` maps to.
fn write_copies(storage: &Storage, bytenr: u64, buf: &[u8]) -> Result<()> {
    if buf.is_empty() {
        return Ok(());
    }
    for mirror in 0..storage.mirrors(Bytenr(bytenr)) {
        let at = storage.physical(Bytenr(bytenr), buf.len() as u64, mirror)?;
        storage
            .device()
            .write_vectored_at(at.0, &[IoSlice::new(buf)])
            .map_err(|source| Error::Io {
                op: "write",
                offset: at.0,
                len: buf.len() as u64,
                source,
            })?;
    }
    Ok(())
}

impl NodeStore for Engine {
    fn nodesize(&self) -> usize {
        self.storage.geometry().nodesize as usize
    }

    fn transid(&self) -> u64 {
        self.transid
    }

    fn load(&mut self, tree: u64, ptr: &KeyPtr, level: u8, is_root: bool) -> Result<Body> {
        if ptr.generation == self.transid {
            let node = self.dirty.remove(&ptr.bytenr.0);
            return node.map(|node| node.body).ok_or_else(|| Error::Node {
                tree,
                bytenr: ptr.bytenr,
                problem: "is of the running transaction but not in memory".into(),
            });
        }
        let node = self.storage.read_node(&Expect {
            tree,
            bytenr: ptr.bytenr,
            fsid: self.storage.geometry().node_fsid,
            generation: Some(ptr.generation),
            level: Some(level),
            first_key: (!is_root).then_some(ptr.key),
        })?;
        Ok(match &*node {
            Node::Leaf(leaf) => Body::Leaf(leaf.items.clone()),
            Node::Internal(internal) => Body::Internal(internal.ptrs.clone()),
        })
    }

    fn allocate(&mut self, tree: u64, level: u8) -> Result<Bytenr> {
        let kind = if tree == CHUNK_TREE {
            Kind::System
        } else {
            Kind::Metadata
        };
        let bytenr = self.space.allocate(kind, self.nodesize() as u64)?;
        let before = self
            .refs
            .nodes
            .insert(bytenr.0, NodeRef::Add { tree, level });
        debug_assert!(before.is_none(), "allocated space has no pending change");
        *self.node_counts.entry(tree).or_default() += 1;
        Ok(bytenr)
    }

    fn free(&mut self, tree: u64, ptr: &KeyPtr, level: u8) {
        self.dirty.remove(&ptr.bytenr.0);
        *self.node_counts.entry(tree).or_default() -= 1;
        match self.refs.nodes.remove(&ptr.bytenr.0) {
            // Nobody knows of it yet, so nobody needs to hear that it is gone.
            Some(NodeRef::Add { .. }) => {
                let nodesize = self.nodesize() as u64;
                self.space.release(ptr.bytenr.0, nodesize);
            }
            _ => {
                let fresh = ptr.generation == self.transid;
                self.refs
                    .nodes
                    .insert(ptr.bytenr.0, NodeRef::Drop { level, fresh });
            }
        }
    }

    fn store(&mut self, tree: u64, bytenr: Bytenr, level: u8, body: Body) {
        self.dirty.insert(bytenr.0, Dirty { tree, level, body });
    }
}
