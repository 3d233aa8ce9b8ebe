//! The directory that `pack` reads.

mod exclude;
mod link_table;
mod names;
mod walk;
mod xattrs;

pub use exclude::Exclude;
pub use link_table::LinkTable;
pub use names::{Kind, Names};
pub use walk::Walk;
pub use xattrs::Xattrs;
