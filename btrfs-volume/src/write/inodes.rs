//! The inodes that the running transaction has at hand.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::ondisk::InodeItem;

/// Inodes to one allocation.
const CHUNK: usize = 64;

/// An inode that is in use, so that it need not be decoded and encoded each time.
#[derive(Debug)]
pub(crate) struct Hot {
    pub(crate) item: InodeItem,
    /// Not in the overlay yet.
    pub(crate) dirty: bool,
    /// Index of the next entry of a directory.
    pub(crate) next_index: Option<u64>,
    /// No extent of the file reaches beyond; `None`: not known.
    pub(crate) extents_end: Option<u64>,
    /// No commit has any of its items.
    pub(crate) fresh: bool,
    /// Leaves of an old directory that new entries copy, as far as they are counted.
    pub(crate) scattered: u64,
}

/// Inodes by tree and number. They lie one behind the other in the order in which they came, so that
/// a table which grows moves a few bytes of each and neighbours share the processor's caches.
#[derive(Debug, Default)]
pub(crate) struct Inodes {
    at: HashMap<(u64, u64), usize, RandomState>,
    /// All but the last are full.
    chunks: Vec<Vec<((u64, u64), Hot)>>,
    dirty: Vec<usize>,
}

impl Inodes {
    /// Where an inode lies, until all are forgotten.
    pub(crate) fn find(&self, tree: u64, ino: u64) -> Option<usize> {
        self.at.get(&(tree, ino)).copied()
    }

    pub(crate) fn get(&self, tree: u64, ino: u64) -> Option<&Hot> {
        self.find(tree, ino).map(|at| self.at(at))
    }

    /// The inode at a place that [`find`](Self::find) or [`insert`](Self::insert) told.
    pub(crate) fn at(&self, at: usize) -> &Hot {
        &self.chunks[at / CHUNK][at % CHUNK].1
    }

    /// The same, to be changed: it has to enter the overlay.
    pub(crate) fn dirty(&mut self, at: usize) -> &mut Hot {
        let hot = &mut self.chunks[at / CHUNK][at % CHUNK].1;
        if !std::mem::replace(&mut hot.dirty, true) {
            self.dirty.push(at);
        }
        hot
    }

    /// Adds an inode that is not there yet.
    pub(crate) fn insert(&mut self, tree: u64, ino: u64, hot: Hot) -> usize {
        let at = self.at.len();
        if at / CHUNK == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if hot.dirty {
            self.dirty.push(at);
        }
        self.chunks[at / CHUNK].push(((tree, ino), hot));
        let before = self.at.insert((tree, ino), at);
        debug_assert_eq!(before, None);
        at
    }

    /// Takes what changed, each with its tree and number; it does not count as changed any more.
    pub(crate) fn take_dirty(&mut self, mut each: impl FnMut((u64, u64), &InodeItem)) {
        for at in self.dirty.drain(..) {
            let (id, hot) = &mut self.chunks[at / CHUNK][at % CHUNK];
            hot.dirty = false;
            each(*id, &hot.item);
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.at.clear();
        self.chunks.iter_mut().for_each(Vec::clear);
        self.dirty.clear();
    }
}
