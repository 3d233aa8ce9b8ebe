//! The batch B-tree against a sorted map.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use proptest::prelude::*;

use super::btree::{Body, NodeStore, apply};
use crate::address::Bytenr;
use crate::error::Result;
use crate::node::{Item, KeyPtr, internal_capacity, leaf_capacity};
use crate::ondisk::Key;
use crate::tree::Root;

/// Nodes in memory that notice every use of a node that is not there.
struct Memory {
    nodes: HashMap<u64, (u8, u64, Body)>,
    transid: u64,
    next: u64,
}

const NODESIZE: usize = 512;

impl NodeStore for Memory {
    fn nodesize(&self) -> usize {
        NODESIZE
    }
    fn transid(&self) -> u64 {
        self.transid
    }
    fn load(&mut self, _: u64, ptr: &KeyPtr, level: u8, _: bool) -> Result<Body> {
        let (have, generation, body) = self.nodes[&ptr.bytenr.0].clone();
        assert_eq!((have, generation), (level, ptr.generation));
        if generation == self.transid {
            self.nodes.remove(&ptr.bytenr.0);
        }
        Ok(body)
    }
    fn allocate(&mut self, _: u64, _: u8) -> Result<Bytenr> {
        self.next += 1;
        Ok(Bytenr(self.next))
    }
    fn free(&mut self, _: u64, ptr: &KeyPtr, _: u8) {
        let had = self.nodes.remove(&ptr.bytenr.0);
        assert!(had.is_some() || ptr.generation == self.transid);
    }
    fn store(&mut self, _: u64, bytenr: Bytenr, level: u8, body: Body) {
        match &body {
            Body::Leaf(items) => {
                let space: usize = items.iter().map(Item::space).sum();
                assert!(space <= leaf_capacity(NODESIZE));
                assert!(items.is_sorted_by(|a, b| a.key < b.key));
            }
            Body::Internal(ptrs) => {
                assert!(!ptrs.is_empty() && ptrs.len() <= internal_capacity(NODESIZE));
                assert!(ptrs.is_sorted_by(|a, b| a.key < b.key));
            }
        }
        let old = self.nodes.insert(bytenr.0, (level, self.transid, body));
        assert!(old.is_none(), "node {bytenr} was stored twice");
    }
}

fn walk(memory: &Memory, ptr: KeyPtr, level: u8, out: &mut Vec<(Key, Bytes)>, seen: &mut usize) {
    let (have, generation, body) = &memory.nodes[&ptr.bytenr.0];
    assert_eq!((*have, *generation), (level, ptr.generation));
    *seen += 1;
    match body {
        Body::Leaf(items) => {
            if let Some(first) = items.first() {
                assert!(ptr.key == first.key || ptr.key == Key::MIN);
            }
            out.extend(items.iter().map(|item| (item.key, item.data.clone())));
        }
        Body::Internal(ptrs) => {
            assert!(ptr.key == ptrs[0].key || ptr.key == Key::MIN);
            for child in ptrs {
                walk(memory, *child, level - 1, out, seen);
            }
        }
    }
}

fn fresh() -> (Memory, Root) {
    let mut memory = Memory {
        nodes: HashMap::new(),
        transid: 1,
        next: 1,
    };
    memory.store(5, Bytenr(1), 0, Body::Leaf(Vec::new()));
    let root = Root {
        tree: 5,
        bytenr: Bytenr(1),
        generation: 1,
        level: 0,
    };
    (memory, root)
}

fn check(memory: &Memory, root: &Root, oracle: &BTreeMap<Key, Bytes>) {
    let ptr = KeyPtr {
        key: Key::MIN,
        bytenr: root.bytenr,
        generation: root.generation,
    };
    let (mut items, mut seen) = (Vec::new(), 0);
    walk(memory, ptr, root.level, &mut items, &mut seen);
    let expected: Vec<_> = oracle.iter().map(|(k, d)| (*k, d.clone())).collect();
    assert_eq!(items, expected);
    assert_eq!(seen, memory.nodes.len(), "nodes that nothing leads to");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn like_a_sorted_map(
        batches in prop::collection::vec(
            (prop::collection::btree_map(
                0..2000u64,
                prop::option::weighted(0.55, 0..380usize),
                0..300,
            ), any::<bool>(), prop::option::weighted(0.2, 0..2000u64)),
            1..8,
        )
    ) {
        let (mut memory, mut root) = fresh();
        let mut oracle = BTreeMap::new();
        for (batch, commit, clear_from) in batches {
            let mut batch: BTreeMap<Key, Option<Bytes>> = batch
                .into_iter()
                .map(|(k, len)| {
                    let data = len.map(|len| Bytes::from(vec![k as u8; len / 4]));
                    (Key::new(k / 7, 1, k), data)
                })
                .collect();
            if let Some(from) = clear_from {
                for key in oracle.keys().filter(|key: &&Key| key.offset >= from) {
                    batch.insert(*key, None);
                }
            }
            for (key, data) in &batch {
                match data {
                    Some(data) => oracle.insert(*key, data.clone()),
                    None => oracle.remove(key),
                };
            }
            apply(&mut memory, &mut root, batch).unwrap();
            check(&memory, &root, &oracle);
            if commit {
                memory.transid += 1;
            }
        }
        let all = oracle.keys().map(|key| (*key, None)).collect();
        apply(&mut memory, &mut root, all).unwrap();
        oracle.clear();
        check(&memory, &root, &oracle);
        prop_assert_eq!(root.level, 0);
    }
}

#[test]
fn appending_fills_leaves() {
    let (mut memory, mut root) = fresh();
    let data = Bytes::from(vec![0; 10]);
    let per_leaf = leaf_capacity(NODESIZE) / 35;
    for batch in 0..20u64 {
        let changes = (0..50)
            .map(|i| (Key::new(batch * 50 + i, 1, 0), Some(data.clone())))
            .collect();
        apply(&mut memory, &mut root, changes).unwrap();
    }
    let leaves = memory.nodes.values().filter(|(level, ..)| *level == 0);
    assert!(leaves.count() <= 1000 / per_leaf + 1);
}
