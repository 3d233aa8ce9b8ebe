//! What the benches of this workspace share: runs that take turns, and text to compress.

mod input;
mod turns;

pub use input::{random, shuffled, text};
pub use turns::{Run, bench, timed};
