//! The command `ubtrfs`, as a library so that tests can call its parts.
//!
//! Its counterparts are `mkfs.btrfs --rootdir`, `btrfs restore`, `compsize` and coreutils.
//!
//! # Model
//!
//! Each subcommand is a module with one public function. What they do to an image goes through
//! [`fs_core::Filesystem`], generic over its volume; only [`image`] knows that the volume is
//! btrfs's. What they do to the outside goes through directory descriptors, one name at a time.
//!
//! # Invariants
//!
//! - I1: an image appears under its name only once it is whole; until then it has no name, or a
//!   hidden one that is removed on every way out.
//! - I2: `pack` never leaves DIR and `unpack` never leaves its target, whatever names and symlinks
//!   there are and whoever changes them meanwhile: every name is opened relative to its
//!   directory's descriptor, and symlinks are not followed.
//! - I3: neither recursion nor open descriptors grow with the depth of a tree.
//! - I4: what `pack` asks of the filesystem depends on DIR's content alone.
//!
//! # Locking
//!
//! `pack` has one thread; `unpack` hands files to threads that share a queue and nothing else.
//!
//! # Errors
//!
//! What spoils one name is told on stderr, and the exit code is 1 in the end; an [`Error`] ends
//! the command.
//!
//! # What it is not
//!
//! It knows nothing of pages, extents or trees.
//!
//! # Example
//!
//! ```
//! assert_eq!(ubtrfs::size::parse("1.5M").unwrap(), 3 << 19);
//! ```
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

pub mod cat;
pub mod cli;
mod command;
mod error;
pub mod image;
pub mod info;
mod interrupt;
pub mod ls;
pub mod mkfs;
pub mod pack;
pub mod path_in_image;
pub mod quote;
pub mod report;
pub mod size;
pub mod source;
mod sync;
pub mod unpack;
pub mod usage;

pub use command::main;
pub use error::Error;
