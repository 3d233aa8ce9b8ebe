//! All that a directory can hold arrives: the kernel finds it, and `unpack` brings it back.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;

use support::snapshot::{Snapshot, assert_same, snapshot};
use support::{Mounted, can_mount, check, has_progs, is_root, text, tree, ubtrfs, ubtrfs_ok};

/// Packs, and lets all judges look at the image.
fn judged(test: &str, codec: &str, dir: &Path, temp: &Path, expected: &Snapshot) {
    let image = temp.join(format!("{codec}.img"));
    let codec_option = format!("--compress={codec}");
    ubtrfs_ok(&["pack", "-q", &codec_option, text(dir), text(&image)]);
    if has_progs(test) {
        check(&image);
    }
    if can_mount(test) {
        let mounted = Mounted::new(&image, &temp.join("mnt"), "loop,ro");
        assert_same(
            &format!("{codec}, mounted"),
            expected,
            &snapshot(mounted.path()),
        );
        mounted.unmount();
    }
    let out = temp.join("out");
    ubtrfs_ok(&["unpack", "-q", text(&image), text(&out)]);
    assert_same(&format!("{codec}, unpacked"), expected, &snapshot(&out));
    fs::remove_dir_all(&out).unwrap();
    fs::remove_file(&image).unwrap();
}

#[test]
fn all_kinds_with_every_codec() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    tree::all_kinds(&dir);
    let expected = snapshot(&dir);
    for codec in [
        "zstd", "zstd:-15", "zstd:15", "zlib:1", "zlib:9", "lzo", "none",
    ] {
        judged(
            "all_kinds_with_every_codec",
            codec,
            &dir,
            temp.path(),
            &expected,
        );
    }
}

#[test]
fn profiles_sizes_labels_and_uuids_are_as_asked_for() {
    let test = "profiles_sizes_labels_and_uuids_are_as_asked_for";
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    tree::sizes(&dir);
    let image = temp.path().join("image");
    let uuid = "6f1c2f4e-0f0a-4c9e-9d0e-0d9b1f2a3b4c";
    for (metadata, size) in [("single", "512M"), ("dup", "300M")] {
        let args = [
            "pack",
            "-q",
            "-f",
            "-L",
            "the label",
            "-U",
            uuid,
            "-m",
            metadata,
            "-b",
            size,
            text(&dir),
            text(&image),
        ];
        ubtrfs_ok(&args);
        let info = ubtrfs_ok(&["info", "--json", text(&image)]);
        let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
        assert_eq!(info["label"], "the label");
        assert_eq!(info["uuid"], uuid);
        let bytes = ubtrfs::size::parse(size).unwrap();
        assert_eq!(info["total_bytes"], bytes);
        assert_eq!(fs::metadata(&image).unwrap().len(), bytes);
        let groups = info["block_groups"].as_array().unwrap();
        let of_metadata = groups.iter().find(|g| g["kind"] == "metadata").unwrap();
        assert_eq!(of_metadata["profile"], metadata);
        if has_progs(test) {
            check(&image);
        }
        if can_mount(test) {
            let mounted = Mounted::new(&image, &temp.path().join("mnt"), "loop,ro");
            assert_same(metadata, &snapshot(&dir), &snapshot(mounted.path()));
        }
    }
}

#[test]
fn an_empty_volume_and_an_empty_directory_can_be_used() {
    let test = "an_empty_volume_and_an_empty_directory_can_be_used";
    let temp = tempfile::tempdir().unwrap();
    let image = temp.path().join("image");
    let empty = temp.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for args in [
        vec!["mkfs", "-f", text(&image)],
        vec!["mkfs", "-f", "-b", "200M", "-m", "single", text(&image)],
        vec!["pack", "-q", "-f", text(&empty), text(&image)],
    ] {
        ubtrfs_ok(&args);
        assert!(ubtrfs_ok(&["ls", text(&image)]).is_empty());
        if has_progs(test) {
            check(&image);
        }
        if can_mount(test) {
            let mounted = Mounted::new(&image, &temp.path().join("mnt"), "loop");
            fs::write(mounted.path().join("file"), tree::text(100_000)).unwrap();
            mounted.unmount();
            check(&image);
            assert_eq!(
                ubtrfs_ok(&["cat", text(&image), "file"]),
                tree::text(100_000)
            );
        }
    }
}

#[test]
fn the_kernel_can_go_on_with_a_packed_image() {
    let test = "the_kernel_can_go_on_with_a_packed_image";
    if !can_mount(test) || !has_progs(test) {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    tree::all_kinds(&dir);
    let image = temp.path().join("image");
    ubtrfs_ok(&["pack", "-q", text(&dir), text(&image)]);
    let mounted = Mounted::new(&image, &temp.path().join("mnt"), "loop,compress=zstd");
    let at = mounted.path();
    // Create, change, rename, link, delete.
    fs::create_dir(at.join("new")).unwrap();
    fs::write(at.join("new/file"), tree::text(500_000)).unwrap();
    fs::write(at.join("sizes/text-700001"), "short now").unwrap();
    fs::rename(at.join("sizes/noise-131072"), at.join("new/moved")).unwrap();
    fs::hard_link(at.join("links/file"), at.join("new/another")).unwrap();
    fs::remove_file(at.join("links/below/link-3-xxx")).unwrap();
    fs::remove_dir_all(at.join("directories/many")).unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(at.join("sizes/text-5000000"))
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"in the middle", 1_000_001).unwrap();
    drop(file);
    let expected = snapshot(at);
    mounted.unmount();
    check(&image);
    let out = temp.path().join("out");
    ubtrfs_ok(&["unpack", "-q", text(&image), text(&out)]);
    assert_same("changed by the kernel", &expected, &snapshot(&out));
}

#[test]
fn images_that_the_kernel_made_are_unpacked() {
    let test = "images_that_the_kernel_made_are_unpacked";
    if !can_mount(test) || !has_progs(test) {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    tree::all_kinds(&dir);
    // No node of 4 KiB holds it.
    fs::remove_file(dir.join("links/long")).unwrap();
    for (options, mount) in [
        (vec![], "loop,compress-force=zstd"),
        (
            vec!["-n", "4096", "-O", "^no-holes"],
            "loop,compress-force=lzo",
        ),
        (vec!["-n", "65536", "-m", "single"], "loop,compress=zlib"),
    ] {
        let image = temp.path().join("image");
        fs::File::create(&image).unwrap().set_len(1 << 30).unwrap();
        let mut args = vec!["-q", "-f"];
        args.extend(options);
        args.push(text(&image));
        support::tool("mkfs.btrfs", &args);
        let mounted = Mounted::new(&image, &temp.path().join("mnt"), mount);
        let from = format!("{}/.", text(&dir));
        support::tool(
            "cp",
            &["-a", "--sparse=always", &from, text(mounted.path())],
        );
        let expected = snapshot(mounted.path());
        mounted.unmount();
        let out = temp.path().join("out");
        ubtrfs_ok(&["unpack", "-q", text(&image), text(&out)]);
        assert_same(mount, &expected, &snapshot(&out));
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn a_tree_deeper_than_any_path_comes_and_goes() {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir(&dir).unwrap();
    let name = "d".repeat(100);
    let open = |at, name: &str| openat(at, name, flags, Mode::empty()).unwrap();
    const DEPTH: usize = 1000;
    let mut at = openat(CWD, &dir, flags, Mode::empty()).unwrap();
    for _ in 0..DEPTH {
        mkdirat(&at, &*name, Mode::from_raw_mode(0o755)).unwrap();
        at = open(at, &name);
    }
    fs::write(dir.join("x"), "behind").unwrap();
    let image = temp.path().join("image");
    let out = temp.path().join("out");
    ubtrfs_ok(&["pack", "-q", text(&dir), text(&image)]);
    ubtrfs_ok(&["unpack", "-q", text(&image), text(&out)]);
    let listing = ubtrfs_ok(&["ls", "-R", text(&image)]);
    assert!(listing.len() > DEPTH * DEPTH * 100 / 2);
    let mut at = openat(CWD, &out, flags, Mode::empty()).unwrap();
    for _ in 0..DEPTH {
        at = open(at, &name);
    }
    assert_eq!(fs::read(out.join("x")).unwrap(), b"behind");
    // What only goes by paths cannot remove these.
    for dir in [&dir, &out] {
        support::tool("rm", &["-r", text(dir)]);
    }
}

#[test]
fn a_part_is_unpacked_and_a_single_file_too() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    tree::sizes(&dir.join("a/sizes"));
    tree::links(&dir.join("b"), 10);
    let image = temp.path().join("image");
    ubtrfs_ok(&["pack", "-q", text(&dir), text(&image)]);
    let part = temp.path().join("part");
    ubtrfs_ok(&["unpack", "-q", text(&image), "a/sizes", text(&part)]);
    assert_same("part", &snapshot(&dir.join("a/sizes")), &snapshot(&part));
    let single = temp.path().join("single");
    ubtrfs_ok(&[
        "unpack",
        "-q",
        text(&image),
        "a/sizes/text-8192",
        text(&single),
    ]);
    assert_eq!(
        fs::read(single.join("text-8192")).unwrap(),
        tree::text(8192)
    );
    ubtrfs_ok(&["unpack", "-q", text(&image), "b/dangling", text(&single)]);
    assert!(
        fs::symlink_metadata(single.join("dangling"))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn without_root_owners_and_devices_are_left_out_which_is_said_once() {
    let test = "without_root_owners_and_devices_are_left_out_which_is_said_once";
    if !is_root() {
        support::skip(test, "making devices and owners needs root");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    tree::specials(&dir.join("specials"));
    tree::attributes(&dir.join("attributes"));
    let image = temp.path().join("image");
    ubtrfs_ok(&["pack", "-q", text(&dir), text(&image)]);
    let home = temp.path().join("home");
    fs::create_dir(&home).unwrap();
    for path in [temp.path(), &home, &image] {
        std::os::unix::fs::chown(path, Some(1234), Some(1234)).unwrap();
    }
    let out = home.join("out");
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_ubtrfs"))
        .args(["unpack", "-q", text(&image), text(&out)])
        .groups_and_ids()
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.contains("owners") && stderr.contains("3 devices"),
        "{stderr}"
    );
    assert!(out.join("specials/fifo").exists());
    assert!(!out.join("specials/char").exists());
    use std::os::unix::fs::MetadataExt;
    let setuid = fs::metadata(out.join("attributes/mode-4755")).unwrap();
    assert_eq!((setuid.mode() & 0o7777, setuid.uid()), (0o755, 1234));
    // And what may not be read is named, and the rest arrives.
    std::os::unix::fs::chown(&dir, Some(1234), Some(1234)).unwrap();
    fs::write(dir.join("secret"), "x").unwrap();
    fs::set_permissions(
        dir.join("secret"),
        std::os::unix::fs::PermissionsExt::from_mode(0o000),
    )
    .unwrap();
    fs::write(dir.join("public"), "x").unwrap();
    let image = home.join("image");
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_ubtrfs"))
        .args(["pack", "-q", text(&dir), text(&image)])
        .groups_and_ids()
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("secret") && stderr.contains("ermission denied"),
        "{stderr}"
    );
    let listed = ubtrfs(&["ls", text(&image)]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        listed.contains("public") && !listed.contains("secret"),
        "{listed}"
    );
}

/// A command that runs as a user who may nothing.
trait Unprivileged {
    fn groups_and_ids(&mut self) -> &mut Self;
}

impl Unprivileged for std::process::Command {
    fn groups_and_ids(&mut self) -> &mut Self {
        use std::os::unix::process::CommandExt;
        self.uid(1234).gid(1234)
    }
}

#[test]
fn what_only_a_btrfs_can_have_is_left_out_elsewhere_which_is_said_once() {
    let test = "what_only_a_btrfs_can_have_is_left_out_elsewhere_which_is_said_once";
    let temp = tempfile::tempdir().unwrap();
    let Some((image, mounted)) = support::kernel_image(test, temp.path(), &[], "loop") else {
        return;
    };
    for name in ["a", "b"] {
        let file = mounted.path().join(name);
        fs::write(&file, name).unwrap();
        support::tool(
            "btrfs",
            &["property", "set", text(&file), "compression", "zstd"],
        );
    }
    mounted.unmount();
    let out = temp.path().join("out");
    let run = ubtrfs(&["unpack", "-q", text(&image), text(&out)]);
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{stderr}");
    assert_eq!(fs::read(out.join("b")).unwrap(), b"b");
    const BTRFS_MAGIC: u64 = 0x9123_683e;
    if rustix::fs::statfs(&out).unwrap().f_type as u64 == BTRFS_MAGIC {
        assert!(stderr.is_empty(), "{stderr}");
    } else {
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("2 attributes btrfs.*"), "{stderr}");
    }
}
