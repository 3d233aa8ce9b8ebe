//! Decompression.

use compress::CodecId;

use super::BoxError;

/// Decompresses. Called from several threads at once; workspaces are the implementer's.
pub trait Decode: Send + Sync {
    /// Decompresses `src`, which zero padding may follow, into `dst`, and returns how many bytes it
    /// produced. Output that is longer than `dst` is cut there.
    ///
    /// # Errors
    ///
    /// An unknown codec, or a `src` that is not its output.
    fn decode(&self, codec: CodecId, src: &[u8], dst: &mut [u8]) -> Result<usize, BoxError>;
}

impl Decode for compress::Workspaces {
    fn decode(&self, codec: CodecId, src: &[u8], dst: &mut [u8]) -> Result<usize, BoxError> {
        Ok(self.decompressor(codec)?.decompress(src, dst)?)
    }
}
