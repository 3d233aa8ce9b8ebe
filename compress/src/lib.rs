//! zlib, lzo and zstd exactly as btrfs stores them, behind one narrow trait.
//!
//! Its counterpart in the kernel is `fs/btrfs/compression.c` with `zlib.c`, `lzo.c` and `zstd.c`.
//!
//! # Model
//!
//! A [`Codec`] makes [`Compressor`]s and [`Decompressor`]s, which keep their working memory and
//! are used for one buffer after the other. A [`Registry`] holds the codecs that there are, and is
//! open to a user's own (an example is at [`Codec`]; lz4 comes with the feature `lz4`, and is none
//! of btrfs's). [`Workspaces`] lends compressors and decompressors to threads and takes
//! them back. [`compress_piece`] and [`compress_inline`] decide whether the result is worth
//! keeping; [`advise`] guesses that from a sample, before any work, and [`is_noise`] tells what is
//! beyond doubt. A [`Spec`] is what a user writes to choose, such as `zstd:3`.
//!
//! # Invariants
//!
//! - I1: a compressor writes at most `dst.len()` bytes, or says that the result does not fit.
//! - I2: a decompressor neither panics nor reads or writes out of bounds, whatever `src` holds, and
//!   what it allocates does not depend on lengths in `src`.
//! - I3: a decompressor that has filled `dst` is content, so that the beginning of a longer
//!   extent can be had; zeros behind the stream are ignored, up to a whole sector.
//! - I4: zstd frames have a window of at most 128 KiB and their content size pledged; lzo segment
//!   headers never cross a sector boundary, and an lzo stream has at most 128 KiB. Otherwise
//!   kernels refuse the extent.
//! - I5: what a compressor makes depends on the source, the level and `dst.len()` alone, not on
//!   what it compressed before.
//! - I6: of each kind of workspace at most `limit` exist; who returns one wakes a waiter.
//!
//! # Locking
//!
//! [`Workspaces`] has one mutex a kind and one for the table of kinds, held for a push, a pop or a
//! look-up, never while a workspace is made or used. Taking one waits while `limit` of the kind are
//! in use, so don't take a second of a kind while holding one.
//!
//! # Errors
//!
//! [`Error`] names the codec. A result that does not fit is not an error, and the decision about a
//! piece never fails: [`Verdict::Raw`] carries the reason.
//!
//! # How good the guess is
//!
//! `cargo run --release -p compress --example heuristic -- zstd:3 /usr` asks [`advise`] about each
//! 128 KiB of the files there and compresses them all the same. Of 75,559 pieces of a Debian system
//! with compilers, 71,092 shrink by a sector or more; `advise` gives up 0.9 % of these, and with
//! them 0.10 % of what compression saves (by the rules of the kernel alone: 6.5 % and 2.9 %). Of
//! the 4,467 that do not shrink it lets 21 % be tried (2.6 %). Of its answers yes 1.3 % are wrong,
//! of its answers no 16 %; these pieces would have shrunk by 4 %.
//!
//! It was tuned on these; how it does elsewhere, the README tells. It takes some 15 us, and codecs that
//! are [quick on noise](Codec::is_quick_on_noise) give up as fast. For them there is [`is_noise`], which
//! takes 3 us if the piece is in the cache, and lost nothing of what zstd:3 saves on any data that it
//! was tried on. [`is_noise_throughout`] takes three times as long and lost nothing to any codec;
//! [`may_be_noise`] says at once whether to ask.
//!
//! # What it is not
//!
//! It does no I/O, verifies no checksums of sectors, and knows no files.
//!
//! # Example
//!
//! ```
//! use compress::{Registry, Spec, Verdict, Workspaces, compress_piece};
//!
//! let workspaces = Workspaces::new(Registry::btrfs(), 2);
//! let method = "zstd:3".parse::<Spec>()?.method().expect("it is not none");
//! let text = b"the same again, ".repeat(8192);
//! let mut packed = vec![0; text.len()];
//!
//! let verdict = compress_piece(&workspaces, method, &text, &mut packed, 4096);
//! let Verdict::Compressed { stored, .. } = verdict else {
//!     panic!("text shrinks");
//! };
//! assert_eq!(stored, 4096);
//!
//! let mut back = vec![0; text.len()];
//! let mut decompressor = workspaces.decompressor(method.codec)?;
//! assert_eq!(decompressor.decompress(&packed[..stored], &mut back)?, text.len());
//! assert_eq!(back, text);
//! # Ok::<(), compress::Error>(())
//! ```
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod codec;
mod error;
mod heuristic;
#[cfg(feature = "lz4")]
mod lz4;
mod lzo;
mod lzo1x;
mod noise;
mod piece;
mod registry;
mod shelf;
mod spec;
mod sync;
mod workspaces;
mod zlib;
mod zstd;

#[cfg(all(test, shuttle))]
mod models;

pub use codec::{Codec, CodecId, Compressor, Decompressor};
pub use error::Error;
pub use heuristic::{Advice, Likely, Unlikely, advise};
#[cfg(feature = "lz4")]
pub use lz4::Lz4;
pub use lzo::{Lzo, SECTOR_SIZE};
pub use noise::{is_noise, is_noise_throughout, may_be_noise};
pub use piece::{RawReason, Verdict, compress_inline, compress_piece, room_to_save};
pub use registry::Registry;
pub use spec::{Method, Spec};
pub use workspaces::{CompressorLease, DecompressorLease, Workspaces};
pub use zlib::Zlib;
pub use zstd::Zstd;
