//! Edits and searches side by side with rangemap's `RangeMap`, which reports no
//! changes and takes no lock; and what a lock costs that nobody contends for.
//!
//! `cargo bench -p extent-tree`

use std::hint::black_box;
use std::time::Instant;

use extent_tree::{ExtentIoTree, StateBits};
use rangemap::RangeMap;

const OPS: u64 = 100_000;
const ROUNDS: usize = 7;
const PAGE: u64 = 4096;
/// Pages of a file of 1 GiB.
const PAGES: u64 = 1 << 18;
const BIT: StateBits = StateBits::DELALLOC;

/// Page ranges, the same for both sides.
fn random_pages(max_len: u64) -> Vec<(u64, u64, bool)> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    (0..OPS)
        .map(|_| {
            let start = next() % PAGES * PAGE;
            (
                start,
                start + (1 + next() % max_len) * PAGE,
                next() % 2 == 0,
            )
        })
        .collect()
}

fn ns_per_op(run: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_nanos() as f64 / OPS as f64
}

/// Alternates both sides and prints the ratio of the medians first.
fn compare(name: &str, mut ours: impl FnMut(), mut theirs: impl FnMut()) {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        times[0].push(ns_per_op(&mut ours));
        times[1].push(ns_per_op(&mut theirs));
    }
    let [ours, theirs] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    });
    println!(
        "{name:32} {:5.2}x  ours {ours:7.1} ns  theirs {theirs:7.1} ns",
        theirs / ours
    );
}

fn main() {
    let pages = random_pages(1);
    let mixed = random_pages(16);
    compare(
        "append pages",
        || {
            let tree = ExtentIoTree::new();
            for at in 0..OPS {
                tree.set_bits(at * PAGE..(at + 1) * PAGE, BIT).ignore();
            }
        },
        || {
            let mut map = RangeMap::new();
            for at in 0..OPS {
                map.insert(at * PAGE..(at + 1) * PAGE, 1_u32);
            }
        },
    );
    compare(
        "set random pages",
        || {
            let tree = ExtentIoTree::new();
            for &(start, end, _) in &pages {
                tree.set_bits(start..end, BIT).ignore();
            }
        },
        || {
            let mut map = RangeMap::new();
            for &(start, end, _) in &pages {
                map.insert(start..end, 1_u32);
            }
        },
    );
    compare(
        "set and clear 1 to 16 pages",
        || {
            let tree = ExtentIoTree::new();
            for &(start, end, set) in &mixed {
                let change = if set {
                    tree.set_bits(start..end, BIT)
                } else {
                    tree.clear_bits(start..end, BIT)
                };
                change.ignore();
            }
        },
        || {
            let mut map = RangeMap::new();
            for &(start, end, set) in &mixed {
                if set {
                    map.insert(start..end, 1_u32);
                } else {
                    map.remove(start..end);
                }
            }
        },
    );
    let tree = ExtentIoTree::new();
    let mut map = RangeMap::new();
    for &(start, end, _) in &pages {
        tree.set_bits(start..end, BIT).ignore();
        map.insert(start..end, 1_u32);
    }
    compare(
        "find the next state",
        || {
            for &(start, ..) in &mixed {
                black_box(tree.find_first(start, BIT));
            }
        },
        || {
            for &(start, ..) in &mixed {
                black_box(map.overlapping(start..u64::MAX).next());
            }
        },
    );
    let lock = ns_per_op(&mut || {
        for &(start, end, _) in &mixed {
            drop(tree.lock(start..end));
        }
    });
    println!("lock and unlock: {lock:.1} ns");
}
