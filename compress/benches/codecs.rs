//! Ours next to what others would use, on blocks of 4 to 128 KiB of several kinds of data.
//!
//! `cargo bench -p compress --features lz4 --bench codecs`; a name behind `--`, such as
//! `text/128` or `zstd`, chooses some. Each pass goes over 256 KiB of blocks. For small differences
//! take the bench `overhead`, in which both sides take turns.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to say"
)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use data::KINDS;
use peers::{Peer, peers};

mod data;
mod peers;

const BYTES: usize = 256 << 10;
const SIZES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 128 << 10];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .configure_from_args();
    for (kind, make) in KINDS {
        for size in SIZES {
            let blocks: Vec<Vec<u8>> = make(BYTES).chunks(size).map(<[u8]>::to_vec).collect();
            let name = format!("{kind}/{}", size >> 10);
            compress(&mut criterion, &name, &blocks);
            decompress(&mut criterion, &name, &blocks);
        }
    }
    criterion.final_summary();
}

fn compress(criterion: &mut Criterion, name: &str, blocks: &[Vec<u8>]) {
    let mut group = criterion.benchmark_group("compress");
    group.throughput(Throughput::Bytes(BYTES as u64));
    for mut peer in peers() {
        let mut packed = vec![0; blocks[0].len()];
        group.bench_function(BenchmarkId::new(peer.name, name), |bencher| {
            bencher.iter(|| {
                for block in blocks {
                    black_box(peer.keep(block, &mut packed));
                }
            });
        });
    }
}

fn decompress(criterion: &mut Criterion, name: &str, blocks: &[Vec<u8>]) {
    let mut group = criterion.benchmark_group("decompress");
    group.throughput(Throughput::Bytes(BYTES as u64));
    for mut peer in peers() {
        let Some(packed) = all_packed(&mut peer, blocks) else {
            continue;
        };
        let mut out = vec![0; blocks[0].len()];
        group.bench_function(BenchmarkId::new(peer.name, name), |bencher| {
            bencher.iter(|| {
                for packed in &packed {
                    (peer.unpack)(black_box(packed), &mut out);
                }
            });
        });
    }
}

/// `None` if some block doesn't fit where twice as much would: lzo and noise.
fn all_packed(peer: &mut Peer, blocks: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    blocks
        .iter()
        .map(|block| {
            let mut packed = vec![0; block.len() * 2 + 1024];
            let len = (peer.pack)(block, &mut packed)?;
            packed.truncate(len);
            let mut back = vec![0; block.len()];
            (peer.unpack)(&packed, &mut back);
            assert!(back == *block, "{} gives other bytes back", peer.name);
            Some(packed)
        })
        .collect()
}
