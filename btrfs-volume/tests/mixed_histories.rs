//! Names, links, attributes and symbolic links at random, often as long as they may be, and many of
//! names that hash alike.
//!
//! Our own reader says what is there, `btrfs check`, where there is one, whether all of it fits together.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use btrfs_volume::device::MemDevice;
use btrfs_volume::ondisk::InodeItem;
use btrfs_volume::ondisk::hash::name_hash;
use btrfs_volume::{
    Error, InodeId, MetadataProfile, MkfsOptions, OpenOptions, Reader, Result, Volume,
};
use support::image::skip;

const FS: u64 = 5;
const ROOT: u64 = 256;
const DIR: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_777;

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    fn letters(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| b'a' + self.below(26) as u8).collect()
    }

    /// A short name, one of 255 bytes, or one that hashes like many others.
    fn name(&mut self) -> Vec<u8> {
        match self.below(4) {
            0 => self.letters(255),
            1 => {
                let len = 1 + self.below(3);
                self.letters(len)
            }
            2 => self.alike(b"", 255),
            _ => self.alike(b"", 8),
        }
    }

    /// A name of `len` bytes that begins with `start` and has the hash of "x": its last four bytes are
    /// chosen for that.
    fn alike(&mut self, start: &[u8], len: usize) -> Vec<u8> {
        let table: Vec<u32> = (0..256).map(|byte| (0..8).fold(byte, shifted)).collect();
        let step = |state: u32, byte: u8| table[usize::from(state as u8 ^ byte)] ^ state >> 8;
        // Back from the hash: which entries of the table the last four bytes meet.
        let mut state = name_hash(b"x") as u32;
        let mut entries = [0_u8; 4];
        for entry in entries.iter_mut().rev() {
            let found = table.iter().position(|value| value >> 24 == state >> 24);
            *entry = found.unwrap() as u8;
            state = (state ^ table[usize::from(*entry)]) << 8;
        }
        loop {
            let mut name = start.to_vec();
            name.extend(self.letters((len - 4 - start.len()) as u64));
            let mut state = name.iter().fold(!1, |state, byte| step(state, *byte));
            for entry in entries {
                let byte = state as u8 ^ entry;
                name.push(byte);
                state = step(state, byte);
            }
            if !name.iter().any(|byte| b"/\0".contains(byte)) {
                assert_eq!(name_hash(&name), name_hash(b"x"));
                return name;
            }
        }
    }
}

/// One step of crc32c.
fn shifted(state: u32, _: u32) -> u32 {
    match state & 1 {
        0 => state >> 1,
        _ => state >> 1 ^ 0x82f6_3b78,
    }
}

#[derive(Default)]
struct Expected {
    mode: u32,
    /// Directory and name.
    names: Vec<(u64, Vec<u8>)>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    target: Vec<u8>,
}

type Inodes = BTreeMap<u64, Expected>;

/// Whether it was done. The rest were names that are taken, or too many that hash alike.
fn done<T>(result: Result<T>, taken: bool) -> Option<T> {
    match result {
        Ok(value) => {
            assert!(!taken);
            Some(value)
        }
        Err(Error::Exists { .. }) => {
            assert!(taken);
            None
        }
        Err(Error::TooLarge { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn step(volume: &Volume, random: &mut Random, inodes: &mut Inodes) {
    let numbers: Vec<u64> = inodes.keys().copied().collect();
    // Often the same few, so that these get many names and attributes.
    let most = [4, numbers.len() as u64][random.below(2) as usize];
    let ino = numbers[random.below(most.min(numbers.len() as u64)) as usize];
    let dirs = numbers.iter().filter(|ino| inodes[ino].mode == DIR);
    let dirs: Vec<u64> = dirs.copied().collect();
    let dir = dirs[random.below(dirs.len() as u64) as usize];
    let name = random.name();
    let taken = |inodes: &Inodes| {
        let is = |(in_dir, is): &(u64, Vec<u8>)| *in_dir == dir && *is == name;
        inodes.values().any(|inode| inode.names.iter().any(is))
    };
    match random.below(8) {
        0 | 1 => {
            let mode = [FILE, LINK, DIR][random.below(3) as usize];
            let len = [1, 2048, 4095][random.below(3) as usize];
            let target = match mode {
                LINK => random.letters(len),
                _ => Vec::new(),
            };
            let new = InodeItem {
                mode,
                ..InodeItem::default()
            };
            let made = volume.create(FS, dir, &name, &new, &target);
            if let Some(ino) = done(made, taken(inodes)) {
                let names = vec![(dir, name)];
                let expected = Expected {
                    mode,
                    names,
                    target,
                    ..Expected::default()
                };
                inodes.insert(ino, expected);
            }
        }
        2..5 if inodes[&ino].mode != DIR => {
            let made = volume.link(FS, ino, dir, &name, Default::default());
            let made = done(made, taken(inodes)).map(|()| name);
            let names = &mut inodes.get_mut(&ino).unwrap().names;
            names.extend(made.map(|name| (dir, name)));
            // More than there is room for in the item of one directory.
            for _ in 0..random.below(20) / 19 * 70 {
                let name = random.letters(255);
                let made = volume.link(FS, ino, dir, &name, Default::default());
                made.unwrap();
                names.push((dir, name));
            }
        }
        5..7 => {
            let name = match random.below(3) {
                0 => format!("user.{}", random.below(10)).into_bytes(),
                1 => random.alike(b"user.", 30),
                _ => [b"user.".to_vec(), random.letters(250)].concat(),
            };
            let largest = 16384 - 101 - 25 - 30 - name.len();
            let len = [0, 1, 100, largest, largest + 1][random.below(5) as usize];
            let value = vec![random.below(256) as u8; len];
            let set = done(volume.set_xattr(FS, ino, &name, &value), false);
            assert!(set.is_none() || len <= largest);
            if set.is_some() {
                inodes.get_mut(&ino).unwrap().xattrs.insert(name, value);
            }
        }
        _ => {}
    }
}

fn is_there(volume: &Volume, inodes: &Inodes) {
    let mut entries: BTreeMap<u64, usize> = BTreeMap::new();
    for (&ino, expected) in inodes {
        let id = InodeId::new(FS, ino);
        let inode = volume.inode(id).unwrap();
        assert_eq!(inode.mode, expected.mode);
        assert_eq!(inode.nlink as usize, expected.names.len().max(1));
        let links = volume.links(id).unwrap().into_iter();
        let mut names: Vec<_> = links
            .map(|link| (link.parent, link.name.to_vec()))
            .collect();
        names.sort();
        let mut wanted = expected.names.clone();
        wanted.sort();
        assert!(names == wanted || ino == ROOT, "names of {ino}");
        for (dir, name) in &expected.names {
            let found = volume.lookup(InodeId::new(FS, *dir), name).unwrap();
            assert_eq!(found.unwrap().id, id);
            *entries.entry(*dir).or_default() += 1;
        }
        let xattrs = volume.xattrs(id).unwrap().into_iter();
        let xattrs: BTreeMap<Vec<u8>, Vec<u8>> = xattrs
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect();
        assert!(xattrs == expected.xattrs, "attributes of {ino}");
        if expected.mode == LINK {
            assert_eq!(volume.read_link(id).unwrap(), expected.target);
        }
    }
    for (dir, count) in entries {
        let found = volume.read_dir(InodeId::new(FS, dir), 0, usize::MAX);
        assert_eq!(found.unwrap().len(), count, "entries of {dir}");
    }
}

/// What `btrfs check` has to say.
fn judge(device: &MemDevice) {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    fs::write(&image, device.to_bytes()).unwrap();
    let out = Command::new("btrfs")
        .args(["check", "--readonly"])
        .arg(&image)
        .output()
        .unwrap();
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let clean = out.status.success() && text.contains("no error found");
    assert!(clean && !text.contains("ERROR"), "{text}");
}

#[test]
fn names_links_and_attributes_are_as_they_were_made() {
    const NAME: &str = "names_links_and_attributes_are_as_they_were_made";
    let judged = Command::new("btrfs").arg("--version").output().is_ok();
    if !judged {
        skip(NAME, "needs btrfs-progs");
    }
    for seed in 1..7_u64 {
        println!("seed {seed}");
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let device = Arc::new(MemDevice::new(0));
        let mut options = MkfsOptions::default();
        options.size = Some(96 << 20);
        options.metadata = [MetadataProfile::Single, MetadataProfile::Dup][seed as usize % 2];
        let volume = Volume::mkfs(device.clone(), &options).unwrap();
        let root = Expected {
            mode: DIR,
            ..Expected::default()
        };
        let mut inodes = Inodes::from([(ROOT, root)]);
        let commits = [3, 40, u64::MAX][seed as usize % 3];
        for _ in 0..700 {
            step(&volume, &mut random, &mut inodes);
            if random.below(commits) == 0 {
                volume.commit().unwrap();
            }
        }
        is_there(&volume, &inodes);
        volume.commit().unwrap();
        drop(volume);
        let opened = Volume::open(device.clone(), &OpenOptions::default()).unwrap();
        is_there(&opened, &inodes);
        if judged {
            judge(&device);
        }
    }
}
