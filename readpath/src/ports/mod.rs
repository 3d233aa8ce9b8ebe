//! What this crate asks of others.

mod decode;
mod disk;
mod maps;
mod spawn;
mod verify;

pub use decode::Decode;
pub use disk::{DiskRange, DiskRead};
pub use maps::ExtentMaps;
pub use spawn::{Job, Spawn};
pub use verify::Verify;

use std::error::Error;
use std::fmt::Debug;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a port returns where it fails; kept as the source of an [`Error`](crate::Error).
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Names a disk extent; opaque to this crate. Whatever can be copied, compared, hashed and printed
/// is one.
pub trait Locator: Copy + Eq + Hash + Debug + Send + Sync + 'static {}

impl<T: Copy + Eq + Hash + Debug + Send + Sync + 'static> Locator for T {}

/// Asks a port, whose panic is an error like any other: a job runs on the thread of whichever reader is
/// free, which need not be the one that it is for.
pub(crate) fn or_panicked<T>(
    who: &str,
    ask: impl FnOnce() -> Result<T, BoxError>,
) -> Result<T, BoxError> {
    let answer = catch_unwind(AssertUnwindSafe(ask));
    answer.unwrap_or_else(|_| Err(format!("{who} panicked").into()))
}
