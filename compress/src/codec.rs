//! The trait of a codec.

use std::ops::RangeInclusive;

use crate::Error;

/// The number of a codec. 1 to 3 are btrfs's; a user's own should be larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodecId(pub u8);

impl CodecId {
    /// `BTRFS_COMPRESS_ZLIB`.
    pub const ZLIB: Self = Self(1);
    /// `BTRFS_COMPRESS_LZO`.
    pub const LZO: Self = Self(2);
    /// `BTRFS_COMPRESS_ZSTD`.
    pub const ZSTD: Self = Self(3);
}

/// Makes compressors and decompressors of one format.
///
/// For implementers: a codec has no state; what is worth keeping between buffers belongs into the
/// compressor and the decompressor.
///
/// # Example
///
/// A codec of one's own, which counts equal bytes. Zeros behind the stream are runs of none.
///
/// ```
/// use std::ops::RangeInclusive;
///
/// use compress::{Codec, CodecId, Compressor, Decompressor, Error, Registry, Workspaces};
///
/// struct Runs;
///
/// impl Codec for Runs {
///     fn id(&self) -> CodecId {
///         CodecId(200)
///     }
///     fn name(&self) -> &'static str {
///         "runs"
///     }
///     fn levels(&self) -> RangeInclusive<i32> {
///         1..=1
///     }
///     fn default_level(&self) -> i32 {
///         1
///     }
///     fn compressor(&self, level: i32) -> Result<Box<dyn Compressor>, Error> {
///         if self.levels().contains(&level) {
///             return Ok(Box::new(Runs));
///         }
///         let (codec, levels) = (self.name(), self.levels());
///         Err(Error::Level { codec, level, levels })
///     }
///     fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
///         Ok(Box::new(Runs))
///     }
/// }
///
/// impl Compressor for Runs {
///     fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Option<usize>, Error> {
///         let mut made = 0;
///         for run in src.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255)) {
///             let Some(pair) = dst.get_mut(made..made + 2) else {
///                 return Ok(None);
///             };
///             pair.copy_from_slice(&[run.len() as u8, run[0]]);
///             made += 2;
///         }
///         Ok(Some(made))
///     }
/// }
///
/// impl Decompressor for Runs {
///     fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, Error> {
///         let mut made = 0;
///         for pair in src.chunks_exact(2) {
///             let len = usize::from(pair[0]).min(dst.len() - made);
///             dst[made..made + len].fill(pair[1]);
///             made += len;
///         }
///         Ok(made)
///     }
/// }
///
/// let workspaces = Workspaces::new(Registry::btrfs().with(Runs), 2);
/// let (mut packed, mut back) = ([0; 4096], [0; 700]);
/// workspaces.compressor(CodecId(200), 1)?.compress(&[7; 700], &mut packed)?;
/// assert_eq!(packed[..8], [255, 7, 255, 7, 190, 7, 0, 0]);
/// workspaces.decompressor(CodecId(200))?.decompress(&packed, &mut back)?;
/// assert_eq!(back, [7; 700]);
/// # Ok::<(), Error>(())
/// ```
pub trait Codec: Send + Sync {
    /// Its number.
    fn id(&self) -> CodecId;
    /// Its name, as a user would write it.
    fn name(&self) -> &'static str;
    /// Levels it takes.
    fn levels(&self) -> RangeInclusive<i32>;
    /// The level for users who name none.
    fn default_level(&self) -> i32;
    /// Whether it finds out so fast that something doesn't shrink that a [guess](crate::advise) would
    /// cost about the same. Then only [noise](crate::is_noise) is worth asking about first.
    fn is_quick_on_noise(&self, level: i32) -> bool {
        let _ = level;
        false
    }
    /// A compressor for one level.
    ///
    /// # Errors
    ///
    /// [`Error::Level`], or [`Error::Context`] if there is no memory for it.
    fn compressor(&self, level: i32) -> Result<Box<dyn Compressor>, Error>;
    /// A decompressor.
    ///
    /// # Errors
    ///
    /// [`Error::Context`].
    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error>;
}

/// Compresses one buffer after the other.
pub trait Compressor: Send {
    /// Compresses all of `src` into the beginning of `dst` and returns how many bytes that took;
    /// `None` if it does not fit. Otherwise `dst` then holds anything.
    ///
    /// For implementers: the result may not depend on earlier calls, or images would differ from
    /// run to run.
    ///
    /// # Errors
    ///
    /// [`Error::Compress`]; the compressor can be used again.
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Option<usize>, Error>;
}

/// Decompresses one buffer after the other.
pub trait Decompressor: Send {
    /// Decompresses `src` into the beginning of `dst` and returns how many bytes it made. It stops
    /// when `dst` is full, and ignores what follows the stream in `src`, which is zeros up to a
    /// whole sector. What follows the bytes made in `dst` is undefined.
    ///
    /// # Errors
    ///
    /// [`Error::Decompress`] if `src` is not what the codec makes; `dst` then holds anything.
    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, Error>;
}
