//! Files of an image that are changed in every way that `fs-core` knows, with the kernel as judge of
//! what is on the image afterwards.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../btrfs-volume/tests/support/losing.rs"]
mod losing;
mod support;

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use btrfs_volume::{MkfsOptions, OpenOptions, Volume};
use bytes::Bytes;
use fs_core::{
    CodecId, Compression, ErrorKind, File, FileType, Filesystem, InodeId, NewInode, Policy,
};
use losing::Losing;
use proptest::prelude::*;
use support::tree::noise;
use support::{Mounted, can_mount, check, has_progs, new_image, random};
use tempfile::TempDir;

const SECTOR: u64 = 4096;
const FILES: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    Write {
        at: u64,
        len: u64,
        seed: u64,
    },
    Direct {
        sector: u64,
        sectors: u64,
        seed: u64,
    },
    Resize(u64),
    Punch {
        at: u64,
        len: u64,
    },
    Fsync,
    Sync,
    DropCaches,
    Reopen,
    Read {
        at: u64,
        len: u64,
    },
}

fn op() -> impl Strategy<Value = (usize, Op)> {
    // Often at a boundary of sectors or folios.
    let at = || {
        prop_oneof![
            0..300_000_u64,
            (0..70_u64).prop_map(|sector| sector * SECTOR),
            (0..3_u64, 0..3_u64).prop_map(|(folio, by)| (folio << 17) + by),
        ]
    };
    let len = || prop_oneof![1..3000_u64, 1..40_000_u64, 1..400_000_u64];
    let op = prop_oneof![
        8 => (at(), len(), any::<u64>()).prop_map(|(at, len, seed)| Op::Write { at, len, seed }),
        2 => (0..70_u64, 1..40_u64, any::<u64>())
            .prop_map(|(sector, sectors, seed)| Op::Direct { sector, sectors, seed }),
        2 => prop_oneof![at(), 0..3000_u64].prop_map(Op::Resize),
        3 => (at(), len()).prop_map(|(at, len)| Op::Punch { at, len }),
        2 => Just(Op::Fsync),
        1 => Just(Op::Sync),
        1 => Just(Op::DropCaches),
        1 => Just(Op::Reopen),
        2 => (at(), len()).prop_map(|(at, len)| Op::Read { at, len }),
    ];
    (0..FILES, op)
}

fn policies() -> impl Strategy<Value = Policy> {
    let how = |codec, level| Compression { codec, level };
    prop_oneof![
        Just(Policy::Never),
        Just(Policy::Auto(how(CodecId::ZLIB, 3))),
        Just(Policy::Always(how(CodecId::LZO, 1))),
        Just(Policy::UnlessNoise(how(CodecId::ZSTD, 3))),
    ]
}

/// Content that shrinks, does not, or does by half.
fn content(len: u64, seed: u64) -> Vec<u8> {
    let len = len as usize;
    let text = |len| {
        let line = format!("line {seed}, and what else it says. ");
        line.bytes().cycle().take(len).collect::<Vec<u8>>()
    };
    match seed % 3 {
        0 => noise(len, seed),
        1 => text(len),
        _ => [noise(len / 2, seed), text(len - len / 2)].concat(),
    }
}

/// Before or after something that is done to a file.
enum Moment<'a> {
    Begun,
    Done {
        /// Files that a power cut cannot change any more.
        durable: Range<usize>,
        files: &'a [Vec<u8>],
    },
}

fn put(file: &mut Vec<u8>, at: u64, data: &[u8]) {
    let (from, end) = (at as usize, at as usize + data.len());
    file.resize(file.len().max(end), 0);
    file[from..end].copy_from_slice(data);
}

fn within(file: &[u8], range: Range<u64>) -> Range<usize> {
    let end = file.len().min(range.end as usize);
    end.min(range.start as usize)..end
}

fn open(fs: &Filesystem<Volume>, ids: &[InodeId], nth: usize) -> File<Volume> {
    fs.open(ids[nth]).unwrap()
}

fn filesystem(volume: Volume, policy: Policy) -> Filesystem<Volume> {
    let builder = Filesystem::builder(volume).threads(2).cache_bytes(1 << 20);
    builder.queue_bytes(1 << 20).policy(policy).build().unwrap()
}

fn create(fs: &Filesystem<Volume>, files: usize) -> Vec<InodeId> {
    (0..files)
        .map(|nth| {
            let new = NewInode::new(FileType::Regular, 0o644);
            fs.create(fs.root(), nth.to_string().as_bytes(), &new)
                .unwrap()
        })
        .collect()
}

/// Does that, and tells before and after each what the files hold.
fn change(
    volume: Volume,
    policy: Policy,
    ops: &[(usize, Op)],
    tell: &mut dyn FnMut(&Moment<'_>),
) -> Vec<Vec<u8>> {
    let fs = filesystem(volume, policy);
    let ids = create(&fs, FILES);
    let mut files: Vec<_> = (0..FILES).map(|nth| open(&fs, &ids, nth)).collect();
    let mut oracle = vec![Vec::new(); FILES];
    for (nth, op) in ops {
        let (file, is) = (&files[*nth], &mut oracle[*nth]);
        tell(&Moment::Begun);
        match op {
            Op::Write { at, len, seed } => {
                let data = content(*len, *seed);
                file.write(*at, &data).unwrap();
                put(is, *at, &data);
            }
            Op::Direct {
                sector,
                sectors,
                seed,
            } => {
                let data = content(sectors * SECTOR, *seed);
                file.write_direct(sector * SECTOR, &Bytes::from(data.clone()))
                    .unwrap();
                put(is, sector * SECTOR, &data);
            }
            Op::Resize(size) => {
                file.set_size(*size).unwrap();
                is.resize(*size as usize, 0);
            }
            Op::Punch { at, len } => {
                file.punch_hole(*at..at + len).unwrap();
                let range = within(is, *at..at + len);
                is[range].fill(0);
            }
            Op::Fsync => file.fsync().unwrap(),
            Op::Sync => fs.sync().unwrap(),
            Op::DropCaches => drop(fs.drop_caches()),
            Op::Reopen => {
                files[*nth] = open(&fs, &ids, 0);
                files[*nth] = open(&fs, &ids, *nth);
            }
            Op::Read { at, len } => {
                let mut got = vec![0; *len as usize];
                let read = file.read(*at, &mut got).unwrap();
                assert!(got[..read] == is[within(is, *at..at + len)], "{at} {len}");
            }
        }
        tell(&Moment::Done {
            durable: match op {
                Op::Fsync => *nth..nth + 1,
                Op::Sync => 0..FILES,
                _ => 0..0,
            },
            files: &oracle,
        });
    }
    drop(files);
    fs.unmount().unwrap();
    oracle
}

#[test]
fn the_kernel_reads_what_was_written() {
    const NAME: &str = "the_kernel_reads_what_was_written";
    let (checked, mounted) = (has_progs(NAME), can_mount(NAME));
    let cases = ProptestConfig::with_cases(100);
    let ops = prop::collection::vec(op(), 1..60);
    proptest!(cases, |(policy in policies(), ops in ops)| {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("image");
        let volume = new_image(&image, 96 << 20);
        let oracle = change(volume, policy, &ops, &mut |_| {});
        if checked {
            check(&image);
        }
        if mounted {
            the_kernel_reads(&image, &oracle);
        }
    });
}

/// What is left of the files after a power cut, before the `cut`-th write or flush of the device: each
/// sector as it was at some time since the file was last synced.
fn cut(policy: Policy, ops: &[(usize, Op)], cut: usize, seed: u64, checked: bool) {
    let device = Arc::new(Losing::new(seed));
    let mut options = MkfsOptions::default();
    options.size = Some(48 << 20);
    let volume = Volume::mkfs(device.clone(), &options).unwrap();
    let until = device.done() + cut;
    device.cut_after(cut);
    // Of each file what it may be: first nothing at all.
    let mut may_be = vec![vec![None]; FILES];
    let mut begun = 0;
    change(volume, policy, ops, &mut |moment| match moment {
        Moment::Begun => begun = device.done(),
        Moment::Done { durable, files } => {
            for (nth, (may_be, file)) in may_be.iter_mut().zip(*files).enumerate() {
                if device.done() <= until && durable.contains(&nth) {
                    may_be.clear();
                }
                if begun <= until {
                    may_be.push(Some(file.clone()));
                }
            }
        }
    });
    let Some(after) = device.take_cut() else {
        return;
    };
    let after = Arc::new(after);
    if checked {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("image");
        fs::write(&image, after.to_bytes()).unwrap();
        check(&image);
    }
    let volume = Volume::open(after, &OpenOptions::default()).unwrap();
    let fs = Filesystem::builder(volume).build().unwrap();
    for (nth, may_be) in may_be.iter().enumerate() {
        let Some(id) = fs.lookup(fs.root(), nth.to_string().as_bytes()).unwrap() else {
            assert!(may_be.contains(&None), "file {nth} is gone");
            continue;
        };
        let file = fs.open(id).unwrap();
        let mut got = vec![0; file.size() as usize];
        assert_eq!(file.read(0, &mut got).unwrap(), got.len());
        // One that is there and was never committed otherwise is empty.
        let states: Vec<Vec<u8>> = may_be
            .iter()
            .map(|s| s.clone().unwrap_or_default())
            .collect();
        assert!(
            states.iter().any(|is| is.len() == got.len()),
            "file {nth}: {}",
            got.len()
        );
        for at in (0..got.len()).step_by(SECTOR as usize) {
            // Of the one in which it ends, what is before the end.
            let visible = got.len().min(at + SECTOR as usize) - at;
            let sector = |file: &[u8]| {
                let mut sector = file[within(file, at as u64..(at + visible) as u64)].to_vec();
                sector.resize(visible, 0);
                sector
            };
            let known = states.iter().any(|is| sector(is) == sector(&got));
            assert!(known, "file {nth}, sector at {at}");
        }
    }
}

#[test]
fn a_power_cut_takes_nothing_that_was_synced() {
    let checked = has_progs("a_power_cut_takes_nothing_that_was_synced");
    let cases = ProptestConfig::with_cases(60);
    let ops = prop::collection::vec(op(), 1..60);
    proptest!(cases, |(
        policy in policies(),
        ops in ops,
        at in 0..300_usize,
        seed in any::<u64>(),
    )| cut(policy, &ops, at, seed, checked));
}

/// Of a full volume some writes are refused; nothing else is, and nothing that was there is lost.
#[test]
fn a_full_image_keeps_what_was_written() {
    const NAME: &str = "a_full_image_keeps_what_was_written";
    const MANY: usize = 6;
    let (checked, mounted) = (has_progs(NAME), can_mount(NAME));
    let mut refused = 0;
    for seed in 0..12_u64 {
        let mut below = random(seed);
        let dir = TempDir::new().unwrap();
        let at = dir.path().join("image");
        let how = Compression {
            codec: CodecId::ZSTD,
            level: 3,
        };
        let fs = filesystem(new_image(&at, 48 << 20), Policy::UnlessNoise(how));
        let ids = create(&fs, MANY);
        let files: Vec<_> = (0..MANY).map(|nth| open(&fs, &ids, nth)).collect();
        let mut oracle = vec![Vec::new(); MANY];
        for _ in 0..150 {
            let nth = below(MANY as u64) as usize;
            let (file, is) = (&files[nth], &mut oracle[nth]);
            let (at, len) = (below(6 << 20), 1 + below(1 << 20));
            let data = content(len, below(6));
            let result = match below(16) {
                0..10 => {
                    let result = file.write(at, &data);
                    if result.is_ok() {
                        put(is, at, &data);
                    }
                    result
                }
                10 => {
                    let (at, len) = (at / SECTOR * SECTOR, len.next_multiple_of(SECTOR));
                    let data = content(len, below(6));
                    let result = file.write_direct(at, &Bytes::from(data.clone()));
                    if result.is_ok() {
                        put(is, at, &data);
                    }
                    result
                }
                11 => {
                    let size = is.len() as u64 / 2 + below(1 << 20);
                    let result = file.set_size(size);
                    if result.is_ok() {
                        is.resize(size as usize, 0);
                    }
                    result
                }
                12 => {
                    let result = file.punch_hole(at..at + len);
                    if result.is_ok() {
                        let range = within(is, at..at + len);
                        is[range].fill(0);
                    }
                    result
                }
                13 | 14 => {
                    file.fsync().unwrap();
                    Ok(())
                }
                _ => {
                    fs.sync().unwrap();
                    Ok(())
                }
            };
            if let Err(error) = result {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                refused += 1;
                // It may have been done in part.
                is.resize(file.size() as usize, 0);
                assert_eq!(file.read(0, is).unwrap(), is.len());
            }
        }
        drop(files);
        fs.unmount().unwrap();
        if checked {
            check(&at);
        }
        if mounted {
            the_kernel_reads(&at, &oracle);
        }
    }
    assert!(refused > 50, "{refused}");
}

fn the_kernel_reads(image: &Path, files: &[Vec<u8>]) {
    let mounted = Mounted::new(image, &image.with_extension("mnt"), "loop,ro");
    for (nth, is) in files.iter().enumerate() {
        let got = fs::read(mounted.path().join(nth.to_string())).unwrap();
        assert!(&got == is, "file {nth}");
    }
    mounted.unmount();
}
