//! Streams to decompress.

use std::path::Path;

use compress::{CodecId, Lz4, Registry, Workspaces};

/// Extents that a kernel wrote, each in a file that begins with the name of its codec.
const KERNEL_VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../compress/tests/vectors");

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
    let mut decompressor = spaces().decompressor(codec).expect("a codec that is there");
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

fn spaces() -> Workspaces {
    Workspaces::new(Registry::btrfs().with(Lz4), 1)
}

/// Inputs for [`decode`] that are good streams: our own, and of btrfs's codecs those that a kernel
/// wrote.
///
/// # Panics
///
/// If the codec is neither lz4 nor one of btrfs's, or the files with the kernel's cannot be read.
#[must_use]
pub fn decoder_seeds(codec: CodecId) -> Vec<Vec<u8>> {
    let mut seeds = our_seeds(codec);
    seeds.extend(kernel_seeds(codec));
    seeds
}

fn kernel_seeds(codec: CodecId) -> Vec<Vec<u8>> {
    let spaces = spaces();
    let name = spaces
        .registry()
        .get(codec)
        .expect("a codec that is there")
        .name();
    let prefix = format!("{name}-");
    let dir = Path::new(KERNEL_VECTORS)
        .read_dir()
        .expect("the kernel's vectors");
    let mut paths: Vec<_> = dir.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.retain(|path| {
        path.file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
    });
    let with_room = |path| [vec![0], std::fs::read(path).expect("a vector")].concat();
    paths.iter().map(with_room).collect()
}

fn our_seeds(codec: CodecId) -> Vec<Vec<u8>> {
    let spaces = spaces();
    let codec_of = spaces.registry().get(codec).expect("a codec that is there");
    let mut compressor = spaces
        .compressor(codec, codec_of.default_level())
        .expect("a codec that is there");
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
