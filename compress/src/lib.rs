//! zlib, lzo and zstd exactly as btrfs stores them, behind one narrow trait.
//!
//! Its counterpart in the kernel is `fs/btrfs/compression.c` with `zlib.c`, `lzo.c` and `zstd.c`.
//!
//! # Model
//!
//! A [`Codec`] makes [`Compressor`]s and [`Decompressor`]s, which keep their working memory and
//! are used for one buffer after the other. A [`Registry`] holds the codecs that there are.
//! [`Workspaces`] lends compressors and decompressors to threads and takes them back.
//!
//! # Invariants
//!
//! - I1: a compressor writes at most `dst.len()` bytes, or says that the result does not fit.
//! - I2: a decompressor neither panics nor reads or writes out of bounds, whatever `src` holds.
//! - I3: a decompressor that has filled `dst` is content, so that the beginning of a longer
//!   extent can be had; zeros behind the stream are ignored.
//! - I4: zstd frames have a window of at most 128 KiB and their content size pledged; lzo segment
//!   headers never cross a sector boundary. Without either, kernels refuse the extent.
//!
//! # Locking
//!
//! [`Workspaces`] has one mutex, held for a push or a pop. Nobody ever waits for a workspace: a
//! taker who finds none makes one.
//!
//! # Errors
//!
//! [`Error`] names the codec. A result that does not fit is not an error.
//!
//! # What it is not
//!
//! It does no I/O, knows no files, and does not decide when to compress.
//!
//! # Example
//!
//! ```
//! use compress::{CodecId, Registry, Workspaces};
//! # fn main() -> Result<(), compress::Error> {
//! let workspaces = Workspaces::new(Registry::btrfs(), 2);
//! let text = b"the same again, ".repeat(512);
//! let mut small = vec![0; text.len()];
//! let len = workspaces
//!     .compressor(CodecId::ZSTD, 3)?
//!     .compress(&text, &mut small)?
//!     .expect("text shrinks");
//! let mut back = vec![0; text.len()];
//! workspaces
//!     .decompressor(CodecId::ZSTD)?
//!     .decompress(&small[..len], &mut back)?;
//! assert_eq!(back, text);
//! # Ok(())
//! # }
//! ```

mod codec;
mod error;
mod lzo;
mod registry;
mod sync;
mod workspaces;
mod zlib;
mod zstd;

pub use codec::{Codec, CodecId, Compressor, Decompressor};
pub use error::Error;
pub use lzo::{Lzo, SECTOR_SIZE};
pub use registry::Registry;
pub use workspaces::{CompressorLease, DecompressorLease, Workspaces};
pub use zlib::Zlib;
pub use zstd::Zstd;
