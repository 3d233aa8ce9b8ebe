//! Bytes to compress.

/// `len` bytes of which about one in `spread` is new. The same as in vectors/make.py.
pub(crate) fn some_bytes(len: usize, spread: u64, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes: Vec<u8> = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let byte = match bytes.len().checked_sub(64) {
            Some(back) if !state.is_multiple_of(spread) => bytes[back],
            _ => (state >> 32) as u8,
        };
        bytes.push(byte);
    }
    bytes
}

/// Bytes whose first sector lzo makes `zeros` bytes shorter, more or less, and so its second
/// segment begins near the sector boundary. The same as in vectors/make.py.
pub(crate) fn padded_bytes(len: usize, spread: u64, zeros: usize) -> Vec<u8> {
    let mut bytes = vec![0; zeros];
    bytes.extend(some_bytes(4096 - zeros, 1, zeros as u64));
    bytes.extend(some_bytes(len - 4096, spread, zeros as u64));
    bytes
}
