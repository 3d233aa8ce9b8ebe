//! Files that are written over and cut again and again, on a volume so small that space comes back.
//!
//! Our own reader checks contents and checksums; `btrfs check`, where there is one, the rest.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::Arc;

use btrfs_volume::device::MemDevice;
use btrfs_volume::ondisk::{InodeItem, Key, compression, csum, objectid};
use btrfs_volume::reader::ExtentSource;
use btrfs_volume::{Bytenr, InodeId, Items, MkfsOptions, NewExtent, OpenOptions, Reader, Volume};
use bytes::Bytes;
use proptest::prelude::*;
use support::image::skip;
use support::losing::Losing;

const FS: u64 = 5;
const ROOT: u64 = 256;
const FIRST: u64 = 257;
const SECTOR: u64 = 4096;
/// Sectors of a file.
const MOST: u64 = 64;
const FILES: u64 = 4;

#[derive(Clone, Debug)]
enum Step {
    Write {
        file: u64,
        at: u64,
        sectors: u64,
        /// How many sectors fewer it takes up on the device.
        saved: u64,
    },
    Drop {
        file: u64,
        at: u64,
        sectors: u64,
    },
    Commit,
    /// Takes space and keeps it.
    Take {
        sectors: u64,
    },
    /// Takes space and gives it back, so that what comes next lies elsewhere.
    Skip {
        sectors: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let range = || (0..FILES, 0..MOST, 1..12_u64);
    prop_oneof![
        6 => (range(), 0..3_u64).prop_map(|((file, at, sectors), saved)| Step::Write {
            file,
            at,
            sectors,
            saved,
        }),
        3 => range().prop_map(|(file, at, sectors)| Step::Drop { file, at, sectors }),
        2 => Just(Step::Commit),
        1 => prop_oneof![1..40_u64, 1800..2100_u64].prop_map(|sectors| Step::Skip { sectors }),
    ]
}

fn run(volume: &Volume, steps: &[Step]) -> Vec<Vec<u8>> {
    run_told(volume, steps, &mut |_| {})
}

/// The same, and tells what the files hold at each commit.
fn run_told(
    volume: &Volume,
    steps: &[Step],
    committed: &mut dyn FnMut(&[Vec<u8>]),
) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for file in 0..FILES {
        let inode = InodeItem {
            mode: 0o100_644,
            size: 0,
            ..InodeItem::default()
        };
        let name = [b'a' + file as u8];
        assert_eq!(
            volume.create(FS, ROOT, &name, &inode, b"").unwrap(),
            FIRST + file
        );
        let size = MOST * SECTOR;
        volume
            .change_inode(FS, FIRST + file, |item| item.size = size)
            .unwrap();
        files.push(vec![0; size as usize]);
    }
    for (nth, step) in steps.iter().enumerate() {
        match *step {
            Step::Write {
                file,
                at,
                sectors,
                saved,
            } => {
                let len = sectors.min(MOST - at) * SECTOR;
                let data = vec![nth as u8 + 1; len as usize];
                let mut stored = data.clone();
                if saved * SECTOR < len && saved > 0 {
                    stored.clear();
                    stored.reserve(data.len());
                    zstd_safe::compress(&mut stored, &data, 3).unwrap();
                    stored.resize((len - saved * SECTOR) as usize, 0);
                }
                let disk_num_bytes = stored.len() as u64;
                let bytenr = volume.allocate(disk_num_bytes).unwrap();
                let checksums = csum::checksum_sectors(&stored, SECTOR as usize);
                let compressed = disk_num_bytes < len;
                volume.write_data(&[(bytenr, stored.into())]).unwrap();
                let new = NewExtent {
                    file_offset: at * SECTOR,
                    num_bytes: len,
                    bytenr,
                    disk_num_bytes,
                    compression: if compressed { compression::ZSTD } else { 0 },
                    checksums: checksums.into(),
                };
                volume.insert_extent(FS, FIRST + file, new).unwrap();
                let at = (at * SECTOR) as usize;
                files[file as usize][at..at + data.len()].copy_from_slice(&data);
            }
            Step::Drop { file, at, sectors } => {
                let range = at * SECTOR..(at + sectors).min(MOST) * SECTOR;
                volume
                    .drop_extents(FS, FIRST + file, range.clone())
                    .unwrap();
                files[file as usize][range.start as usize..range.end as usize].fill(0);
            }
            Step::Commit => {
                volume.commit().unwrap();
                committed(&files);
            }
            Step::Take { sectors } => drop(volume.allocate(sectors * SECTOR).unwrap()),
            Step::Skip { sectors } => {
                if let Ok(at) = volume.allocate(sectors * SECTOR) {
                    volume.release(at, sectors * SECTOR);
                }
            }
        }
    }
    volume.commit().unwrap();
    committed(&files);
    files
}

/// A file as the volume says that it is, through its checksums.
fn read(volume: &Volume, ino: u64) -> Vec<u8> {
    let id = InodeId::new(FS, ino);
    let mut data = Vec::new();
    for extent in volume.extents(id, 0..MOST * SECTOR).unwrap() {
        match extent.source {
            ExtentSource::Hole => data.resize(data.len() + extent.len as usize, 0),
            ExtentSource::Raw { bytenr, offset, .. } => {
                let at = Bytenr(bytenr.0 + offset);
                let bytes = volume.storage().read(at, extent.len as usize, 0).unwrap();
                assert_eq!(volume.verify(at, &bytes).unwrap(), [], "{at}");
                data.extend_from_slice(&bytes);
            }
            ExtentSource::Compressed {
                bytenr,
                disk_num_bytes,
                ram_bytes,
                offset,
                ..
            } => {
                let stored = volume.storage().read(bytenr, disk_num_bytes as usize, 0);
                let stored = stored.unwrap();
                assert_eq!(volume.verify(bytenr, &stored).unwrap(), [], "{bytenr}");
                let frame = zstd_safe::find_frame_compressed_size(&stored).unwrap();
                let mut plain = Vec::with_capacity(ram_bytes as usize);
                zstd_safe::decompress(&mut plain, &stored[..frame]).unwrap();
                let offset = offset as usize;
                data.extend_from_slice(&plain[offset..offset + extent.len as usize]);
            }
            other => panic!("{other:?}"),
        }
    }
    data
}

/// What `btrfs check` has to say; nothing where there is none.
fn judge(device: &MemDevice) {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    fs::write(&image, device.to_bytes()).unwrap();
    let out = Command::new("btrfs")
        .args(["check", "--readonly", "--check-data-csum"])
        .arg(&image)
        .output()
        .unwrap();
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let clean = out.status.success() && text.contains("no error found");
    assert!(clean, "{text}");
}

fn has_judge(test: &str) -> bool {
    let has = Command::new("btrfs").arg("--version").output().is_ok();
    if !has {
        skip(test, "needs btrfs-progs");
    }
    has
}

fn check(steps: &[Step], judged: bool) {
    let device = Arc::new(MemDevice::new(0));
    let mut options = MkfsOptions::default();
    options.size = Some(48 << 20);
    let volume = Volume::mkfs(device.clone(), &options).unwrap();
    let files = run(&volume, steps);
    drop(volume);
    let opened = Volume::open(device.clone(), &OpenOptions::default()).unwrap();
    for (ino, file) in (FIRST..).zip(&files) {
        assert!(&read(&opened, ino) == file, "inode {ino}");
    }
    let mut covered = 0;
    let all = Key::MIN..=Key::new(u64::MAX, u8::MAX, u64::MAX);
    let each = &mut |key: Key, sums: &Bytes| {
        assert!(key.offset >= covered, "two checksums of {covered}");
        covered = key.offset + sums.len() as u64 / 4 * SECTOR;
        ControlFlow::Continue(())
    };
    opened.scan(objectid::CSUM_TREE, all, each).unwrap();
    if judged {
        judge(&device);
    }
}

/// Writes the first sector of a file.
fn write(file: u64) -> Step {
    Step::Write {
        file,
        at: 0,
        sectors: 1,
        saved: 0,
    }
}

/// Drops the first sector of a file.
fn discard(file: u64) -> Step {
    Step::Drop {
        file,
        at: 0,
        sectors: 1,
    }
}

/// Guard: `shortened` in `csums::delete`. An item of two extents loses the second, and what is left of
/// it is joined with the checksums of new data right before it.
#[test]
fn checksums_overlap_once_what_lies_before_a_shortened_item_is_written() {
    const NAME: &str = "checksums_overlap_once_what_lies_before_a_shortened_item_is_written";
    let steps = [
        write(0),
        Step::Commit,
        write(1),
        write(2),
        Step::Commit,
        discard(0),
        Step::Commit,
        // All that is left of the first 8 MiB: what comes next lies where the first was.
        Step::Skip { sectors: 2045 },
        write(3),
        discard(2),
    ];
    check(&steps, has_judge(NAME));
}

/// Guard: `by_group(given)` in `State::list`. Two extents are freed together, the last of a block
/// group and the first of the next.
#[test]
fn a_block_group_counts_what_is_freed_behind_its_end() {
    let steps = [
        write(0),
        Step::Take { sectors: 2046 },
        write(1),
        write(2),
        Step::Commit,
        discard(1),
        discard(2),
    ];
    check(
        &steps,
        has_judge("a_block_group_counts_what_is_freed_behind_its_end"),
    );
}

/// The power fails before the `cut`-th write or flush.
fn check_cut(steps: &[Step], cut: usize, seed: u64, judged: bool) -> bool {
    let device = Arc::new(Losing::new(seed));
    let mut options = MkfsOptions::default();
    options.size = Some(48 << 20);
    let volume = Volume::mkfs(device.clone(), &options).unwrap();
    let before = device.done();
    device.cut_after(cut);
    // Each commit: when it was done, and what it has.
    let mut commits = vec![(before, Vec::new())];
    run_told(&volume, steps, &mut |files| {
        commits.push((device.done(), files.to_vec()))
    });
    let Some(cut_off) = device.take_cut() else {
        return false;
    };
    let cut_off = Arc::new(cut_off);
    let opened = Volume::open(cut_off.clone(), &OpenOptions::default()).unwrap();
    let last = commits.iter().rposition(|(done, _)| *done <= before + cut);
    let last = last.expect("the first one is mkfs's");
    let root = InodeId::new(FS, ROOT);
    let there = opened.read_dir(root, 0, 100).unwrap().len() as u64;
    let found: Vec<_> = (FIRST..FIRST + there)
        .map(|ino| read(&opened, ino))
        .collect();
    let may_be = &commits[last..commits.len().min(last + 2)];
    assert!(
        may_be.iter().any(|(_, files)| *files == found),
        "commit {last}"
    );
    if judged {
        judge(&cut_off);
    }
    true
}

#[test]
fn a_power_cut_leaves_the_last_commit_where_space_was_used_again() {
    const NAME: &str = "a_power_cut_leaves_the_last_commit_where_space_was_used_again";
    let judged = has_judge(NAME);
    let cases = ProptestConfig::with_cases(40);
    let steps = prop::collection::vec(step(), 1..120);
    proptest!(cases, |(steps in steps, cut in 0..60_usize, seed in any::<u64>())| {
        prop_assume!(check_cut(&steps, cut, seed, judged));
    });
}

#[test]
fn what_was_written_last_is_what_is_there() {
    let judged = has_judge("what_was_written_last_is_what_is_there");
    let cases = ProptestConfig::with_cases(60);
    proptest!(cases, |(steps in prop::collection::vec(step(), 1..120))| check(&steps, judged));
}
