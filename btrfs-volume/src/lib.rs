//! A volume in btrfs's format on a block device: superblocks, chunks, COW B-trees, space,
//! transactions.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod address;
mod chunk_map;
mod error;
#[cfg(feature = "fs-core")]
mod fs_core;
mod items;
mod node_cache;
mod storage;
mod superblock;
mod sync;
mod volume;
mod write;

pub mod device;
pub mod features;
pub mod node;
pub mod ondisk;
pub mod reader;
pub mod tree;

pub use address::{Bytenr, Physical};
pub use chunk_map::ChunkMap;
pub use error::{Error, ErrorKind, Result};
pub use items::Items;
pub use node::{Expect, Header, Internal, Item, KeyPtr, Leaf, Node};
pub use reader::{InodeId, Reader};
pub use storage::{Geometry, Storage};
pub use tree::{Nodes, Root, Walk};
pub use volume::{Committed, Info, OpenOptions, Volume};
pub use write::{MetadataProfile, MkfsOptions, NewExtent};
