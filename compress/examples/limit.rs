//! How fast it could be: threads that do nothing but read, compress and write, or read and
//! decompress. What a filesystem does beyond that is its overhead.
//!
//! `limit compress LEVEL THREADS INPUT OUTPUT` reads pieces of 128 KiB, compresses each with
//! libzstd and writes it behind the last one, in whole sectors as btrfs does; `OUTPUT.index` tells
//! where each begins and ends.
//! `limit decompress THREADS INPUT` reads them back and drops what comes out.
//! `limit tree LEVEL THREADS DIR` opens and reads every file below, compresses it in such pieces, and
//! drops what comes out.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to say"
)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use zstd_safe::{CCtx, CParameter, DCtx, compress_bound};

const PIECE: u64 = 128 << 10;
/// What is written begins at a multiple of it in the file, and what is read in memory: anything
/// else makes the kernel's copies several times slower, and would be no limit.
const SECTOR: usize = 4 << 10;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["compress", level, threads, input, output] => compress(
            level.parse().unwrap(),
            threads.parse().unwrap(),
            input,
            output,
        ),
        ["tree", level, threads, dir] => {
            tree(level.parse().unwrap(), threads.parse().unwrap(), dir)
        }
        ["decompress", threads, input] => decompress(threads.parse().unwrap(), input),
        _ => {
            eprintln!("usage: limit compress LEVEL THREADS INPUT OUTPUT");
            eprintln!("       limit decompress THREADS INPUT");
            eprintln!("       limit tree LEVEL THREADS DIR");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn compress(level: i32, threads: usize, input: &str, output: &str) {
    let from = File::open(input).unwrap();
    let to = File::create(output).unwrap();
    let len = from.metadata().unwrap().len();
    let next = AtomicU64::new(0);
    let end = AtomicU64::new(0);
    let index = Mutex::new(vec![(0, 0); len.div_ceil(PIECE) as usize]);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut context = CCtx::create();
                context
                    .set_parameter(CParameter::CompressionLevel(level))
                    .unwrap();
                let mut piece = Buffer::new(PIECE as usize);
                let mut packed = Buffer::new(compress_bound(PIECE as usize) + SECTOR);
                let packed = packed.bytes();
                loop {
                    let at = next.fetch_add(PIECE, Ordering::Relaxed);
                    if at >= len {
                        break;
                    }
                    let piece = &mut piece.bytes()[..PIECE.min(len - at) as usize];
                    from.read_exact_at(piece, at).unwrap();
                    let made = context.compress2(packed, piece).unwrap();
                    let stored = made.next_multiple_of(SECTOR);
                    packed[made..stored].fill(0);
                    let place = end.fetch_add(stored as u64, Ordering::Relaxed);
                    to.write_all_at(&packed[..stored], place).unwrap();
                    index.lock().unwrap()[(at / PIECE) as usize] = (place, made as u64);
                }
            });
        }
    });
    let index = index.into_inner().unwrap();
    let lines: Vec<String> = index
        .iter()
        .map(|(at, len)| format!("{at} {len}"))
        .collect();
    fs::write(format!("{output}.index"), lines.join("\n")).unwrap();
}

fn decompress(threads: usize, input: &str) {
    let from = File::open(input).unwrap();
    let index = fs::read_to_string(format!("{input}.index")).unwrap();
    let index: Vec<(u64, usize)> = index
        .lines()
        .map(|line| {
            let (at, len) = line.split_once(' ').unwrap();
            (at.parse().unwrap(), len.parse().unwrap())
        })
        .collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut context = DCtx::create();
                let mut packed = Buffer::new(compress_bound(PIECE as usize));
                let mut piece = Buffer::new(PIECE as usize);
                let (packed, piece) = (packed.bytes(), piece.bytes());
                while let Some((at, len)) = index.get(next.fetch_add(1, Ordering::Relaxed)) {
                    from.read_exact_at(&mut packed[..*len], *at).unwrap();
                    context.decompress(piece, &packed[..*len]).unwrap();
                }
            });
        }
    });
}

fn tree(level: i32, threads: usize, dir: &str) {
    let mut files = Vec::new();
    list(dir.as_ref(), &mut files);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut context = CCtx::create();
                context
                    .set_parameter(CParameter::CompressionLevel(level))
                    .unwrap();
                let mut piece = Buffer::new(PIECE as usize);
                let mut packed = Buffer::new(compress_bound(PIECE as usize));
                let (piece, packed) = (piece.bytes(), packed.bytes());
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let file = File::open(file).unwrap();
                    let mut at = 0;
                    loop {
                        let got = file.read_at(piece, at).unwrap();
                        if got == 0 {
                            break;
                        }
                        context.compress2(packed, &piece[..got]).unwrap();
                        at += got as u64;
                        // As a stat would tell.
                        if got < piece.len() {
                            break;
                        }
                    }
                }
            });
        }
    });
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let file_type = entry.file_type().unwrap();
        if file_type.is_dir() {
            list(&entry.path(), files);
        } else if file_type.is_file() {
            files.push(entry.path());
        }
    }
}

/// Bytes that begin at a multiple of `SECTOR`.
struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    fn new(len: usize) -> Self {
        let bytes = vec![0; len + SECTOR];
        Self { bytes, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        let start = self.bytes.as_ptr().align_offset(SECTOR);
        &mut self.bytes[start..start + self.len]
    }
}
