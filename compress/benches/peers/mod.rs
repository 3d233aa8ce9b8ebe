//! Ours, and the crates that others would use, with contexts that are used again.

use compress::{
    CodecId, Method, Registry, Verdict, Workspaces, compress_inline, compress_piece, room_to_save,
};
use flate2::{Compression, FlushCompress, FlushDecompress, Status};
use libdeflater::CompressionLvl;
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use zstd_safe::{CCtx, CParameter, DCtx};

const SECTOR: usize = 4 << 10;
/// Of a length in a framing that is made here.
const HEADER: usize = 4;

type Pack = Box<dyn FnMut(&[u8], &mut [u8]) -> Option<usize>>;
type Unpack = Box<dyn FnMut(&[u8], &mut [u8])>;

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Ours decide about a piece with this.
    decide: Option<Pack>,
    pub(crate) pack: Pack,
    pub(crate) unpack: Unpack,
}

impl Peer {
    fn new(
        name: &'static str,
        pack: impl FnMut(&[u8], &mut [u8]) -> Option<usize> + 'static,
        unpack: impl FnMut(&[u8], &mut [u8]) + 'static,
    ) -> Self {
        Self {
            name,
            decide: None,
            pack: Box::new(pack),
            unpack: Box::new(unpack),
        }
    }

    /// Compresses what is kept only if it saves a sector, or a byte of a single sector.
    pub(crate) fn keep(&mut self, src: &[u8], dst: &mut [u8]) -> Option<usize> {
        if let Some(decide) = &mut self.decide {
            return decide(src, dst);
        }
        let room = room_to_save(src.len(), SECTOR).unwrap_or(src.len() - 1);
        (self.pack)(src, &mut dst[..room])
    }
}

pub(crate) fn peers() -> Vec<Peer> {
    vec![
        ours("ours zstd:3", CodecId::ZSTD, 3),
        zstd_safe(),
        zstd_bulk(),
        ours("ours zlib:3", CodecId::ZLIB, 3),
        libdeflater(),
        flate2(),
        ours("ours lzo", CodecId::LZO, 1),
        lzokay(),
        #[cfg(feature = "lz4")]
        ours("ours lz4", compress::Lz4::ID, 1),
        lz4_flex(),
    ]
}

fn ours(name: &'static str, codec: CodecId, level: i32) -> Peer {
    let registry = Registry::btrfs();
    #[cfg(feature = "lz4")]
    let registry = registry.with(compress::Lz4);
    let workspaces = Workspaces::new(registry, 2);
    let (packing, unpacking) = (workspaces.clone(), workspaces.clone());
    let mut peer = Peer::new(
        name,
        move |src, dst| {
            let mut compressor = packing.compressor(codec, level).unwrap();
            compressor.compress(src, dst).unwrap()
        },
        move |src, dst| {
            let mut decompressor = unpacking.decompressor(codec).unwrap();
            decompressor.decompress(src, dst).unwrap();
        },
    );
    let method = Method { codec, level };
    peer.decide = Some(Box::new(move |src, dst| {
        let verdict = match room_to_save(src.len(), SECTOR) {
            None => compress_inline(&workspaces, method, src, dst, SECTOR),
            Some(_) => compress_piece(&workspaces, method, src, dst, SECTOR),
        };
        match verdict {
            Verdict::Compressed { len, .. } => Some(len),
            Verdict::Raw(_) => None,
        }
    }));
    peer
}

fn zstd_safe() -> Peer {
    let (mut packing, mut unpacking) = (CCtx::create(), DCtx::create());
    let level = CParameter::CompressionLevel(3);
    packing.set_parameter(level).unwrap();
    Peer::new(
        "zstd-safe 3",
        move |src, dst| packing.compress2(dst, src).ok(),
        move |src, dst| {
            unpacking.decompress(dst, src).unwrap();
        },
    )
}

fn zstd_bulk() -> Peer {
    let mut packing = zstd::bulk::Compressor::new(3).unwrap();
    let mut unpacking = zstd::bulk::Decompressor::new().unwrap();
    Peer::new(
        "zstd bulk 3",
        move |src, dst| packing.compress_to_buffer(src, dst).ok(),
        move |src, dst| {
            unpacking.decompress_to_buffer(src, dst).unwrap();
        },
    )
}

fn libdeflater() -> Peer {
    let mut packing = libdeflater::Compressor::new(CompressionLvl::new(3).unwrap());
    let mut unpacking = libdeflater::Decompressor::new();
    Peer::new(
        "libdeflater 3",
        move |src, dst| packing.zlib_compress(src, dst).ok(),
        move |src, dst| {
            unpacking.zlib_decompress(src, dst).unwrap();
        },
    )
}

fn flate2() -> Peer {
    let mut packing = flate2::Compress::new(Compression::new(3), true);
    let mut unpacking = flate2::Decompress::new(true);
    Peer::new(
        "flate2 3",
        move |src, dst| {
            packing.reset();
            let status = packing.compress(src, dst, FlushCompress::Finish).unwrap();
            (status == Status::StreamEnd).then(|| packing.total_out() as usize)
        },
        move |src, dst| {
            unpacking.reset(true);
            let finish = FlushDecompress::Finish;
            unpacking.decompress(src, dst, finish).unwrap();
        },
    )
}

/// A sector at a time, each with its length before it, as btrfs has it.
fn lzokay() -> Peer {
    let mut dict = lzokay::compress::Dict::new();
    Peer::new(
        "lzokay",
        move |src, dst| {
            let mut end = 0;
            for piece in src.chunks(SECTOR) {
                let (header, room) = dst.get_mut(end..)?.split_at_mut_checked(HEADER)?;
                let len = lzokay::compress::compress_no_alloc(piece, room, &mut dict).ok()?;
                header.copy_from_slice(&(len as u32).to_le_bytes());
                end += HEADER + len;
            }
            Some(end)
        },
        |mut src, dst| {
            let mut made = 0;
            while let Some((header, rest)) = src.split_first_chunk::<HEADER>() {
                let (payload, rest) = rest.split_at(u32::from_le_bytes(*header) as usize);
                made += lzokay::decompress::decompress(payload, &mut dst[made..]).unwrap();
                src = rest;
            }
        },
    )
}

/// One block.
fn lz4_flex() -> Peer {
    let mut table = CompressTable::large();
    let mut worst = Vec::new();
    Peer::new(
        "lz4_flex",
        move |src, dst| {
            worst.resize(get_maximum_output_size(src.len()), 0);
            let len = compress_into_with_table(src, &mut worst, &mut table).unwrap();
            dst.get_mut(..len)?.copy_from_slice(&worst[..len]);
            Some(len)
        },
        |src, dst| {
            lz4_flex::block::decompress_into(src, dst).unwrap();
        },
    )
}
