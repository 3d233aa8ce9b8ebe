//! Compresses a file on all cores: `cargo run --release -p ordered-wq --example parallel_zstd
//! FILE [LEVEL]` writes FILE.zst, frame after frame, as any zstd tool reads it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::{env, error, mem, sync::Arc, thread};

use compress::{CodecId, Registry, Workspaces};
use ordered_wq::{Budget, OrderedQueue, Pool, work};
use parking_lot::Mutex;

const PIECE: u64 = 1 << 20;

/// Compresses all of `input` on `threads` threads, with `memory` bytes in transit; `output` gets
/// the frames in the order of the input, and none after the first error.
pub(crate) fn compress(
    mut input: impl Read,
    output: impl Write + Send + 'static,
    level: i32,
    (threads, memory): (usize, &Budget),
) -> io::Result<()> {
    let pool = Pool::try_new(threads).map_err(io::Error::other)?;
    let queue = OrderedQueue::new(&pool);
    // One more than threads: who waits for the queue does its work, too.
    let workspaces = Workspaces::new(Registry::btrfs(), threads + 1);
    let sink = Arc::new(Mutex::new((output, Ok(()))));
    for nth in 0_u64.. {
        // For the piece and its frame. Sleeps while the pool is behind.
        let mut permit = memory.acquire(2 * PIECE);
        let mut piece = Vec::new();
        input.by_ref().take(PIECE).read_to_end(&mut piece)?;
        if sink.lock().1.is_err() || (piece.is_empty() && nth > 0) {
            break; // An empty file is one empty frame.
        }
        let workspaces = workspaces.clone();
        let pack = move || {
            let mut frame = vec![0; piece.len() + piece.len() / 256 + 64];
            let mut compressor = workspaces.compressor(CodecId::ZSTD, level)?;
            let len = compressor.compress(&piece, &mut frame)?;
            frame.truncate(len.expect("there is room for the worst case"));
            frame.shrink_to_fit();
            drop(piece);
            permit.shrink(frame.len() as u64);
            Ok::<_, compress::Error>((frame, permit))
        };
        let sink = Arc::clone(&sink);
        queue.submit(work(pack, move |packed| {
            let (output, result) = &mut *sink.lock();
            if result.is_ok() {
                *result = match packed {
                    Ok(Ok((frame, _permit))) => output.write_all(&frame),
                    Ok(Err(error)) => Err(io::Error::other(error)),
                    Err(outcome) => Err(io::Error::other(format!("{outcome:?}"))),
                };
            }
        }));
    }
    queue.drain().map_err(io::Error::other)?;
    let (output, result) = &mut *sink.lock();
    mem::replace(result, Ok(())).and_then(|()| output.flush())
}

fn main() -> Result<(), Box<dyn error::Error>> {
    let mut args = env::args().skip(1);
    let name = args.next().ok_or("usage: parallel_zstd FILE [LEVEL]")?;
    let level = args.next().map_or(Ok(3), |level| level.parse())?;
    let (input, packed) = (File::open(&name)?, format!("{name}.zst"));
    let output = File::create_new(&packed)?;
    let threads = thread::available_parallelism()?.get();
    let memory = Budget::new(4 * PIECE * threads as u64);
    if let Err(error) = compress(input, output, level, (threads, &memory)) {
        fs::remove_file(packed)?;
        return Err(error.into());
    }
    println!("{packed}; at most {} bytes in transit", memory.high_water());
    Ok(())
}
