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

/// What a port returns where it fails; kept as the source of an [`Error`](crate::Error).
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Names a disk extent; opaque to this crate. Whatever can be copied, compared, hashed and printed
/// is one.
pub trait Locator: Copy + Eq + Hash + Debug + Send + Sync + 'static {}

impl<T: Copy + Eq + Hash + Debug + Send + Sync + 'static> Locator for T {}
