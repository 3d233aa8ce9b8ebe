//! The kernel and `btrfs check` as judges of what is written.
//!
//! Needs root, loop devices and btrfs-progs. Where one is missing the test says so in the file
//! that the environment variable `UBTRFS_SKIPS` names, and passes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/umount.rs"]
mod umount;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use btrfs_volume::device::FileDevice;
use btrfs_volume::ondisk::{InodeItem, Timespec, csum};
use btrfs_volume::{MetadataProfile, MkfsOptions, NewExtent, Volume};
use bytes::Bytes;
use tempfile::TempDir;

const FS: u64 = 5;
const ROOT: u64 = 256;

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap()
}

fn judges(test: &str) -> bool {
    let missing = if !Path::new("/dev/loop-control").exists() {
        "no loop devices"
    } else if Command::new("btrfs").arg("--version").output().is_err() {
        "no btrfs-progs"
    } else if run("id", &["-u"]).stdout != b"0\n" {
        "not root"
    } else {
        return true;
    };
    eprintln!("skipped: {missing}");
    if let Ok(file) = std::env::var("UBTRFS_SKIPS") {
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(file)
            .unwrap();
        writeln!(file, "{test}: {missing}").unwrap();
    }
    false
}

fn check(image: &Path) {
    let image = image.to_str().unwrap();
    let out = run(
        "btrfs",
        &["check", "--readonly", "--check-data-csum", image],
    );
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(out.status.success(), "{text}");
    for word in ["rror", "arning", "cache", "mismatch", "wrong", "bad"] {
        // A random UUID may spell a complaint.
        let complaint = text.lines().find(|line| {
            line.contains(word)
                && !["no error", "checking", "UUID", "/"]
                    .iter()
                    .any(|fine| line.contains(fine))
        });
        assert!(complaint.is_none(), "{text}");
    }
}

/// A mount that ends with it.
struct Mount {
    dir: TempDir,
}

impl Mount {
    fn new(image: &Path, options: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let (image, at) = (image.to_str().unwrap(), dir.path().to_str().unwrap());
        let out = run(
            "mount",
            &["-t", "btrfs", "-o", &format!("loop,{options}"), image, at],
        );
        let log = || String::from_utf8_lossy(&run("dmesg", &[]).stdout).into_owned();
        assert!(
            out.status.success(),
            "{}{}",
            String::from_utf8_lossy(&out.stderr),
            log().lines().rev().take(12).collect::<Vec<_>>().join("\n")
        );
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            umount::umount(self.dir.path());
        }
    }
}

fn volume(image: &Path, options: &MkfsOptions) -> Volume {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(image)
        .unwrap();
    Volume::mkfs(Arc::new(FileDevice::from_file(file)), options).unwrap()
}

fn inode(mode: u32) -> InodeItem {
    InodeItem {
        mode,
        uid: 1000,
        gid: 1001,
        mtime: Timespec { secs: -5, nanos: 7 },
        ..InodeItem::default()
    }
}

/// Writes `bytes` at `offset` of a file as one raw extent.
fn write(volume: &Volume, ino: u64, offset: u64, bytes: &[u8]) {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4096), 0);
    let bytenr = volume.allocate(padded.len() as u64).unwrap();
    let checksums = csum::checksum_sectors(&padded, 4096);
    let num_bytes = padded.len() as u64;
    volume.write_data(&[(bytenr, padded.into())]).unwrap();
    let extent = NewExtent {
        file_offset: offset,
        num_bytes,
        bytenr,
        disk_num_bytes: num_bytes,
        compression: 0,
        checksums: checksums.into(),
    };
    volume.insert_extent(FS, ino, extent).unwrap();
    volume
        .change_inode(FS, ino, |item| {
            item.size = item.size.max(offset + bytes.len() as u64);
        })
        .unwrap();
}

fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// Has the kernel create and delete things, and checks again.
fn kernel_may_write(image: &Path) {
    {
        let mount = Mount::new(image, "rw");
        let data = pattern(99, 300_000);
        fs::write(mount.path("by the kernel"), &data).unwrap();
        fs::create_dir(mount.path("kernel dir")).unwrap();
        assert_eq!(fs::read(mount.path("by the kernel")).unwrap(), data);
        run("sync", &[]);
        fs::remove_file(mount.path("by the kernel")).unwrap();
    }
    check(image);
}

#[test]
fn an_empty_volume_is_mounted() {
    if !judges("an_empty_volume_is_mounted") {
        return;
    }
    let dir = TempDir::new().unwrap();
    for (index, (size, metadata)) in [
        (Some(48 << 20), MetadataProfile::Dup),
        (Some(48 << 20), MetadataProfile::Single),
        (Some(1 << 30), MetadataProfile::Dup),
        (None, MetadataProfile::Dup),
        (None, MetadataProfile::Single),
    ]
    .into_iter()
    .enumerate()
    {
        let image = dir.path().join(format!("image{index}"));
        let mut options = MkfsOptions::default();
        options.size = size;
        options.metadata = metadata;
        options.label = b"a label".to_vec();
        let volume = volume(&image, &options);
        volume.finish_growth().unwrap();
        drop(volume);
        if let Some(size) = size {
            assert_eq!(fs::metadata(&image).unwrap().len(), size);
        }
        check(&image);
        {
            let mount = Mount::new(&image, "ro");
            assert_eq!(fs::read_dir(mount.dir.path()).unwrap().count(), 0);
        }
        kernel_may_write(&image);
    }
}

#[test]
fn files_of_all_kinds_arrive() {
    if !judges("files_of_all_kinds_arrive") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("image");
    let volume = volume(&image, &MkfsOptions::default());
    let sub = volume
        .create(FS, ROOT, b"dir", &inode(0o042_755), b"")
        .unwrap();
    let file = volume
        .create(FS, sub, b"file", &inode(0o104_750), b"")
        .unwrap();
    let big = pattern(1, 1_000_000);
    write(&volume, file, 0, &big);
    let holey = volume
        .create(FS, sub, b"holey", &inode(0o100_644), b"")
        .unwrap();
    write(&volume, holey, 1 << 20, b"behind a hole");
    let inline = volume
        .create(FS, sub, b"inline", &inode(0o100_644), b"")
        .unwrap();
    volume
        .insert_inline(FS, inline, Bytes::from_static(b"tiny"), 0, 4)
        .unwrap();
    volume
        .change_inode(FS, inline, |item| item.size = 4)
        .unwrap();
    volume
        .create(FS, ROOT, b"link", &inode(0o120_777), b"dir/file")
        .unwrap();
    volume
        .create(FS, ROOT, b"fifo", &inode(0o010_600), b"")
        .unwrap();
    let mut null = inode(0o020_600);
    null.rdev = InodeItem::encode_device(1, 3).unwrap();
    volume.create(FS, ROOT, b"null", &null, b"").unwrap();
    volume.set_xattr(FS, file, b"user.test", b"old").unwrap();
    volume.set_xattr(FS, file, b"user.test", b"value").unwrap();
    volume.commit().unwrap();
    // Overwritten within one transaction and across a commit.
    write(&volume, file, 8192, &pattern(2, 40_960));
    write(&volume, file, 16384, &pattern(3, 4096));
    volume
        .drop_extents(FS, file, 500_000 / 4096 * 4096..520_192)
        .unwrap();
    for index in 0..2500 {
        let name = format!("{index:0>40}");
        volume
            .link(FS, file, sub, name.as_bytes(), Timespec::default())
            .unwrap();
    }
    let gone = volume
        .create(FS, ROOT, b"emptied", &inode(0o100_644), b"")
        .unwrap();
    write(&volume, gone, 0, &pattern(4, 100_000));
    volume.commit().unwrap();
    volume.drop_extents(FS, gone, 0..102_400).unwrap();
    volume.finish_growth().unwrap();
    drop(volume);
    check(&image);
    let mut expected = big;
    expected[8192..8192 + 40_960].copy_from_slice(&pattern(2, 40_960));
    expected[16384..16384 + 4096].copy_from_slice(&pattern(3, 4096));
    expected[500_000 / 4096 * 4096..520_192].fill(0);
    {
        let mount = Mount::new(&image, "ro");
        assert_eq!(fs::read(mount.path("dir/file")).unwrap(), expected);
        assert_eq!(fs::read(mount.path("link")).unwrap(), expected);
        assert_eq!(fs::read(mount.path("dir/inline")).unwrap(), b"tiny");
        let holey = fs::read(mount.path("dir/holey")).unwrap();
        assert_eq!(&holey[1 << 20..], b"behind a hole");
        assert!(holey[..1 << 20].iter().all(|&b| b == 0));
        assert_eq!(fs::read(mount.path("emptied")).unwrap(), vec![0; 100_000]);
        let stat = fs::metadata(mount.path("dir/file")).unwrap();
        assert_eq!(stat.mode(), 0o104_750);
        assert_eq!((stat.uid(), stat.gid(), stat.nlink()), (1000, 1001, 2501));
        assert_eq!((stat.mtime(), stat.mtime_nsec()), (-5, 7));
        assert_eq!(fs::read_dir(mount.path("dir")).unwrap().count(), 2503);
        assert!(
            fs::metadata(mount.path("fifo"))
                .unwrap()
                .file_type()
                .is_fifo()
        );
        assert_eq!(fs::metadata(mount.path("null")).unwrap().rdev(), 0x103);
        let attr = run(
            "python3",
            &[
                "-c",
                "import os,sys; sys.stdout.buffer.write(os.getxattr(sys.argv[1], 'user.test'))",
                mount.path("dir/file").to_str().unwrap(),
            ],
        );
        assert!(!attr.status.success() || attr.stdout == b"value");
    }
    kernel_may_write(&image);
}

#[test]
fn a_hundred_thousand_files_in_many_commits_arrive() {
    if !judges("a_hundred_thousand_files_in_many_commits_arrive") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("image");
    let volume = volume(&image, &MkfsOptions::default());
    let start = std::time::Instant::now();
    let mut parent = ROOT;
    for index in 0..100_000u64 {
        if index % 1000 == 0 {
            let name = format!("dir{index}");
            parent = volume
                .create(FS, ROOT, name.as_bytes(), &inode(0o040_755), b"")
                .unwrap();
        }
        let name = format!("file-{index}");
        let ino = volume
            .create(FS, parent, name.as_bytes(), &inode(0o100_644), b"")
            .unwrap();
        if index % 3 == 0 {
            write(&volume, ino, 0, name.as_bytes());
        } else {
            volume
                .insert_inline(FS, ino, name.clone().into(), 0, name.len() as u64)
                .unwrap();
            volume
                .change_inode(FS, ino, |item| item.size = name.len() as u64)
                .unwrap();
        }
        if index % 7000 == 0 {
            volume.commit().unwrap();
        }
    }
    eprintln!("created in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    volume.finish_growth().unwrap();
    eprintln!("committed in {:?}", start.elapsed());
    drop(volume);
    check(&image);
    {
        let mount = Mount::new(&image, "ro");
        for index in (0..100_000u64).step_by(997) {
            let name = format!("file-{index}");
            let path = mount.path(&format!("dir{}/{name}", index / 1000 * 1000));
            assert_eq!(fs::read(path).unwrap(), name.as_bytes());
        }
    }
    kernel_may_write(&image);
}
