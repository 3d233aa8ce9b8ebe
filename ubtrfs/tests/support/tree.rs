//! Trees of all the kinds that a directory can hold.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lsetxattr, makedev, mknodat,
    utimensat,
};

use super::snapshot::name;
use super::{is_root, random};

/// Bytes that compress well.
pub(crate) fn text(len: usize) -> Vec<u8> {
    let words = b"delalloc ordered extent writeback folio uptodate ";
    (0..len)
        .map(|i| words[(i + i / 1000) % words.len()])
        .collect()
}

/// Bytes that don't.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut below = random(seed);
    (0..len).map(|_| (below(1 << 40) >> 32) as u8).collect()
}

/// All kinds.
pub(crate) fn all_kinds(root: &Path) {
    fs::create_dir_all(root).unwrap();
    sizes(&root.join("sizes"));
    holes(&root.join("holes"));
    names(&root.join("names"));
    links(&root.join("links"), 1500);
    specials(&root.join("specials"));
    attributes(&root.join("attributes"));
    directories(&root.join("directories"));
    times(&root.join("times"));
}

/// Regular files around all the sizes at which something changes.
pub(crate) fn sizes(root: &Path) {
    fs::create_dir_all(root).unwrap();
    for size in [
        0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 8191, 8192, 8193, 131_071, 131_072, 131_073,
        262_144, 700_001, 5_000_000,
    ] {
        fs::write(root.join(format!("text-{size}")), text(size)).unwrap();
        fs::write(root.join(format!("noise-{size}")), noise(size, size as u64)).unwrap();
        // One piece that shrinks beside one that does not.
        let mut mixed = text(size / 2);
        mixed.extend(noise(size - size / 2, 7));
        fs::write(root.join(format!("mixed-{size}")), mixed).unwrap();
    }
    fs::write(root.join("zeros"), vec![0; 1 << 20]).unwrap();
}

/// Sparse files.
pub(crate) fn holes(root: &Path) {
    fs::create_dir_all(root).unwrap();
    let file = |name: &str, size: u64, data: &[(u64, usize)]| {
        let file = File::create(root.join(name)).unwrap();
        file.set_len(size).unwrap();
        for (at, len) in data {
            file.write_all_at(&text(*len), *at).unwrap();
        }
    };
    file("only-a-hole", 1 << 20, &[]);
    file("less-than-a-sector", 100, &[]);
    file("hole-first", 300_000, &[(262_144, 37_856)]);
    file("hole-last", 1_000_001, &[(0, 4096)]);
    file("hole-between", 3 << 20, &[(0, 5000), (1 << 20, 140_000)]);
    file(
        "many",
        10 << 20,
        &[
            (8192, 1),
            (65536, 4096),
            (135_168, 4096),
            (5 << 20, 200_000),
        ],
    );
    file(
        "huge",
        1 << 40,
        &[(0, 10), ((1 << 40) - 4096, 4096), (1 << 35, 12345)],
    );
    file("largest", (8 << 40) + 1, &[(8 << 40, 1)]);
}

/// Names.
pub(crate) fn names(root: &Path) {
    fs::create_dir_all(root).unwrap();
    for bytes in [
        &[b'n'; 255][..],
        &[0xff; 255],
        b"\xff\xfe not utf-8",
        "grün 日本 🦀".as_bytes(),
        b"new\nline\ttab\x1b[31m",
        b" leading and trailing ",
        b"-rf",
        b"...",
        b"'\"$`\\*?[",
        &[1],
    ] {
        fs::write(root.join(name(bytes)), bytes).unwrap();
    }
    for pair in colliding(3) {
        for one in pair {
            fs::write(root.join(&one), &one).unwrap();
        }
    }
}

/// Pairs of names with the same crc32c, which is what btrfs finds names by.
pub(crate) fn colliding(pairs: usize) -> Vec<[String; 2]> {
    let mut seen: HashMap<u32, String> = HashMap::new();
    let mut found = Vec::new();
    for number in 0u64.. {
        let candidate = format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if let Some(other) = seen.insert(crc32c::crc32c(candidate.as_bytes()), candidate.clone()) {
            found.push([other, candidate]);
            if found.len() == pairs {
                break;
            }
        }
    }
    found
}

/// Symlinks, and hard links: `many` of one file.
pub(crate) fn links(root: &Path, many: usize) {
    fs::create_dir_all(root.join("below")).unwrap();
    fs::write(root.join("file"), text(10_000)).unwrap();
    for number in 0..many {
        let name = format!("below/link-{number}-{}", "x".repeat(number % 200));
        fs::hard_link(root.join("file"), root.join(name)).unwrap();
    }
    symlink("file", root.join("relative")).unwrap();
    symlink("/nowhere/at/all", root.join("dangling")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("..", root.join("below/up")).unwrap();
    symlink("t".repeat(4000), root.join("long")).unwrap();
    symlink(name(b"\xff\xfe"), root.join("not-utf-8")).unwrap();
    fs::hard_link(root.join("relative"), root.join("relative-too")).unwrap();
}

/// Fifos, sockets and, for root, devices.
pub(crate) fn specials(root: &Path) {
    fs::create_dir_all(root).unwrap();
    let make = |name: &str, kind, major, minor| {
        let mode = Mode::from_raw_mode(0o640);
        mknodat(CWD, root.join(name), kind, mode, makedev(major, minor)).unwrap();
    };
    make("fifo", FileType::Fifo, 0, 0);
    make("socket", FileType::Socket, 0, 0);
    if is_root() {
        make("char", FileType::CharacterDevice, 5, 1);
        make("block", FileType::BlockDevice, 4095, 1_048_575);
        make("whiteout", FileType::CharacterDevice, 0, 0);
    }
}

/// Modes, owners, extended attributes, ACLs, capabilities.
pub(crate) fn attributes(root: &Path) {
    fs::create_dir_all(root.join("dir")).unwrap();
    let mode = |path: &str, mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(root.join(path), mode).unwrap();
    };
    for bits in [0o000, 0o777, 0o4755, 0o2755, 0o1644, 0o6711, 0o7777] {
        let name = format!("mode-{bits:o}");
        fs::write(root.join(&name), "x").unwrap();
        // Others could not be read again.
        if is_root() || bits & 0o400 != 0 {
            mode(&name, bits);
        }
    }
    let set = |path: &str, name: &str, value: &[u8]| {
        let name = CString::new(name).unwrap();
        let path = root.join(path);
        lsetxattr(&path, &*name, value, XattrFlags::empty()).unwrap();
    };
    fs::write(root.join("xattrs"), "x").unwrap();
    set("xattrs", "user.empty", b"");
    set("xattrs", "user.bytes", b"\0\xff\n");
    set("xattrs", "user.large", &noise(2000, 3));
    // Together longer than what the kernel is offered at first.
    for letter in ["n", "o", "p"] {
        let name = format!("user.{}", letter.repeat(200));
        set("xattrs", &name, letter.as_bytes());
    }
    set("dir", "user.of-a-directory", b"yes");
    // A POSIX ACL as the kernel takes it: version 2, then tag, permissions, id.
    let acl = |user: u32| {
        let mut acl = 2u32.to_le_bytes().to_vec();
        let none = u32::MAX;
        for (tag, perm, id) in [
            (1u16, 6u16, none),
            (2, 4, user),
            (4, 4, none),
            (16, 6, none),
            (32, 0, none),
        ] {
            acl.extend(tag.to_le_bytes());
            acl.extend(perm.to_le_bytes());
            acl.extend(id.to_le_bytes());
        }
        acl
    };
    fs::write(root.join("acl"), "x").unwrap();
    set("acl", "system.posix_acl_access", &acl(1234));
    set("dir", "system.posix_acl_default", &acl(4321));
    mode("dir", 0o3770);
    if is_root() {
        fs::write(root.join("capable"), "x").unwrap();
        std::os::unix::fs::chown(root.join("capable"), Some(1), Some(2)).unwrap();
        // Revision 2, effective; permitted: CAP_NET_RAW.
        let mut capability = (0x0200_0000u32 | 1).to_le_bytes().to_vec();
        for word in [1u32 << 13, 0, 0, 0] {
            capability.extend(word.to_le_bytes());
        }
        set("capable", "security.capability", &capability);
        for (name, uid, gid) in [
            ("owned", 1234, 4321),
            ("large-ids", 4_000_000_000, 3_999_999_999),
        ] {
            fs::write(root.join(name), "x").unwrap();
            std::os::unix::fs::chown(root.join(name), Some(uid), Some(gid)).unwrap();
        }
        symlink("owned", root.join("link")).unwrap();
        std::os::unix::fs::lchown(root.join("link"), Some(7), Some(8)).unwrap();
        set("link", "trusted.of-a-link", b"yes");
    }
}

/// Directories: empty, deep, and with many names.
pub(crate) fn directories(root: &Path) {
    fs::create_dir_all(root.join("empty")).unwrap();
    // More than the descriptors that a walk keeps open.
    let mut deep = root.to_owned();
    for _ in 0..300 {
        deep.push("deeper");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "bottom").unwrap();
    fs::write(root.join("deeper/behind"), "comes after the way down").unwrap();
    fs::create_dir_all(root.join("many")).unwrap();
    for number in 0..3000 {
        let content = format!("number {number} ").repeat(number % 50);
        fs::write(root.join(format!("many/{number}")), content).unwrap();
    }
}

/// Times before 1970 and far behind it, with nanoseconds, of all that has times.
pub(crate) fn times(root: &Path) {
    fs::create_dir_all(root.join("dir")).unwrap();
    fs::write(root.join("before"), "x").unwrap();
    fs::write(root.join("after"), "x").unwrap();
    symlink("x", root.join("link")).unwrap();
    set_time(&root.join("before"), -1_234_567_890, 123_456_789);
    set_time(&root.join("after"), 7_000_000_000, 999_999_999);
    set_time(&root.join("link"), -1, 1);
    set_time(&root.join("dir"), 1, 2);
    set_time(root, 3, 4);
}

pub(crate) fn set_time(path: &Path, secs: i64, nanos: i64) {
    let time = Timespec {
        tv_sec: secs,
        tv_nsec: nanos,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
