//! Damaged and hostile images: healed from the copy, or an error; never a panic or a hang.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io::IoSlice;
use std::sync::{Arc, Mutex};

use btrfs_volume::device::{BlockDevice, MemDevice};
use btrfs_volume::ondisk::objectid::{
    CHUNK_TREE, CSUM_TREE, DATA_RELOC_TREE, DEV_TREE, EXTENT_TREE, FREE_SPACE_TREE, ROOT_TREE,
    UUID_TREE,
};
use btrfs_volume::ondisk::{Key, SUPER_OFFSETS, SUPER_SIZE, csum, item_type};
use btrfs_volume::reader::ExtentSource;
use btrfs_volume::{
    Bytenr, Error, ErrorKind, Expect, InodeId, Items, Node, Nodes, OpenOptions, Reader, Result,
    Storage, Volume, Walk,
};
use support::image::{Image, shell, skip};
use support::read::read_file;
use support::tree::{Tree, assert_same, by_kernel, by_us};
use uuid::Uuid;

const MIB: u64 = 1 << 20;

fn open(device: &Arc<MemDevice>) -> Result<Volume> {
    let device = Arc::clone(device) as Arc<dyn BlockDevice>;
    Volume::open(device, &OpenOptions::default())
}

/// A small image with a bit of everything, in memory, and what the kernel shows of it.
fn small_image(test: &str, profile: &str) -> Option<(Arc<MemDevice>, Tree)> {
    let image = Image::make(test, 128 * MIB, &["-n", "4096", "-m", profile])?;
    let tree = {
        let mount = image.mount("compress=zstd");
        for i in 0..60 {
            fs::write(mount.path(&format!("file-{i}")), format!("{i}").repeat(i)).unwrap();
        }
        shell(
            mount.at(),
            "
            seq 100000 > text
            truncate -s 1M hole
            fallocate -l 1M prealloc
            mkdir dir
            ln text dir/link
            ln -s text dir/symlink
            setfattr -n user.name -v value dir
            btrfs -q subvolume create sub
            cp --reflink=always text sub/clone
            btrfs -q subvolume snapshot sub snap
            ",
        );
        by_kernel(mount.at())
    };
    Some((image.in_memory(), tree))
}

/// Notes which nodes are read.
struct Recorder<'a> {
    storage: &'a Storage,
    seen: Mutex<BTreeSet<Bytenr>>,
}

impl Nodes for Recorder<'_> {
    fn read_node(&self, expect: &Expect) -> Result<Arc<Node>> {
        self.seen.lock().unwrap().insert(expect.bytenr);
        self.storage.read_node(expect)
    }
    fn fsid(&self) -> Uuid {
        self.storage.fsid()
    }
}

/// All nodes of a volume, with the offsets of their copies.
fn all_nodes(volume: &Volume) -> BTreeMap<Bytenr, Vec<u64>> {
    let committed = volume.committed();
    let recorder = Recorder {
        storage: volume.storage(),
        seen: Mutex::default(),
    };
    let mut trees = vec![ROOT_TREE, CHUNK_TREE];
    let root_tree = committed.root(ROOT_TREE).unwrap();
    for item in Walk::new(&recorder, root_tree, Key::MIN..=Key::MAX) {
        let (key, _) = item.unwrap();
        if key.item_type == item_type::ROOT_ITEM {
            trees.push(key.objectid);
        }
    }
    for tree in trees {
        let root = committed.root(tree).unwrap();
        for item in Walk::new(&recorder, root, Key::MIN..=Key::MAX) {
            item.unwrap();
        }
    }
    let storage = volume.storage();
    let nodes = recorder.seen.into_inner().unwrap().into_iter();
    nodes
        .map(|bytenr| {
            let copies = (0..storage.mirrors(bytenr))
                .map(|mirror| storage.physical(bytenr, 4096, mirror).unwrap().0)
                .collect();
            (bytenr, copies)
        })
        .collect()
}

fn read_at(device: &MemDevice, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    device.read_at(at, &mut bytes).unwrap();
    bytes
}

fn write_at(device: &MemDevice, at: u64, bytes: &[u8]) {
    device
        .write_vectored_at(at, &[IoSlice::new(bytes)])
        .unwrap();
}

/// Looks at everything, as far as that is possible, and returns the first error.
fn exercise(device: &Arc<MemDevice>) -> Result<()> {
    let volume = open(device)?;
    let mut outcome = Ok(());
    let mut note = |result: Result<()>| {
        if outcome.is_ok() {
            outcome = result;
        }
    };
    note(volume.committed().info().map(drop));
    let mut todo = Vec::new();
    match volume.subvolumes() {
        Ok(subvolumes) => {
            for subvolume in subvolumes {
                match volume.subvolume_root(subvolume.id) {
                    Ok(root) => todo.push(root),
                    Err(error) => note(Err(error)),
                }
            }
        }
        Err(error) => note(Err(error)),
    }
    match volume.default_root() {
        Ok(root) => {
            note(volume.usage(root).map(drop));
            todo.push(root);
        }
        Err(error) => note(Err(error)),
    }
    let mut seen = HashSet::new();
    while let Some(id) = todo.pop() {
        if seen.insert(id) {
            note(exercise_inode(&volume, id, &mut todo));
        }
    }
    for tree in [
        ROOT_TREE,
        EXTENT_TREE,
        CHUNK_TREE,
        DEV_TREE,
        CSUM_TREE,
        UUID_TREE,
        FREE_SPACE_TREE,
        DATA_RELOC_TREE,
    ] {
        let visit = &mut |_, _: &_| std::ops::ControlFlow::Continue(());
        note(volume.scan(tree, Key::MIN..=Key::MAX, visit));
    }
    outcome
}

fn exercise_inode(volume: &Volume, id: InodeId, todo: &mut Vec<InodeId>) -> Result<()> {
    let inode = volume.inode(id)?;
    volume.xattrs(id)?;
    volume.links(id)?;
    match inode.mode >> 12 {
        0o04 => {
            let mut after = 0;
            loop {
                let entries = volume.read_dir(id, after, 7)?;
                let Some(last) = entries.last() else { break };
                assert!(last.index > after);
                after = last.index;
                for entry in entries {
                    volume.lookup(id, &entry.name)?;
                    todo.push(entry.id);
                }
            }
        }
        0o12 => drop(volume.read_link(id)?),
        _ => {
            let extents = volume.extents(id, 0..inode.size)?;
            for extent in extents.iter().take(100) {
                assert!(extent.len > 0);
                let (ExtentSource::Raw {
                    bytenr,
                    disk_num_bytes: len,
                    ..
                }
                | ExtentSource::Compressed {
                    bytenr,
                    disk_num_bytes: len,
                    ..
                }) = extent.source
                else {
                    continue;
                };
                let bytes = volume.storage().read(bytenr, len.min(MIB) as usize, 0)?;
                volume.verify(bytenr, &bytes)?;
                volume.checksums(bytenr, bytes.len() / 4096)?;
            }
        }
    }
    Ok(())
}

#[test]
fn one_damaged_copy_is_healed_from_the_other() {
    let Some((device, expected)) = small_image("one_damaged_copy_is_healed", "dup") else {
        return;
    };
    let volume = open(&device).unwrap();
    let nodes = all_nodes(&volume);
    assert!(nodes.len() > 10);
    for (bytenr, copies) in nodes {
        assert_eq!(copies.len(), 2);
        for &at in &copies {
            let good = read_at(&device, at, 4096);
            for byte in [0, 33, 50, 83, 97, 100, 105, 2000, 4095] {
                let mut bad = good.clone();
                bad[byte] ^= 0x10;
                write_at(&device, at, &bad);
                exercise(&device).unwrap();
            }
            let volume = open(&device).unwrap();
            let root = volume.default_root().unwrap();
            assert_same(&expected, &by_us(&volume, root));
            let (warnings, total) = volume.warnings();
            assert_eq!(total as usize, warnings.len());
            for warning in warnings {
                assert!(warning.contains(&bytenr.to_string()), "{warning}");
            }
            write_at(&device, at, &good);
        }
    }
}

#[test]
fn damage_in_every_copy_is_an_error_that_names_the_node() {
    for profile in ["single", "dup"] {
        let Some((device, _)) = small_image("damage_in_every_copy", profile) else {
            return;
        };
        let nodes = all_nodes(&open(&device).unwrap());
        for (bytenr, copies) in nodes {
            let good = read_at(&device, copies[0], 4096);
            for byte in (0..101).chain((101..4096).step_by(61)) {
                let mut bad = good.clone();
                bad[byte] ^= 1 << (byte % 8);
                for &at in &copies {
                    write_at(&device, at, &bad);
                }
                match exercise(&device) {
                    // What csum fields hold behind their four bytes is nobody's.
                    Ok(()) => assert!((4..32).contains(&byte), "{bytenr} byte {byte}"),
                    Err(Error::Node { bytenr: named, .. }) => assert_eq!(named, bytenr),
                    Err(other) => panic!("{bytenr} byte {byte}: {other}"),
                }
            }
            for &at in &copies {
                write_at(&device, at, &good);
            }
        }
        exercise(&device).unwrap();
    }
}

#[test]
fn hostile_nodes_with_valid_checksums_do_no_harm() {
    let Some((device, _)) = small_image("hostile_nodes", "single") else {
        return;
    };
    let nodes: Vec<_> = all_nodes(&open(&device).unwrap()).into_iter().collect();
    // Fixed, so that a failure can be looked at again.
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let interesting = [0, 1, 2, 0x7f, 0x80, 0xff];
    let mut errors = 0;
    for round in 0..40 {
        for (_, copies) in &nodes {
            let good = read_at(&device, copies[0], 4096);
            let mut bad = good.clone();
            for _ in 0..=random() % 6 {
                // Item headers and data are at the two ends.
                let at = match random() % 4 {
                    0 => 80 + random() % 21,
                    1 => 101 + random() % 500,
                    2 => 4095 - random() % 1500,
                    _ => 101 + random() % 3995,
                };
                bad[at as usize] = if random() % 2 == 0 {
                    interesting[(random() % 6) as usize]
                } else {
                    random() as u8
                };
            }
            csum::seal(&mut bad);
            write_at(&device, copies[0], &bad);
            errors += u32::from(exercise(&device).is_err());
            // Some damage stays for a while, so that it adds up.
            if round % 4 != 3 || random() % 8 != 0 {
                write_at(&device, copies[0], &good);
            }
        }
    }
    assert!(errors > 100);
}

#[test]
fn a_hostile_superblock_does_no_harm() {
    let Some((device, _)) = small_image("a_hostile_superblock", "dup") else {
        return;
    };
    let good = read_at(&device, SUPER_OFFSETS[0], SUPER_SIZE);
    for at in (32..300).chain(555..600).chain(811..1100) {
        for value in [0, 0x7f, 0xff, good[at] ^ 1, good[at].wrapping_add(1)] {
            let mut bad = good.clone();
            bad[at] = value;
            csum::seal(&mut bad);
            for &copy in &SUPER_OFFSETS[..2] {
                write_at(&device, copy, &bad);
            }
            let _ = exercise(&device);
        }
    }
}

#[test]
fn a_torn_primary_superblock_is_replaced_by_the_mirror() {
    let Some((device, expected)) = small_image("a_torn_primary_superblock", "dup") else {
        return;
    };
    let good = read_at(&device, SUPER_OFFSETS[0], SUPER_SIZE);
    for at in (0..SUPER_SIZE).step_by(13) {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        write_at(&device, SUPER_OFFSETS[0], &bad);
        let volume = open(&device).unwrap();
        // Behind the checksum's four bytes its field is nobody's.
        let harmless = (4..32).contains(&at);
        assert_eq!(volume.warnings().1, u64::from(!harmless), "byte {at}");
        if at % 5 == 0 {
            let root = volume.default_root().unwrap();
            assert_same(&expected, &by_us(&volume, root));
        }
        // And without a mirror it is an error.
        write_at(&device, SUPER_OFFSETS[1], &bad);
        if !harmless {
            let error = open(&device).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
        write_at(&device, SUPER_OFFSETS[1], &good[..48]);
        let mut mirror = good.clone();
        mirror[48..56].copy_from_slice(&SUPER_OFFSETS[1].to_le_bytes());
        csum::seal(&mut mirror);
        write_at(&device, SUPER_OFFSETS[1], &mirror);
    }
}

#[test]
fn an_image_cut_short_is_an_error_or_read_as_far_as_it_goes() {
    let Some((device, _)) = small_image("an_image_cut_short", "dup") else {
        return;
    };
    exercise(&device).unwrap();
    let mut failed = 0;
    for size in (0..128 * MIB).rev().step_by(700_001) {
        device.set_size(size).unwrap();
        failed += u32::from(exercise(&device).is_err());
    }
    assert!(failed > 10);
    assert!(exercise(&Arc::new(MemDevice::new(0))).is_err());
}

#[test]
fn what_is_no_volume_is_said_to_be_none() {
    for bytes in [vec![], vec![0; 5000], vec![0; 70_000], vec![0xff; 200_000]] {
        let device = Arc::new(MemDevice::from_bytes(&bytes));
        let error = open(&device).unwrap_err();
        assert!(matches!(error, Error::NotBtrfs { .. }), "{error}");
    }
}

#[test]
fn unsupported_features_are_refused_by_name() {
    let Some((device, _)) = small_image("unsupported_features", "single") else {
        return;
    };
    let good = read_at(&device, SUPER_OFFSETS[0], SUPER_SIZE);
    let refused = |change: &dyn Fn(&mut [u8]), name: &str| {
        let mut bad = good.clone();
        change(&mut bad);
        csum::seal(&mut bad);
        write_at(&device, SUPER_OFFSETS[0], &bad);
        let error = open(&device).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(name), "{error}: {name}");
    };
    let incompat = |bit: u32| {
        move |sb: &mut [u8]| {
            let flags = u64::from_le_bytes(sb[188..196].try_into().unwrap());
            sb[188..196].copy_from_slice(&(flags | 1 << bit).to_le_bytes());
        }
    };
    for (bit, name) in [
        (7, "raid56"),
        (11, "raid1c34"),
        (12, "zoned"),
        (13, "extent-tree-v2"),
        (14, "raid-stripe-tree"),
        (17, "remap-tree"),
        (50, "bit 50"),
    ] {
        refused(&incompat(bit), name);
    }
    refused(&|sb| sb[136] = 2, "2 devices");
    for (csum_type, name) in [(1, "xxhash64"), (2, "sha256"), (3, "blake2b")] {
        refused(&|sb| sb[196] = csum_type, name);
    }
}

#[test]
fn checksums_other_than_crc32c_are_refused_by_name() {
    let test = "checksums_other_than_crc32c_are_refused_by_name";
    for csum in ["xxhash", "sha256", "blake2"] {
        let Some(image) = Image::make(test, 128 * MIB, &["--csum", csum]) else {
            return;
        };
        let error = open(&image.in_memory()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(csum), "{error}");
    }
}

#[test]
fn damaged_data_spoils_only_its_file() {
    let test = "damaged_data_spoils_only_its_file";
    let Some(image) = Image::make(test, 128 * MIB, &[]) else {
        return;
    };
    {
        let mount = image.mount("");
        fs::write(mount.path("first"), vec![b'1'; 100_000]).unwrap();
        fs::write(mount.path("second"), vec![b'2'; 100_000]).unwrap();
    }
    let device = image.in_memory();
    let volume = open(&device).unwrap();
    let root = volume.default_root().unwrap();
    let id = |name: &str| volume.lookup(root, name.as_bytes()).unwrap().unwrap().id;
    let extents = volume.extents(id("first"), 0..100_000).unwrap();
    let ExtentSource::Raw { bytenr, .. } = extents[0].source else {
        panic!("{extents:?}")
    };
    let at = volume.storage().physical(bytenr, 4096, 0).unwrap().0 + 5 * 4096 + 17;
    write_at(&device, at, b"x");
    assert!(read_file(&volume, id("first")).is_err());
    assert_eq!(
        read_file(&volume, id("second")).unwrap(),
        vec![b'2'; 100_000]
    );
    let bytes = volume.storage().read(bytenr, 25 * 4096, 0).unwrap();
    assert_eq!(volume.verify(bytenr, &bytes).unwrap(), [5]);
    // Also where the request starts inside a checksum item, and for its part only.
    let part = bytes.slice(3 * 4096..7 * 4096);
    assert_eq!(
        volume.verify(Bytenr(bytenr.0 + 3 * 4096), &part).unwrap(),
        [2]
    );
    let none = volume.checksums(Bytenr(bytenr.0 + 50 * MIB), 3).unwrap();
    assert_eq!(none, [None; 3]);
}

#[test]
fn a_log_tree_is_ignored_with_a_warning() {
    let test = "a_log_tree_is_ignored_with_a_warning";
    let Some(image) = Image::make(test, 128 * MIB, &[]) else {
        return;
    };
    let device = {
        let mount = image.mount("");
        fs::write(mount.path("file"), "committed").unwrap();
        shell(mount.at(), "sync -f .");
        fs::write(mount.path("logged"), "logged").unwrap();
        fs::File::open(mount.path("logged"))
            .unwrap()
            .sync_all()
            .unwrap();
        image.in_memory()
    };
    let volume = open(&device).unwrap();
    if volume.committed().superblock().log_root == 0 {
        skip(test, "the kernel made no log tree");
        return;
    }
    let (warnings, total) = volume.warnings();
    assert_eq!(total, 1);
    assert!(warnings[0].contains("log tree"));
    let root = volume.default_root().unwrap();
    assert!(volume.lookup(root, b"file").unwrap().is_some());
    assert!(volume.lookup(root, b"logged").unwrap().is_none());
}

#[test]
fn a_size_that_no_file_can_have_is_a_bad_item() {
    let device = Arc::new(MemDevice::new(128 * MIB));
    let mut mkfs = btrfs_volume::MkfsOptions::default();
    mkfs.size = Some(128 * MIB);
    let volume = Volume::mkfs(Arc::clone(&device) as Arc<dyn BlockDevice>, &mkfs).unwrap();
    let item = btrfs_volume::ondisk::InodeItem {
        mode: 0o10_0644,
        ..Default::default()
    };
    let ino = volume.create(5, 256, b"huge", &item, b"").unwrap();
    volume
        .change_inode(5, ino, |item| item.size = 1 << 63)
        .unwrap();
    volume.commit().unwrap();
    drop(volume);
    let volume = open(&device).unwrap();
    let error = volume.inode(InodeId::new(5, ino)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("size is 9223372036854775808"));
}
