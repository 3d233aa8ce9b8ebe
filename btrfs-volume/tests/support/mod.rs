//! What the tests here share: images made by the kernel, and trees read in both ways.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test binary includes this module and uses a part of it"
)]
#![expect(unreachable_pub, reason = "a module of a test has no outside")]

pub mod image;
pub mod losing;
pub mod read;
pub mod tree;
pub(crate) mod umount;
