//! Bytes to compress.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test file is a crate of its own and uses a part"
)]

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

const WORDS: [&str; 16] = [
    "delalloc",
    "ordered",
    "extent",
    "writeback",
    "folio",
    "uptodate",
    "dirty",
    "sector",
    "node",
    "chunk",
    "inline",
    "bookend",
    "prealloc",
    "hole",
    "quota",
    "snapshot",
];

/// Numbers without end. The same as in vectors/make.py, like all that is made of them.
fn steps(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

/// Words, in lines.
pub(crate) fn text(len: usize, seed: u64) -> Vec<u8> {
    let words = steps(seed).flat_map(|state| {
        let word = WORDS[(state >> 32 & 15) as usize];
        let behind = if state >> 40 & 15 == 0 { ".\n" } else { " " };
        [word, behind].concat().into_bytes()
    });
    words.take(len).collect()
}

/// Records of 16 bytes.
pub(crate) fn binary(len: usize, seed: u64) -> Vec<u8> {
    let records = (0_u32..).zip(steps(seed)).flat_map(|(number, state)| {
        let mut record = [0; 16];
        record[..4].copy_from_slice(&(number * 40).to_le_bytes());
        record[4..6].copy_from_slice(&((state >> 32 & 0x3ff) as u16).to_le_bytes());
        record[6] = (state >> 48 & 3) as u8;
        let address = 0x40_0000 + (state >> 20 & 0xfff) * 8;
        record[8..].copy_from_slice(&address.to_le_bytes());
        record
    });
    records.take(len).collect()
}
