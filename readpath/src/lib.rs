//! readpath

mod extent_map;

pub use extent_map::{ExtentKind, ExtentMap};
