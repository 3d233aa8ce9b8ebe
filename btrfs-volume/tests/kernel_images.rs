//! Images that the kernel made are read back: everything that it shows, we show.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use btrfs_volume::ondisk::hash::name_hash;
use btrfs_volume::reader::ExtentSource;
use btrfs_volume::{InodeId, Reader, Volume};
use support::image::{Image, shell};
use support::tree::{assert_same, by_kernel, by_us};

const MIB: u64 = 1 << 20;

/// Bytes that no codec can shrink.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

/// Bytes that shrink to about half.
fn text(len: usize) -> Vec<u8> {
    let noise = noise(len / 2 + 1, 7);
    let hex = noise.iter().flat_map(|b| format!("{b:02x}").into_bytes());
    hex.take(len).collect()
}

/// Files of every kind.
fn fill(dir: &Path) {
    for (name, content) in [
        ("empty", Vec::new()),
        ("one", b"x".to_vec()),
        ("inline", noise(1000, 1)),
        ("inline-text", text(1900)),
        ("inline-zeros", vec![0; 4000]),
        ("sector", text(4096)),
        ("sector-and-one", text(4097)),
        ("text", text(1_234_567)),
        ("noise", noise(300_000, 2)),
        ("zeros", vec![0; 700_000]),
        (
            "mixed",
            [text(200_000), noise(200_000, 3), text(100_001)].concat(),
        ),
    ] {
        fs::write(dir.join(name), content).unwrap();
    }
    shell(
        dir,
        "
        truncate -s 10M sparse
        dd if=text of=sparse bs=4096 count=20 seek=100 conv=notrunc status=none
        dd if=text of=sparse bs=1000 count=1 seek=5000 conv=notrunc status=none
        fallocate -l 400000 prealloc
        dd if=text of=prealloc bs=4096 count=5 seek=10 conv=notrunc status=none
        echo end > prealloc-behind-eof
        fallocate -n -l 400000 prealloc-behind-eof
        sync -f .
        cp --reflink=always text clone
        dd if=noise of=clone bs=4096 count=3 seek=20 conv=notrunc status=none
        dd if=noise of=text bs=10000 count=1 seek=60 conv=notrunc status=none
        fallocate -p -o 40960 -l 8192 mixed
        truncate -s 300001 zeros
        sync -f .
        ",
    );
}

/// Names, links, types and attributes of every kind.
fn fill_names(dir: &Path) {
    fs::create_dir(dir.join("many")).unwrap();
    for i in 0..3000 {
        fs::write(dir.join(format!("many/file {i}")), format!("{i}")).unwrap();
    }
    let mut collisions = 0;
    let mut by_hash = HashMap::new();
    for random in noise(8 * 200_000, 9).chunks(8) {
        let name: String = random.iter().map(|&b| char::from(b'a' + b % 26)).collect();
        if let Some(other) = by_hash.insert(name_hash(name.as_bytes()), name.clone()) {
            fs::write(dir.join(&other), "first").unwrap();
            fs::write(dir.join(&name), "second").unwrap();
            collisions += 1;
        }
    }
    assert!(collisions > 0);
    let odd = OsString::from_vec((1..=254).chain([255]).filter(|&b| b != b'/').collect());
    fs::write(dir.join(odd), "odd").unwrap();
    fs::write(dir.join("n".repeat(255)), "long").unwrap();
    shell(
        dir,
        "
        mkfifo fifo
        mknod null c 1 3
        mknod large-numbers b 259 1048575
        ln -s inline symlink
        ln -s $(printf 'x%.0s' $(seq 2000)) long-symlink
        mkdir -p a/b/c sticky
        chmod 1777 sticky
        chmod 6755 one
        chown 12345:54321 sector
        touch -d '1901-12-14 01:02:03.123456789' old
        touch -d '2400-01-01 00:00:00.5' far
        setfattr -n user.one -v 1 inline
        setfattr -n user.empty inline
        setfattr -n trusted.two -v 0x000102ff inline
        setfattr -n user.large -v $(printf 'y%.0s' $(seq 3000)) a/b
        setcap cap_net_raw+ep sector
        mkdir links
        ",
    );
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    // More than an INODE_REF holds.
    let long = "l".repeat(200);
    for i in 0..500 {
        fs::hard_link(
            dir.join("inline-text"),
            dir.join(format!("links/{long}{i}")),
        )
        .unwrap();
    }
    for i in 0..500 {
        fs::hard_link(dir.join("inline-text"), dir.join(format!("many/{long}{i}"))).unwrap();
    }
}

/// Fills an image made by `mkfs` and mounted with `mount`, and compares.
fn compare(test: &str, size: u64, mkfs: &[&str], mount: &str) -> Option<(Image, Volume)> {
    let image = Image::make(test, size, mkfs)?;
    let expected = {
        let mount = image.mount(mount);
        fill(mount.at());
        fill_names(mount.at());
        by_kernel(mount.at())
    };
    let volume = image.open();
    let root = volume.default_root().unwrap();
    let ours = by_us(&volume, root);
    assert_same(&expected, &ours);
    assert_eq!(volume.warnings().1, 0);
    Some((image, volume))
}

#[test]
fn uncompressed() {
    compare("uncompressed", 256 * MIB, &[], "");
}

#[test]
fn zstd() {
    let Some((_, volume)) = compare(
        "zstd",
        256 * MIB,
        &["-m", "dup", "-d", "dup"],
        "compress=zstd",
    ) else {
        return;
    };
    let root = volume.default_root().unwrap();
    let file = volume.lookup(root, b"text").unwrap().unwrap();
    let extents = volume.extents(file.id, 0..1_000_000).unwrap();
    assert!(extents.iter().any(|extent| matches!(
        extent.source,
        ExtentSource::Compressed { compression: 3, .. }
    )));
}

#[test]
fn zlib_in_small_nodes_with_holes() {
    let mkfs = [
        "-n",
        "4096",
        "-O",
        "^no-holes",
        "-R",
        "^free-space-tree",
        "-m",
        "single",
    ];
    compare(
        "zlib_in_small_nodes_with_holes",
        256 * MIB,
        &mkfs,
        "compress-force=zlib",
    );
}

#[test]
fn lzo_in_large_nodes() {
    compare(
        "lzo_in_large_nodes",
        256 * MIB,
        &["-n", "65536"],
        "compress-force=lzo",
    );
}

#[test]
fn zstd_in_mixed_block_groups() {
    let mkfs = ["--mixed", "-n", "4096"];
    compare(
        "zstd_in_mixed_block_groups",
        128 * MIB,
        &mkfs,
        "compress-force=zstd:1",
    );
}

#[test]
fn all_links_of_an_inode() {
    let Some((_, volume)) = compare("all_links_of_an_inode", 256 * MIB, &[], "") else {
        return;
    };
    let root = volume.default_root().unwrap();
    let file = volume.lookup(root, b"inline-text").unwrap().unwrap();
    let links = volume.links(file.id).unwrap();
    assert_eq!(links.len(), 1001);
    for link in links {
        let dir = InodeId::new(root.tree, link.parent);
        let entry = volume.lookup(dir, &link.name).unwrap().unwrap();
        assert_eq!(entry.id, file.id);
    }
}

#[test]
fn subvolumes_snapshots_and_the_default() {
    let test = "subvolumes_snapshots_and_the_default";
    let Some(image) = Image::make(test, 256 * MIB, &["-L", "a label"]) else {
        return;
    };
    {
        let mount = image.mount("compress=zstd");
        shell(
            mount.at(),
            "
            btrfs -q subvolume create sub
            echo one > sub/file
            btrfs -q subvolume create sub/nested
            echo two > sub/nested/file
            btrfs -q subvolume snapshot sub snap
            echo three > sub/file
            btrfs -q subvolume snapshot -r sub ro
            btrfs -q subvolume set-default sub
            echo outside > top
            ",
        );
    }
    let (expected, whole) = {
        let mount = image.mount("");
        let default = by_kernel(mount.at());
        drop(mount);
        let mount = image.mount("subvolid=5");
        (default, by_kernel(mount.at()))
    };
    let volume = image.open();
    let root = volume.default_root().unwrap();
    assert_same(&expected, &by_us(&volume, root));
    let top = volume.subvolume_root(5).unwrap();
    assert_ne!(top, root);
    let mut ours = by_us(&volume, top);
    let mut whole = whole;
    // Where a snapshot lacks a subvolume, the kernel makes up a directory and its times.
    for path in [&b"snap/nested"[..], b"ro/nested"] {
        let ours = ours.remove(path).unwrap();
        let kernel = whole.remove(path).unwrap();
        assert_eq!((ours.mode, ours.size), (kernel.mode, kernel.size));
    }
    assert_same(&whole, &ours);
    let subvolumes = volume.subvolumes().unwrap();
    let names: Vec<_> = subvolumes
        .iter()
        .map(|s| s.parent.as_ref().map(|(_, _, name)| name.to_vec()))
        .collect();
    let name = |name: &str| Some(name.as_bytes().to_vec());
    assert_eq!(
        names,
        [None, name("sub"), name("nested"), name("snap"), name("ro")]
    );
    assert_eq!(subvolumes[4].root.flags & 1, 1);
    assert_eq!(subvolumes[3].root.parent_uuid, subvolumes[1].root.uuid);
    let info = volume.committed().info().unwrap();
    assert_eq!(info.label, b"a label");
    for feature in [
        "default-subvol",
        "compress-zstd",
        "free-space-tree",
        "no-holes",
    ] {
        assert!(info.features.iter().any(|f| f == feature), "{feature}");
    }
    let used: u64 = info.block_groups.iter().map(|group| group.used_bytes).sum();
    assert_eq!(used, info.bytes_used);
}

#[test]
fn usage_counts_shared_extents_once() {
    let test = "usage_counts_shared_extents_once";
    let Some(image) = Image::make(test, 256 * MIB, &[]) else {
        return;
    };
    {
        let mount = image.mount("compress-force=zstd");
        fs::write(mount.path("zeros"), vec![0; MIB as usize]).unwrap();
        fs::write(mount.path("small"), "inline").unwrap();
        shell(
            mount.at(),
            "
            sync -f .
            mkdir dir
            cp --reflink=always zeros dir/clone
            ln dir/clone dir/link
            btrfs -q subvolume snapshot . snap
            fallocate -l 1M prealloc
            truncate -s 1G hole
            ln -s zeros symlink
            ",
        );
        fs::write(mount.path("dir/noise"), noise(MIB as usize, 5)).unwrap();
    }
    let volume = image.open();
    let root = volume.default_root().unwrap();
    let usage = volume.usage(root).unwrap();
    let zstd = usage.by_codec[&3];
    assert_eq!(zstd.extents, 8);
    assert_eq!(zstd.disk_bytes, 8 * 4096);
    assert_eq!(zstd.uncompressed_bytes, MIB);
    // The file and its clone, here and in the snapshot.
    assert_eq!(zstd.referenced_bytes, 4 * MIB);
    assert_eq!(usage.by_codec[&0].uncompressed_bytes, MIB + 2 * 6);
    assert_eq!(usage.prealloc.disk_bytes, MIB);
    assert_eq!(usage.inline_extents, 2);
    let dir = volume.lookup(root, b"dir").unwrap().unwrap().id;
    let usage = volume.usage(dir).unwrap();
    assert_eq!(usage.files, 2);
    assert_eq!(usage.by_codec[&3].referenced_bytes, MIB);
    let small = volume.lookup(root, b"small").unwrap().unwrap().id;
    assert_eq!(volume.usage(small).unwrap().total().disk_bytes, 6);
}

#[test]
fn extents_of_parts_of_a_file_are_those_of_the_whole() {
    let test = "extents_of_parts_of_a_file_are_those_of_the_whole";
    for holes in ["no-holes", "^no-holes"] {
        let Some(image) = Image::make(test, 256 * MIB, &["-O", holes]) else {
            return;
        };
        fill(image.mount("compress=lzo").at());
        let volume = image.open();
        let root = volume.default_root().unwrap();
        for name in [
            "sparse", "text", "clone", "prealloc", "inline", "empty", "mixed",
        ] {
            let id = volume.lookup(root, name.as_bytes()).unwrap().unwrap().id;
            let end = 11 * MIB;
            let whole = volume.extents(id, 0..end).unwrap();
            assert_eq!(whole[0].start, 0);
            assert!(whole.last().unwrap().end() >= end);
            assert!(whole.windows(2).all(|w| w[0].end() == w[1].start));
            for start in (0..end).step_by(50_000) {
                let part = volume.extents(id, start..start + 60_001).unwrap();
                assert!(part[0].start <= start);
                assert!(part.last().unwrap().end() >= start + 60_001);
                assert!(part.windows(2).all(|w| w[0].end() == w[1].start));
                for extent in part {
                    if extent.source == ExtentSource::Hole {
                        assert!(whole.iter().any(|w| w.source == ExtentSource::Hole
                            && w.start <= extent.start
                            && w.end() >= extent.end().min(end)));
                    } else {
                        assert!(whole.contains(&extent));
                    }
                }
            }
        }
    }
}
