//! Bytes read as edits of an image.

/// Bytes of one edit.
const LEN: usize = 13;
/// More would only bury what the first ones do.
const MOST: usize = 16;

/// One edit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edit {
    /// Of the superblock, and not of a node.
    pub(crate) superblock: bool,
    /// Make the checksum right afterwards.
    pub(crate) seal: bool,
    /// Which node, modulo how many there are.
    pub(crate) node: usize,
    /// Where in it, modulo its size.
    pub(crate) at: usize,
    /// What to put there.
    pub(crate) value: [u8; 8],
    /// How many bytes of it: 1, 2, 4 or 8.
    pub(crate) width: usize,
    /// Exclusive or, rather than put.
    pub(crate) flip: bool,
}

/// The edits that `bytes` stand for.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Edit> {
    let (edits, _) = bytes.as_chunks::<LEN>();
    edits
        .iter()
        .take(MOST)
        .map(|edit| {
            let [flags, n0, n1, a0, a1, value @ ..] = *edit;
            Edit {
                superblock: flags & 0b111 == 0b111,
                seal: flags & 0b1000 == 0,
                width: 1 << (flags >> 4 & 0b11),
                flip: flags & 0b100_0000 != 0,
                node: usize::from(u16::from_le_bytes([n0, n1])),
                at: usize::from(u16::from_le_bytes([a0, a1])),
                value,
            }
        })
        .collect()
}
