//! Whether the compressed form of a piece is worth keeping.

use crate::{Error, Method, Workspaces};

/// What to store of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The destination begins with the compressed form.
    Compressed {
        /// Bytes of the stream.
        len: usize,
        /// Bytes to store: the stream and, of an extent, zeros up to a whole sector.
        stored: usize,
    },
    /// Store the source as it is.
    Raw(RawReason),
}

/// Why a piece is stored as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawReason {
    /// The source is so short that nothing could be saved.
    TooShort,
    /// The compressed form does not save enough.
    NoGain,
    /// There is no memory for a workspace, or the codec failed.
    Failed(Error),
}

/// The most bytes that a compressed piece may have: whole sectors, one fewer than the source takes.
/// `None` if the source has only one.
#[must_use]
pub fn room_to_save(src_len: usize, sector_size: usize) -> Option<usize> {
    let room = src_len.checked_next_multiple_of(sector_size)?;
    room.checked_sub(sector_size).filter(|room| *room > 0)
}

/// Compresses an extent's piece, and keeps the result only if it saves at least one sector.
///
/// `dst` should have at least [`room_to_save`] bytes; with fewer the result must fit there. The
/// stream is followed by zeros up to a whole sector. Takes a compressor, so it may wait for one.
///
/// Never fails: what cannot be compressed for whatever reason is stored raw.
pub fn compress_piece(
    workspaces: &Workspaces,
    method: Method,
    src: &[u8],
    dst: &mut [u8],
    sector_size: usize,
) -> Verdict {
    let room = room_to_save(src.len(), sector_size).unwrap_or(0);
    let room = room.min(dst.len() - dst.len() % sector_size);
    let Some(len) = attempt(workspaces, method, src, &mut dst[..room]) else {
        return Verdict::Raw(RawReason::TooShort);
    };
    match len {
        Ok(Some(len)) => {
            let stored = len.next_multiple_of(sector_size);
            dst[len..stored].fill(0);
            Verdict::Compressed { len, stored }
        }
        Ok(None) => Verdict::Raw(RawReason::NoGain),
        Err(error) => Verdict::Raw(RawReason::Failed(error)),
    }
}

/// Compresses the content of a small file that is to be stored in the tree, and keeps the result
/// only if it has at most `limit` bytes and is shorter than the source. Otherwise as
/// [`compress_piece`]; there is no padding.
pub fn compress_inline(
    workspaces: &Workspaces,
    method: Method,
    src: &[u8],
    dst: &mut [u8],
    limit: usize,
) -> Verdict {
    let room = src.len().saturating_sub(1).min(limit).min(dst.len());
    match attempt(workspaces, method, src, &mut dst[..room]) {
        None => Verdict::Raw(RawReason::TooShort),
        Some(Ok(Some(len))) => Verdict::Compressed { len, stored: len },
        Some(Ok(None)) => Verdict::Raw(RawReason::NoGain),
        Some(Err(error)) => Verdict::Raw(RawReason::Failed(error)),
    }
}

/// `None` if there is no room at all.
fn attempt(
    workspaces: &Workspaces,
    method: Method,
    src: &[u8],
    dst: &mut [u8],
) -> Option<Result<Option<usize>, Error>> {
    if dst.is_empty() {
        return None;
    }
    let compressor = workspaces.compressor(method.codec, method.level);
    Some(compressor.and_then(|mut compressor| compressor.compress(src, dst)))
}
