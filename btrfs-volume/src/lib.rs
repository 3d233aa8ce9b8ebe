//! A volume in btrfs's format on one block device, without the kernel: reading all of it, making
//! one and filling it.
//!
//! The kernel's counterpart is `fs/btrfs` below its inodes: `disk-io.c`, `volumes.c`, `ctree.c`,
//! `extent-tree.c`, `transaction.c` and what decodes and encodes items.
//!
//! # The model
//!
//! - [`device`]: the port [`BlockDevice`](device::BlockDevice); a file or memory.
//! - [`ondisk`]: every item as a plain struct, decoded and encoded.
//! - [`Storage`]: logical addresses: the chunk map, copies, nodes and their cache.
//! - [`node`], [`tree`]: nodes checked against all that is known of them; search and iteration.
//! - [`Committed`]: the trees that one superblock leads to. [`Volume`]: the last of these, and
//!   the running transaction where there is one.
//! - [`Items`]: the port through which everything above trees looks at either.
//! - [`Reader`], for everything that is `Items`: inodes, names, attributes, extents, checksums,
//!   subvolumes, usage.
//!
//! # Invariants
//!
//! - I1: no bytes of an image make anything here panic, loop or allocate more than in
//!   proportion to what is there: levels decrease on the way down and keys increase along a
//!   scan, or it is an error.
//! - I2: a node is used only if its checksum, address, UUID, generation, level, first key and the
//!   order and bounds of its items are what its parent and the format demand. Where a copy is
//!   not, the next one is tried, and there is a warning.
//! - I3: the node cache takes at most the bytes that it was given.
//! - I4: what a superblock leads to is not overwritten before the next one is durable.
//!
//! # Locking
//!
//! Everything takes `&self`. The chunk map, the node cache, the known roots and the warnings have
//! a lock each, all leaves: none is held during I/O or while another is taken. The transaction
//! has one mutex, which may be held while those are taken.
//!
//! # Errors
//!
//! One [`Error`], which names tree, address, key, what was expected and what was found;
//! [`Error::kind`] is what an errno is chosen by. Data is not verified by reading it: see
//! [`Reader::verify`].
//!
//! # What it is not
//!
//! It neither caches nor (de)compresses data, knows one device only and no checksum but crc32c,
//! and does not replay log trees. Volumes that were made elsewhere are read, not written.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use btrfs_volume::device::MemDevice;
//! use btrfs_volume::{MkfsOptions, OpenOptions, Reader, Volume};
//!
//! # fn main() -> btrfs_volume::Result<()> {
//! let device = Arc::new(MemDevice::new(128 << 20));
//! let mut mkfs = MkfsOptions::default();
//! mkfs.size = Some(128 << 20);
//! mkfs.label = b"example".to_vec();
//! drop(Volume::mkfs(device.clone(), &mkfs)?);
//!
//! let volume = Volume::open(device, &OpenOptions::default())?;
//! let root = volume.default_root()?;
//! assert!(volume.read_dir(root, 0, 100)?.is_empty());
//! assert_eq!(volume.committed().info()?.label, b"example");
//! # Ok(())
//! # }
//! ```
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
