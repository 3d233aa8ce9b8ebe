//! Writing: transactions over the trees of the last commit.
//!
//! An open transaction keeps, for each tree, the sorted set of pending changes (put this item,
//! delete that one). Reads look at the changes first and at the last commit's trees behind them.
//! No node is touched before the commit applies the changes of each tree, in key order, in one
//! pass. So the trees of a commit are a function of the last commit's trees and of the *set* of
//! changes, not of the order or the threads in which they came; and a node is made once however
//! many changes it gets.
//!
//! Space of data is taken when it is asked for, upwards from a cursor, so where an extent lies
//! depends on the sequence of allocations alone. Space of nodes is taken at the commit.
//!
//! The commit enters the changes of the files' trees and checksums; that makes and frees nodes,
//! which changes the extent tree, the free space tree, block group items and root items, which
//! makes and frees nodes. It repeats that until nothing is left; nodes of the transaction are
//! changed in place, so each round makes fewer. Then it writes all new nodes, flushes, writes
//! the superblocks, flushes, and lets go of what the last commit referred to.
//!
//! Not here yet: writing to a volume that was made elsewhere, and to trees that share nodes with
//! snapshots.
//!
//! Locking: one mutex over the transaction. It is held during a commit; data is read and written
//! without it.

mod arena;
mod btree;
#[cfg(test)]
mod btree_tests;
mod commit;
mod csums;
mod engine;
mod extents;
mod inodes;
mod mkfs;
mod names;
mod ranges;
mod refs;
mod space;
mod state;
mod volume;

pub use extents::NewExtent;
pub use mkfs::{MetadataProfile, MkfsOptions};
pub(crate) use volume::Writer;
