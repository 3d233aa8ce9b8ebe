//! The trees of one commit.

use std::collections::HashMap;
use std::ops::{ControlFlow, RangeInclusive};

use bytes::Bytes;

use crate::address::Bytenr;
use crate::error::{Error, InItem, Result};
use crate::items::Items;
use crate::ondisk::objectid::{CHUNK_TREE, ROOT_TREE};
use crate::ondisk::{Key, RootItem, Superblock, item_type};
use crate::storage::{Geometry, Storage};
use crate::sync::{Arc, RwLock};
use crate::tree::{self, Nodes, Root, Walk};

/// Most roots that are remembered; with more subvolumes than that the rest is looked up.
const ROOTS_KEPT: usize = 4096;

/// The trees as one superblock leads to them. Valid as long as nothing that it leads to is
/// overwritten: until the second commit after it.
#[derive(Debug)]
pub struct Committed {
    storage: Arc<Storage>,
    superblock: Superblock,
    roots: RwLock<HashMap<u64, Root>>,
}

impl Committed {
    /// The trees that `superblock` leads to.
    #[must_use]
    pub fn new(storage: Arc<Storage>, superblock: Superblock) -> Self {
        let known = [
            Root {
                tree: ROOT_TREE,
                bytenr: Bytenr(superblock.root),
                generation: superblock.generation,
                level: superblock.root_level,
            },
            Root {
                tree: CHUNK_TREE,
                bytenr: Bytenr(superblock.chunk_root),
                generation: superblock.chunk_root_generation,
                level: superblock.chunk_root_level,
            },
        ];
        Self {
            storage,
            superblock,
            roots: RwLock::new(known.map(|root| (root.tree, root)).into()),
        }
    }

    /// The superblock.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Where the nodes are.
    #[must_use]
    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// Reads the root tree's root, so that a volume without one is refused when it is opened.
    pub(crate) fn check_roots(&self) -> Result<()> {
        let root = self.root(ROOT_TREE)?;
        self.storage
            .read_node(&root.expect(self.storage.fsid()))
            .map(drop)
    }

    /// Where `tree` starts.
    ///
    /// # Errors
    /// [`Error::NoTree`]; what reading the root tree may answer.
    pub fn root(&self, tree: u64) -> Result<Root> {
        if let Some(root) = self.roots.read().get(&tree) {
            return Ok(*root);
        }
        let (key, item) = self.root_item(tree)?;
        if item.level >= crate::node::MAX_LEVEL {
            return Err(Error::bad_item(
                ROOT_TREE,
                key,
                format!("level is {}, expected less than 8", item.level),
            ));
        }
        let root = Root {
            tree,
            bytenr: Bytenr(item.bytenr),
            generation: item.generation,
            level: item.level,
        };
        let mut roots = self.roots.write();
        if roots.len() < ROOTS_KEPT {
            roots.insert(tree, root);
        }
        Ok(root)
    }

    fn root_item(&self, tree: u64) -> Result<(Key, RootItem)> {
        let first = Key::new(tree, item_type::ROOT_ITEM, 0);
        let last = Key::new(tree, item_type::ROOT_ITEM, u64::MAX);
        // A snapshot's key has the transaction that made it; there is never more than one.
        let root_tree = self.root(ROOT_TREE)?;
        let (key, data) =
            tree::last(&*self.storage, &root_tree, first..=last)?.ok_or(Error::NoTree { tree })?;
        Ok((key, RootItem::decode(&data).in_item(ROOT_TREE, key)?))
    }
}

impl Items for Committed {
    fn geometry(&self) -> Geometry {
        self.storage.geometry()
    }

    fn get(&self, tree: u64, key: &Key) -> Result<Option<Bytes>> {
        tree::get(&*self.storage, &self.root(tree)?, key)
    }

    fn scan(
        &self,
        tree: u64,
        range: RangeInclusive<Key>,
        visit: &mut dyn FnMut(Key, &Bytes) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut walk = Walk::new(&*self.storage, self.root(tree)?, range);
        while let Some((key, data)) = walk.try_next()? {
            if visit(key, &data).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, tree: u64, range: RangeInclusive<Key>) -> Result<Option<(Key, Bytes)>> {
        tree::last(&*self.storage, &self.root(tree)?, range)
    }
}
