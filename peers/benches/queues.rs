//! Work that runs in parallel and finishes in order: `ordered-wq` beside tokio with `buffered` and
//! with `FuturesOrdered`, beside gzp, and beside rayon with a reorder buffer. At most 64 items are in
//! transit, except in gzp, which has its own bounds.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write;
use std::sync::{Arc, mpsc};

use compress::{CodecId, Registry, Workspaces};
use criterion::Criterion;
use futures::StreamExt;
use futures::stream::{self, FuturesOrdered};
use gzp::check::PassThroughCheck;
use gzp::par::compress::ParCompressBuilder;
use gzp::{Compression, FormatSpec, GzpError, ZWriter};
use ordered_wq::{Budget, OrderedQueue, Pool, work};
use peers::{Run, bench, text, timed};

const THREADS: usize = 2;
const WINDOW: usize = 64;
const PIECE: usize = 128 << 10;

fn main() {
    let criterion = &mut Criterion::default().configure_from_args();
    let pools = Pools::start();
    pools.compare(criterion, "empty items", 20_000, |nth| nth, Vec::new());
    let content: Arc<[u8]> = text(128 * PIECE).into();
    let workspaces = Workspaces::new(Registry::btrfs(), THREADS + 2);
    let zstd = {
        let (content, workspaces) = (Arc::clone(&content), workspaces.clone());
        move |nth: u64| packed(&workspaces, &content[nth as usize * PIECE..][..PIECE])
    };
    // It compresses what is written to it, so it has no empty items.
    let with_gzp: Run = (
        "gzp 2.0",
        Box::new(|| {
            timed(|| {
                let gzp = ParCompressBuilder::<Zstd>::new().num_threads(THREADS);
                let gzp = gzp.and_then(|gzp| gzp.buffer_size(PIECE));
                let mut gzp = gzp.expect("a thread and a buffer").from_writer(Vec::new());
                gzp.write_all(&content).expect("it compresses");
                black_box(gzp.finish().expect("it compresses"));
            })
        }),
    );
    let what = "128 KiB of text, zstd 3";
    pools.compare(criterion, what, 128, zstd, vec![with_gzp]);
    criterion.final_summary();
}

fn packed(workspaces: &Workspaces, piece: &[u8]) -> Vec<u8> {
    let mut compressor = workspaces
        .compressor(CodecId::ZSTD, 3)
        .expect("there is memory");
    let mut packed = vec![0; PIECE];
    let len = compressor.compress(piece, &mut packed);
    packed.truncate(len.expect("it compresses").expect("text shrinks"));
    packed
}

/// gzp's own formats are gzip's; it is its order that is compared, so it gets our codec.
#[derive(Clone, Copy, Debug)]
struct Zstd;

impl FormatSpec for Zstd {
    type C = PassThroughCheck;
    type Compressor = Workspaces;

    fn new() -> Self {
        Self
    }

    fn needs_dict(&self) -> bool {
        false
    }

    fn create_compressor(&self, _: Compression) -> Result<Workspaces, GzpError> {
        Ok(Workspaces::new(Registry::btrfs(), 1))
    }

    fn encode(
        &self,
        input: &[u8],
        workspaces: &mut Workspaces,
        _: Compression,
        _: Option<&bytes::Bytes>,
        _: bool,
    ) -> Result<Vec<u8>, GzpError> {
        Ok(match input.is_empty() {
            // The end of the input.
            true => Vec::new(),
            false => packed(workspaces, input),
        })
    }

    fn header(&self, _: Compression) -> Vec<u8> {
        Vec::new()
    }

    fn footer(&self, _: &PassThroughCheck) -> Vec<u8> {
        Vec::new()
    }
}

/// The threads of everybody who keeps them.
struct Pools {
    ours: Pool,
    tokio: tokio::runtime::Runtime,
    rayon: rayon::ThreadPool,
}

impl Pools {
    fn start() -> Self {
        let mut tokio = tokio::runtime::Builder::new_multi_thread();
        let rayon = rayon::ThreadPoolBuilder::new().num_threads(THREADS);
        Self {
            ours: Pool::new(THREADS),
            tokio: tokio.worker_threads(THREADS).build().expect("it starts"),
            rayon: rayon.build().expect("threads start"),
        }
    }

    /// All run `item`s and show what they made to a black box, in order.
    fn compare<T: Send + 'static>(
        &self,
        criterion: &mut Criterion,
        what: &str,
        items: u64,
        item: impl Fn(u64) -> T + Clone + Send + Sync + 'static,
        more: Vec<Run<'_>>,
    ) {
        let budget = Budget::new(WINDOW as u64);
        let item = &item;
        let mut runs: Vec<Run> = vec![
            (
                "ordered-wq",
                Box::new(|| timed(|| self.ours(&budget, items, item))),
            ),
            (
                "tokio, buffered",
                Box::new(|| timed(|| self.buffered(items, item))),
            ),
            (
                "tokio, FuturesOrdered",
                Box::new(|| timed(|| self.futures_ordered(items, item))),
            ),
            (
                "rayon and a reorder buffer",
                Box::new(|| timed(|| self.reorder(items, item))),
            ),
        ];
        runs.extend(more);
        bench(criterion, what, items, runs);
    }

    fn ours<T: Send + 'static>(
        &self,
        budget: &Budget,
        items: u64,
        item: &(impl Fn(u64) -> T + Clone + Send + 'static),
    ) {
        let queue = OrderedQueue::new(&self.ours);
        for nth in 0..items {
            let permit = budget.acquire_helping(1, &self.ours);
            let item = item.clone();
            queue.submit(work(
                move || item(nth),
                move |made| {
                    black_box(made.expect("nothing panics"));
                    drop(permit);
                },
            ));
        }
        queue.drain().expect("nothing panics");
    }

    fn buffered<T: Send + 'static>(
        &self,
        items: u64,
        item: &(impl Fn(u64) -> T + Clone + Send + 'static),
    ) {
        self.tokio.block_on(async {
            let spawned = |nth| {
                let item = item.clone();
                tokio::spawn(async move { item(nth) })
            };
            let mut made = stream::iter(0..items).map(spawned).buffered(WINDOW);
            while let Some(made) = made.next().await {
                black_box(made.expect("nothing panics"));
            }
        });
    }

    fn futures_ordered<T: Send + 'static>(
        &self,
        items: u64,
        item: &(impl Fn(u64) -> T + Clone + Send + 'static),
    ) {
        self.tokio.block_on(async {
            let mut made = FuturesOrdered::<tokio::task::JoinHandle<T>>::new();
            for nth in 0..items {
                if made.len() == WINDOW {
                    black_box(made.next().await.expect("some").expect("nothing panics"));
                }
                let item = item.clone();
                made.push_back(tokio::spawn(async move { item(nth) }));
            }
            while let Some(made) = made.next().await {
                black_box(made.expect("nothing panics"));
            }
        });
    }

    /// What is usually written by hand: jobs on a pool, and what they make put in order by the
    /// submitter, which waits while the window is full.
    fn reorder<T: Send + 'static>(
        &self,
        items: u64,
        item: &(impl Fn(u64) -> T + Clone + Send + 'static),
    ) {
        let (send, made) = mpsc::channel();
        let mut early = BTreeMap::new();
        let mut finished = 0;
        let mut finish_one = || {
            while !early.contains_key(&finished) {
                let (nth, made): (u64, T) = made.recv().expect("a sender is here");
                early.insert(nth, made);
            }
            black_box(early.remove(&finished).expect("it is there"));
            finished += 1;
        };
        for nth in 0..items {
            if nth >= WINDOW as u64 {
                finish_one();
            }
            let (send, item) = (send.clone(), item.clone());
            self.rayon.spawn(move || {
                let _ = send.send((nth, item(nth)));
            });
        }
        for _ in 0..items.min(WINDOW as u64) {
            finish_one();
        }
    }
}
