//! Files that the kernel wrote, cut, punched, preallocated and cloned at random, read by us.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use btrfs_volume::device::{Access, FileDevice};
use btrfs_volume::{OpenOptions, Volume};
use fs_core::Filesystem;
use rustix::fs::{FallocateFlags, copy_file_range, fallocate};
use support::tree::noise;
use support::{kernel_image, text, tool};
use tempfile::TempDir;

const SECTOR: u64 = 4096;
const FILES: usize = 4;
/// No file is longer, by much.
const MOST: u64 = 600_000;

struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    /// Often between two sectors.
    fn offset(&mut self) -> u64 {
        match self.below(2) {
            0 => self.below(MOST),
            _ => self.below(MOST / SECTOR) * SECTOR,
        }
    }

    fn len(&mut self) -> u64 {
        let most = [3000, 20_000, 300_000][self.below(3) as usize];
        1 + self.below(most)
    }

    /// Content that shrinks, does not, or does by half.
    fn content(&mut self) -> Vec<u8> {
        let (len, seed) = (self.len() as usize, self.below(1 << 40));
        let line = format!("line {seed}, and what else it says. ");
        let text = |len| line.bytes().cycle().take(len).collect::<Vec<u8>>();
        match seed % 3 {
            0 => noise(len, seed),
            1 => text(len),
            _ => [noise(len / 2, seed), text(len - len / 2)].concat(),
        }
    }
}

/// Does something to a file, as any program might; what the kernel does not like is no matter.
fn step(random: &mut Random, files: &[File], mnt: &Path) {
    let nth = random.below(FILES as u64) as usize;
    let file = &files[nth];
    let (at, len) = (random.offset(), random.len());
    match random.below(16) {
        0..7 => file.write_all_at(&random.content(), at).unwrap(),
        7 => file.set_len(at).unwrap(),
        8 => {
            let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(file, punch, at, len).unwrap();
        }
        9 => fallocate(file, FallocateFlags::KEEP_SIZE, at, len).unwrap(),
        10 => fallocate(file, FallocateFlags::empty(), at, len).unwrap(),
        11 => fallocate(file, FallocateFlags::ZERO_RANGE, at, len).unwrap(),
        // A clone, where both lie between sectors.
        12 | 13 => {
            let from = &files[random.below(FILES as u64) as usize];
            let (mut a, mut b) = (random.offset() / SECTOR * SECTOR, at / SECTOR * SECTOR);
            let len = len.next_multiple_of(SECTOR) as usize;
            let _ = copy_file_range(from, Some(&mut a), file, Some(&mut b), len);
        }
        14 => file.sync_all().unwrap(),
        _ => {
            let how = [
                "compress-force=zstd",
                "compress-force=lzo",
                "compress=zlib",
                "compress=no",
            ];
            let how = format!("remount,{}", how[random.below(4) as usize]);
            tool("mount", &["-o", &how, text(mnt)]);
        }
    }
}

/// Whether we read what the kernel does, in pieces as they come.
fn we_read(image: &Path, random: &mut Random, expected: &[Vec<u8>]) {
    let device = FileDevice::open(image, Access::Read).unwrap();
    let volume = Volume::open(Arc::new(device), &OpenOptions::default()).unwrap();
    let fs = Filesystem::builder(volume)
        .cache_bytes(512 << 10)
        .build()
        .unwrap();
    for (nth, is) in expected.iter().enumerate() {
        let id = fs
            .lookup(fs.root(), nth.to_string().as_bytes())
            .unwrap()
            .unwrap();
        let file = fs.open(id).unwrap();
        assert_eq!(file.size(), is.len() as u64, "file {nth}");
        let part = |at: u64, len: u64| {
            let from = (at as usize).min(is.len());
            &is[from..from.saturating_add(len as usize).min(is.len())]
        };
        for _ in 0..20 {
            let (at, len) = (random.offset(), random.len());
            let mut got = vec![0; len as usize];
            let read = file.read(at, &mut got).unwrap();
            assert!(&got[..read] == part(at, len), "file {nth}: {at}, {len}");
            let got = file
                .read_direct(at / SECTOR * SECTOR, len)
                .unwrap()
                .concat();
            assert!(
                got == part(at / SECTOR * SECTOR, len),
                "file {nth}: {at}, {len}"
            );
        }
        let mut got = vec![0; is.len()];
        assert_eq!(file.read(0, &mut got).unwrap(), is.len());
        assert!(&got == is, "file {nth}");
        // Holes and data follow each other to the end.
        let mut at = 0;
        while let Some(data) = file.seek_data(at).unwrap() {
            assert!(is[at as usize..data as usize].iter().all(|byte| *byte == 0));
            at = file.seek_hole(data).unwrap().unwrap();
            assert!(at > data);
        }
        assert!(is[at as usize..].iter().all(|byte| *byte == 0));
    }
    fs.unmount().unwrap();
}

#[test]
fn we_read_what_the_kernel_wrote_at_random() {
    const NAME: &str = "we_read_what_the_kernel_wrote_at_random";
    for seed in 0..12_u64 {
        let mut random = Random::new(seed);
        let temp = TempDir::new().unwrap();
        let mkfs: &[&str] =
            [&[][..], &["-O", "^no-holes"], &["-m", "dup", "-d", "dup"]][seed as usize % 3];
        let Some((image, mounted)) = kernel_image(NAME, temp.path(), mkfs, "loop") else {
            return;
        };
        let open = |nth: usize| {
            let path = mounted.path().join(nth.to_string());
            let options = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path);
            options.unwrap()
        };
        let files: Vec<File> = (0..FILES).map(open).collect();
        for _ in 0..60 {
            step(&mut random, &files, mounted.path());
        }
        drop(files);
        let read = |nth: usize| fs::read(mounted.path().join(nth.to_string())).unwrap();
        let expected: Vec<Vec<u8>> = (0..FILES).map(read).collect();
        mounted.unmount();
        we_read(&image, &mut random, &expected);
    }
}
