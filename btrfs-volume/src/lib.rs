//! A volume in btrfs's format on a block device: superblocks, chunks, COW B-trees, space,
//! transactions.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod address;
mod error;
mod sync;

pub mod device;
pub mod ondisk;

pub use address::{Bytenr, Physical};
pub use error::{Error, ErrorKind, Result};
