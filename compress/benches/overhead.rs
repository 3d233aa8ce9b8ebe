//! What the traits, the leases and the decision add to libzstd with one reused context, and what
//! data costs that does not compress.
//!
//! Both sides take turns on the same blocks with the same room, so that a busy machine slows both;
//! the ratio is that of each side's fastest turn. In the last column both sides are bare contexts:
//! what it is away from 1 comes of where their memory lies and of the machine, as far as that goes for
//! the other columns, too.
//!
//! `cargo bench -p compress --bench overhead`
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to say"
)]

use std::hint::black_box;
use std::time::Instant;

use compress::{
    CodecId, Method, Registry, Spec, Verdict, Workspaces, advise, compress_inline, compress_piece,
    is_noise, is_noise_throughout, room_to_save,
};
use data::KINDS;
use zstd_safe::{CCtx, CParameter, DCtx};

mod data;

const TURNS: usize = 151;
/// Of each kind of data: a turn should be over before the machine does something else.
const BYTES: usize = 256 << 10;
const SECTOR: usize = 4 << 10;
const PIECE: usize = 128 << 10;

fn main() {
    println!("ours over bare libzstd    compress  decompress  bare, twice");
    for level in [1, 3, 9] {
        for len in [4 << 10, 16 << 10, 64 << 10, PIECE] {
            for (name, make) in KINDS {
                let blocks: Vec<Vec<u8>> = make(BYTES).chunks(len).map(<[u8]>::to_vec).collect();
                let pack = compressing(level, &blocks);
                let floor = bare_twice(level, &blocks);
                // What does not shrink is never stored so.
                let unpack = match name {
                    "random" => " ".repeat(7),
                    _ => format!("{:6.3}x", decompressing(level, &blocks)),
                };
                let kib = len >> 10;
                println!(
                    "zstd:{level} {name:9} {kib:3} KiB    {pack:6.3}x     {unpack}      {floor:6.3}x"
                );
            }
        }
    }
    lost_on_noise();
}

/// Ours over theirs, of the fastest turns.
fn ratio(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> f64 {
    let time = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    let mut fastest = [f64::INFINITY; 2];
    for _ in 0..TURNS {
        fastest[0] = fastest[0].min(time(&mut ours));
        fastest[1] = fastest[1].min(time(&mut theirs));
    }
    fastest[0] / fastest[1]
}

fn bare(level: i32) -> CCtx<'static> {
    let mut context = CCtx::create();
    let level = CParameter::CompressionLevel(level);
    context.set_parameter(level).unwrap();
    context
}

fn method(level: i32) -> Method {
    Method {
        codec: CodecId::ZSTD,
        level,
    }
}

fn compressing(level: i32, blocks: &[Vec<u8>]) -> f64 {
    let workspaces = Workspaces::new(Registry::btrfs(), 2);
    let (mut ours, mut theirs) = (vec![0; PIECE], vec![0; PIECE]);
    let mut alone = alone(level, blocks);
    ratio(
        || {
            for block in blocks {
                // One sector only ever goes into the tree.
                black_box(match room_to_save(block.len(), SECTOR) {
                    None => compress_inline(&workspaces, method(level), block, &mut ours, SECTOR),
                    _ => compress_piece(&workspaces, method(level), block, &mut ours, SECTOR),
                });
            }
        },
        || alone(&mut theirs),
    )
}

/// What two contexts differ by that do the same.
fn bare_twice(level: i32, blocks: &[Vec<u8>]) -> f64 {
    let (mut one, mut other) = (vec![0; PIECE], vec![0; PIECE]);
    let (mut first, mut second) = (alone(level, blocks), alone(level, blocks));
    ratio(|| first(&mut one), || second(&mut other))
}

/// Compresses all blocks with a context of its own.
fn alone(level: i32, blocks: &[Vec<u8>]) -> impl FnMut(&mut [u8]) {
    let mut context = bare(level);
    move |to| {
        for block in blocks {
            let room = room_to_save(block.len(), SECTOR).unwrap_or(block.len() - 1);
            let _ = black_box(context.compress2(&mut to[..room], block));
        }
    }
}

fn decompressing(level: i32, blocks: &[Vec<u8>]) -> f64 {
    let mut context = bare(level);
    let packed: Vec<Vec<u8>> = blocks
        .iter()
        .map(|block| {
            let mut packed = vec![0; block.len() + 1024];
            let len = context.compress2(&mut packed[..], block).unwrap();
            packed.truncate(len);
            packed
        })
        .collect();
    let workspaces = Workspaces::new(Registry::btrfs(), 2);
    let mut context = DCtx::create();
    let len = blocks[0].len();
    let (mut ours, mut theirs) = (vec![0; len], vec![0; len]);
    ratio(
        || {
            for packed in &packed {
                let mut decompressor = workspaces.decompressor(CodecId::ZSTD).unwrap();
                black_box(decompressor.decompress(packed, &mut ours).unwrap());
            }
        },
        || {
            for packed in &packed {
                black_box(context.decompress(&mut theirs[..], packed).unwrap());
            }
        },
    )
}

/// What a piece of noise costs whose codec tries in vain, and what it costs to ask first.
fn lost_on_noise() {
    println!("\n128 KiB that do not shrink, as a multiple of copying them");
    let pieces: Vec<Vec<u8>> = data::random(BYTES)
        .chunks(PIECE)
        .map(<[u8]>::to_vec)
        .collect();
    let workspaces = Workspaces::new(Registry::btrfs(), 2);
    let (mut packed, mut copy) = (vec![0; PIECE], vec![0; PIECE]);
    let mut copying = || {
        for piece in &pieces {
            copy.copy_from_slice(piece);
            black_box(&copy);
        }
    };
    let asking = ratio(
        || assert!(!pieces.iter().any(|piece| advise(piece).is_compress())),
        &mut copying,
    );
    println!("advise    {asking:6.2}x");
    let asking = ratio(
        || assert!(pieces.iter().all(|piece| is_noise(piece))),
        &mut copying,
    );
    println!("is_noise  {asking:6.2}x");
    let asking = ratio(
        || assert!(pieces.iter().all(|piece| is_noise_throughout(piece))),
        &mut copying,
    );
    println!("... throughout {asking:4.2}x");
    for name in ["zstd:1", "zstd:3", "zstd:9", "zlib:3", "lzo"] {
        let method = name.parse::<Spec>().unwrap().method().unwrap();
        let trying = ratio(
            || {
                for piece in &pieces {
                    let verdict = compress_piece(&workspaces, method, piece, &mut packed, SECTOR);
                    assert!(matches!(verdict, Verdict::Raw(_)));
                }
            },
            &mut copying,
        );
        println!("{name:9} {trying:6.2}x");
    }
}
