//! Bodies of the fuzz targets: any bytes may go in, and nothing but errors may come out.
//!
//! # Model
//!
//! A target is a function of bytes. It panics where a promise is broken; the fuzzer sees hangs and
//! hoarding of memory from outside. [`decode`] takes a stream for one of the decoders.
//! [`BaseImage::exercise`] takes edits of a good image, since random bytes would hardly ever get
//! past a checksum: edited nodes are sealed again.
//!
//! # Errors
//!
//! Errors are what is expected. [`BaseImage::exercise`] counts them, so that a test can tell whether
//! its edits reach anything.
//!
//! # What it is not
//!
//! No fuzzer: libFuzzer is in `fuzz/libfuzzer`, a few random rounds are in `fuzz/tests`.
//!
//! # Example
//!
//! ```
//! let base = fuzz::BaseImage::new();
//! assert_eq!(base.exercise(&[]), 0);
//! ```

mod decoders;
mod edits;
mod images;
mod sync;
mod walk;

pub use decoders::{decode, decoder_seeds};
pub use images::BaseImage;
