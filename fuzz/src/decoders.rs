//! Streams to decompress.

use compress::{CodecId, Registry, Workspaces};

/// Rooms to decompress into, in bytes.
const ROOMS: [usize; 7] = [131_072, 65_536, 5000, 4096, 100, 1, 0];

/// Decompresses what follows the first byte of `input`, which chooses the room. What comes out
/// fits, and is the same when the decompressor is used again.
///
/// # Panics
///
/// If it isn't so.
pub fn decode(codec: CodecId, input: &[u8]) {
    let Some((first, stream)) = input.split_first() else {
        return;
    };
    let room = ROOMS[usize::from(*first) % ROOMS.len()];
    let spaces = Workspaces::new(Registry::btrfs(), 1);
    let mut decompressor = spaces.decompressor(codec).expect("btrfs has this codec");
    let mut out = vec![0x5a; room];
    let first = decompressor.decompress(stream, &mut out);
    let mut again = vec![0xa5; room];
    let second = decompressor.decompress(stream, &mut again);
    assert_eq!(
        first.is_ok(),
        second.is_ok(),
        "the same stream, another answer"
    );
    if let (Ok(made), Ok(too)) = (first, second) {
        assert!(made <= room, "{made} bytes in a room of {room}");
        assert_eq!(made, too);
        assert!(out[..made] == again[..made], "the same stream, other bytes");
    }
}

/// Inputs for [`decode`] that are good streams.
///
/// # Panics
///
/// If the codec is not one of btrfs's.
#[must_use]
pub fn decoder_seeds(codec: CodecId) -> Vec<Vec<u8>> {
    let spaces = Workspaces::new(Registry::btrfs(), 1);
    let level = if codec == CodecId::LZO { 1 } else { 3 };
    let mut compressor = spaces
        .compressor(codec, level)
        .expect("btrfs has this codec");
    let sources: [Vec<u8>; 4] = [
        b"delayed allocation ".repeat(7000),
        vec![0; 131_072],
        (0..20_000u32).flat_map(u32::to_le_bytes).collect(),
        (0..5000u32)
            .map(|n| (n.wrapping_mul(0x9e37_79b9) >> 27) as u8)
            .collect(),
    ];
    let mut seeds = Vec::new();
    for source in sources {
        let source = &source[..source.len().min(131_072)];
        let mut packed = vec![0; 200_000];
        if let Ok(Some(len)) = compressor.compress(source, &mut packed) {
            let mut seed = vec![0];
            seed.extend(&packed[..len]);
            seeds.push(seed);
        }
    }
    seeds
}
