//! readpath

mod sync;

mod extent_map;

mod ports;

mod plan;

mod error;

mod counters;

mod batch;
mod flight;

mod fetch;
mod load;

mod contents;
mod read_path;

pub use contents::ReadContents;
pub use counters::Stats;
pub use error::{Error, FileId, Source};
pub use extent_map::{ExtentKind, ExtentMap};
pub use plan::{InvalidMap, MAX_COMPRESSED, Piece, RAW_PIECE, ReadPlan, plan};
pub use ports::{BoxError, Decode, DiskRange, DiskRead, ExtentMaps, Job, Locator, Spawn, Verify};
pub use read_path::{File, ReadPath};
