//! Files of random layouts against a vector of bytes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fake;

use compress::CodecId;
use fake::{Disk, Threads, Volume, World, squeeze, text};
use proptest::prelude::*;
use readpath::{ExtentKind, ReadContents};

#[derive(Debug, Clone)]
enum Part {
    Hole {
        pages: u64,
    },
    Prealloc {
        pages: u64,
    },
    /// Of the `of`-th disk extent (modulo), raw or compressed alike.
    Clone {
        of: usize,
        from: u64,
        pages: u64,
    },
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        1 => (1..40u64).prop_map(|pages| Part::Hole { pages }),
        1 => (1..40u64).prop_map(|pages| Part::Prealloc { pages }),
        6 => (0..8usize, 0..32u64, 1..33u64).prop_map(|(of, from, pages)| Part::Clone { of, from, pages }),
    ]
}

struct Extent {
    disk: Disk,
    disk_num_bytes: u64,
    data: Vec<u8>,
    codec: Option<CodecId>,
}

fn build(
    extents: &[(u64, u8)],
    inline: Option<(usize, bool)>,
    parts: &[Part],
    cut: u64,
    threads: usize,
) -> World {
    let volume = Volume {
        mirrors: 2,
        ..Volume::default()
    };
    let mut world = World::with(volume, Threads(threads));
    let extents: Vec<_> = extents
        .iter()
        .enumerate()
        .map(|(n, &(pages, codec))| {
            let data = text(pages as usize * 4096, n as u64 + 1);
            let codec = (codec > 0).then_some(CodecId(codec));
            let (disk, disk_num_bytes) = match codec {
                Some(codec) => world.compressed(&data, codec),
                None => (world.volume.add(data.clone()), data.len() as u64),
            };
            // Some sector of the first mirror is bad.
            let bad = (disk.0, n % (disk_num_bytes as usize / 4096), 0);
            world.volume.flipped.lock().unwrap().insert(bad);
            Extent {
                disk,
                disk_num_bytes,
                data,
                codec,
            }
        })
        .collect();
    if let Some((len, compressed)) = inline {
        let data = text(len, 99);
        let codec = compressed.then_some(CodecId::ZSTD);
        let stored = match codec {
            Some(codec) => squeeze(&world.workspaces, &data, codec),
            None => data.clone(),
        };
        let kind = ExtentKind::Inline {
            data: stored.into(),
            codec,
            ram_bytes: len as u64,
        };
        world.push(4096, kind, &data);
    }
    for part in parts {
        match *part {
            Part::Hole { pages } => world.push(pages * 4096, ExtentKind::Hole, &[]),
            Part::Prealloc { pages } => world.push(pages * 4096, ExtentKind::Prealloc, &[]),
            Part::Clone { of, from, pages } => {
                let extent = &extents[of % extents.len()];
                let all = extent.data.len() as u64;
                let offset = from * 4096 % all;
                let len = (pages * 4096).min(all - offset);
                let holds = &extent.data[offset as usize..(offset + len) as usize];
                let (disk, disk_num_bytes) = (extent.disk, extent.disk_num_bytes);
                let kind = match extent.codec {
                    Some(codec) => ExtentKind::Compressed {
                        disk,
                        disk_num_bytes,
                        ram_bytes: all,
                        offset,
                        codec,
                    },
                    None => ExtentKind::Raw {
                        disk,
                        disk_num_bytes,
                        offset,
                    },
                };
                world.push(len, kind, holds);
            }
        }
    }
    let size = (world.content.len() as u64).saturating_sub(cut).max(1);
    world.cold(Some(size));
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reads_are_what_was_written(
        extents in prop::collection::vec((1..33u64, 0..4u8), 1..5),
        inline in prop::option::of((1..4096usize, any::<bool>())),
        parts in prop::collection::vec(part(), 1..12),
        cut in 0..5000u64,
        threads in 0..3usize,
        reads in prop::collection::vec((0..1000u64, 1..300_000usize, 0..3u64, any::<bool>()), 1..12),
    ) {
        let world = build(&extents, inline, &parts, cut, threads);
        let size = world.content.len() as u64;
        for (at, len, ahead, forget) in reads {
            let at = size * at / 1000;
            if forget {
                world.mapping.forget();
            }
            let end = size.min(at + len as u64);
            let until = end + ahead * 200_000;
            let want = &world.content[at as usize..end as usize];
            let mut bytes = vec![0x5a; len];
            let got = world.path.read_into(&world.file(), at, &mut bytes, until).unwrap();
            prop_assert!(bytes[..got] == *want, "{at} + {len}");
            let parts = world.path.read_bytes(&world.file(), at..at + len as u64, 0).unwrap();
            prop_assert!(parts.concat() == *want, "{at} + {len}, without a copy");
        }
        world.path.quiesce();
        prop_assert!(world.path.is_idle());
        world.mapping.check_invariants();
        prop_assert_eq!(world.path.stats().damaged_sectors, 0);
    }
}
