//! Bad input: an error that names what is wrong, the right exit code, and nothing half done.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::snapshot::{assert_same, snapshot};
use support::{Mounted, can_mount, text, tree, ubtrfs, ubtrfs_ok};

fn fails(args: &[&str], code: i32, words: &[&str]) -> String {
    let output = ubtrfs(args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{args:?}: {stderr}");
    }
    stderr
}

/// Names in a directory, hidden ones too.
fn names(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into())
        .collect();
    names.sort();
    names
}

#[test]
fn wrong_usage_is_2() {
    for args in [
        &[][..],
        &["pack"],
        &["pack", "a"],
        &["nonsense"],
        &["pack", "-c", "zstd:16", "a", "b"],
        &["pack", "-c", "gzip", "a", "b"],
        &["pack", "--threads", "0", "a", "b"],
        &["pack", "--memory", "1M", "a", "b"],
        &["pack", "-b", "lots", "a", "b"],
        &["pack", "-U", "no-uuid", "a", "b"],
        &["pack", "-m", "raid1", "a", "b"],
        &["pack", "--exclude", "[", "/", "b"],
        &["cat", "a"],
        &["unpack", "a"],
        &["unpack", "a", "b", "c", "d"],
    ] {
        fails(args, 2, &[]);
    }
    let label = "x".repeat(256);
    fails(&["mkfs", "-L", &label, "b"], 2, &["label"]);
    for args in [
        &["--help"][..],
        &["pack", "--help"],
        &["unpack", "-h"],
        &["--version"],
    ] {
        assert!(!ubtrfs_ok(args).is_empty());
    }
}

#[test]
fn a_source_that_is_none() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&temp.path().join(name)).to_owned();
    fs::write(at("file"), "no directory").unwrap();
    let image = at("image");
    fails(
        &["pack", &at("missing"), &image],
        1,
        &["missing", "No such file"],
    );
    fails(
        &["pack", &at("file"), &image],
        1,
        &["file", "Not a directory"],
    );
    fails(
        &["pack", &at(""), &at("no/image")],
        1,
        &["no", "No such file"],
    );
    assert_eq!(names(temp.path()), [Path::new("file")]);
}

#[test]
fn an_image_that_is_none() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&temp.path().join(name)).to_owned();
    fs::write(at("empty"), "").unwrap();
    fs::write(at("text"), tree::text(1 << 20)).unwrap();
    fs::create_dir(at("dir")).unwrap();
    for (name, cause) in [
        ("missing", "No such file"),
        ("empty", "btrfs"),
        ("text", "btrfs"),
        ("dir", "directory"),
    ] {
        for command in [
            &["ls", &at(name)][..],
            &["cat", &at(name), "x"],
            &["info", &at(name)],
            &["usage", &at(name)],
            &["unpack", &at(name), &at("out")],
        ] {
            fails(command, 1, &[name, cause]);
        }
    }
    assert!(!Path::new(&at("out")).exists());
}

#[test]
fn what_exists_is_kept_unless_forced_and_what_is_in_use_always() {
    let test = "what_exists_is_kept_unless_forced_and_what_is_in_use_always";
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    tree::sizes(&dir);
    let image = temp.path().join("image");
    fs::write(&image, "precious").unwrap();
    for args in [
        &["pack", text(&dir), text(&image)][..],
        &["mkfs", text(&image)],
    ] {
        fails(args, 1, &["image", "exists", "--force"]);
        assert_eq!(fs::read(&image).unwrap(), b"precious");
    }
    ubtrfs_ok(&["pack", "-q", "--force", text(&dir), text(&image)]);
    fails(
        &["pack", "-f", text(&dir), text(&dir)],
        1,
        &["not a regular file"],
    );
    if can_mount(test) {
        let mounted = Mounted::new(&image, &temp.path().join("mnt"), "loop,ro");
        for args in [
            &["pack", "-f", text(&dir), text(&image)][..],
            &["mkfs", "-f", text(&image)],
        ] {
            fails(args, 1, &["image", "in use"]);
        }
        assert_same("still there", &snapshot(&dir), &snapshot(mounted.path()));
    }
}

#[test]
fn the_image_may_lie_in_the_directory_and_is_left_out() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("file"), "x").unwrap();
    let image = dir.join("image");
    for _ in 0..2 {
        ubtrfs_ok(&["pack", "-q", "-f", text(&dir), text(&image)]);
        assert_eq!(ubtrfs_ok(&["ls", text(&image)]), b"file\n");
    }
    assert_eq!(names(&dir), [Path::new("file"), Path::new("image")]);
}

#[test]
fn what_is_excluded_stays_out() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    for path in [
        "a/x.o",
        "a/y.c",
        "target/deep/z",
        "b/target/w",
        "c/d/skip",
        "c/e/skip",
    ] {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let image = temp.path().join("image");
    ubtrfs_ok(&[
        "pack",
        "-q",
        "--exclude",
        "*.o",
        "--exclude",
        "/target",
        "--exclude",
        "c/*/skip",
        text(&dir),
        text(&image),
    ]);
    let out = temp.path().join("out");
    ubtrfs_ok(&["unpack", "-q", text(&image), text(&out)]);
    let found = snapshot(&out);
    let files: Vec<_> = found
        .iter()
        .filter(|(_, node)| node.size > 0)
        .map(|(path, _)| text(path))
        .collect();
    assert_eq!(files, ["a/y.c", "b/target/w"]);
}

#[test]
fn mount_points_are_left_out_if_wanted() {
    let test = "mount_points_are_left_out_if_wanted";
    if !can_mount(test) {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    let other = dir.join("other");
    fs::create_dir_all(&other).unwrap();
    support::tool("mount", &["-t", "tmpfs", "tmpfs", text(&other)]);
    fs::write(other.join("file"), "x").unwrap();
    let image = temp.path().join("image");
    let image = text(&image);
    let with = ubtrfs(&["pack", "-q", text(&dir), image]);
    let listed_with = ubtrfs(&["ls", image, "other"]);
    let without = ubtrfs(&["pack", "-q", "-f", "-x", text(&dir), image]);
    let listed_without = ubtrfs(&["ls", image, "other"]);
    support::umount(&other);
    assert!(with.status.success() && without.status.success());
    assert_eq!(listed_with.stdout, b"file\n");
    assert_eq!(listed_without.stdout, b"");
    assert!(listed_without.status.success());
}

#[test]
fn no_room_is_an_error_and_leaves_nothing() {
    let test = "no_room_is_an_error_and_leaves_nothing";
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("noise"), tree::noise(200 << 20, 1)).unwrap();
    let image = temp.path().join("image");
    fails(
        &["pack", "-b", "150M", text(&dir), text(&image)],
        1,
        &["image", "space"],
    );
    fails(
        &["pack", "-b", "64K", text(&dir), text(&image)],
        1,
        &["image"],
    );
    fails(&["mkfs", "-b", "64K", text(&image)], 1, &["image"]);
    assert_eq!(names(temp.path()), [Path::new("dir")]);
    if can_mount(test) {
        let small = temp.path().join("small");
        fs::create_dir(&small).unwrap();
        support::tool(
            "mount",
            &["-t", "tmpfs", "-o", "size=100m", "tmpfs", text(&small)],
        );
        let output = ubtrfs(&["pack", "-q", text(&dir), text(&small.join("image"))]);
        let left = names(&small);
        support::umount(&small);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("space"), "{stderr}");
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn an_interrupt_leaves_nothing() {
    use rustix::process::{Pid, Signal, kill_process};
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir(&dir).unwrap();
    // Work for a while: compressed holes are too fast to be met.
    for number in 0..20_000 {
        fs::write(dir.join(number.to_string()), tree::text(3000)).unwrap();
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        // Under `nohup` that is how it should be.
        if ignored & 1 << (signal.as_raw() - 1) != 0 {
            continue;
        }
        // On a busy machine we may come before it listens, or when it has ended.
        let interrupted = (1..=10).any(|attempt| {
            let out = temp.path().join(format!("{signal:?}{attempt}"));
            fs::create_dir(&out).unwrap();
            let mut child = Command::new(env!("CARGO_BIN_EXE_ubtrfs"))
                .args(["pack", "-q", "-c", "zstd:15"])
                .args([&dir, &out.join("image")])
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(50 * attempt));
            let pid = Pid::from_child(&child);
            let _ = kill_process(pid, signal);
            let code = child.wait().unwrap().code();
            assert!(code == Some(0) || names(&out).is_empty(), "{code:?}");
            code == Some(1)
        });
        assert!(interrupted, "{signal:?}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_named_and_the_rest_arrives() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("quiet"), tree::text(1 << 20)).unwrap();
    let content = tree::noise(16 << 20, 1);
    // In small steps all the time, so that any reading of so many bytes meets some of them.
    type Change = fn(&fs::File, u64);
    let grow: Change = |file, step| file.set_len((16 << 20) + step * 4096).unwrap();
    let shrink: Change = |file, step| file.set_len((16 << 20) - step * 4096).unwrap();
    for (change, told) in [(grow, "grew"), (shrink, "shrank")] {
        let file = fs::File::create(dir.join("changing")).unwrap();
        file.write_all_at(&content, 0).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            scope.spawn(|| {
                for step in (0..3000).cycle() {
                    if done.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    if step == 0 {
                        file.write_all_at(&content, 0).unwrap();
                    }
                    change(&file, step);
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
            let mut seen = false;
            let end = Instant::now() + Duration::from_secs(60);
            while !seen && Instant::now() < end {
                let image = temp.path().join("image");
                let output = ubtrfs(&["pack", "-q", "-f", text(&dir), text(&image)]);
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                match output.status.code() {
                    Some(0) => assert!(stderr.is_empty(), "{stderr}"),
                    Some(1) => {
                        assert!(stderr.contains("changing"), "{stderr}");
                        seen |= stderr.contains(told);
                    }
                    other => panic!("{other:?}: {stderr}"),
                }
                let quiet = ubtrfs_ok(&["cat", text(&image), "quiet"]);
                assert!(quiet == tree::text(1 << 20));
                // What was read of the other one is whole, too.
                ubtrfs_ok(&["cat", text(&image), "changing"]);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            seen
        });
        assert!(seen, "never told that it {told}");
    }
}

#[test]
fn unpack_into_what_is_there() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("sub/file"), "from the image").unwrap();
    fs::write(dir.join("other"), "from the image").unwrap();
    fs::write(dir.join("was-a-dir"), "from the image").unwrap();
    fs::create_dir(dir.join("was-a-link")).unwrap();
    fs::write(dir.join("was-a-link/inside"), "from the image").unwrap();
    let image = temp.path().join("image");
    ubtrfs_ok(&["pack", "-q", text(&dir), text(&image)]);
    let out = temp.path().join("out");
    let outside = temp.path().join("outside");
    fs::create_dir_all(out.join("sub")).unwrap();
    fs::create_dir_all(out.join("was-a-dir")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "not to be touched").unwrap();
    symlink(outside.join("file"), out.join("other")).unwrap();
    symlink(&outside, out.join("was-a-link")).unwrap();
    fs::write(out.join("sub/file"), "was there").unwrap();
    let stderr = fails(
        &["unpack", "-q", text(&image), text(&out)],
        1,
        &["File exists"],
    );
    assert_eq!(stderr.lines().count(), 4, "{stderr}");
    assert_eq!(fs::read(out.join("sub/file")).unwrap(), b"was there");
    let stderr = fails(
        &["unpack", "-f", text(&image), text(&out)],
        1,
        &["was-a-dir"],
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(fs::read(out.join("sub/file")).unwrap(), b"from the image");
    assert_eq!(
        fs::read(out.join("was-a-link/inside")).unwrap(),
        b"from the image"
    );
    assert_eq!(fs::read(out.join("other")).unwrap(), b"from the image");
    assert_eq!(names(&outside), [Path::new("file")]);
    assert_eq!(
        fs::read(outside.join("file")).unwrap(),
        b"not to be touched"
    );
}

#[test]
fn links_in_an_image_lead_nowhere_else() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir_all(dir.join("etc/deep")).unwrap();
    fs::write(dir.join("etc/passwd"), "of the image").unwrap();
    symlink("/etc/passwd", dir.join("absolute")).unwrap();
    symlink("../../../../../etc/passwd", dir.join("etc/deep/up")).unwrap();
    symlink("loop", dir.join("loop")).unwrap();
    symlink("/etc", dir.join("dirlink")).unwrap();
    for number in 0..41 {
        symlink(
            format!("chain-{}", number + 1),
            dir.join(format!("chain-{number}")),
        )
        .unwrap();
    }
    fs::write(dir.join("chain-41"), "the end").unwrap();
    let image = temp.path().join("image");
    ubtrfs_ok(&["pack", "-q", text(&dir), text(&image)]);
    let image = text(&image);
    for path in [
        "absolute",
        "etc/deep/up",
        "/dirlink/passwd",
        "dirlink/../etc/./passwd",
    ] {
        assert_eq!(ubtrfs_ok(&["cat", image, path]), b"of the image", "{path}");
    }
    assert_eq!(ubtrfs_ok(&["ls", image, "dirlink"]), b"deep\npasswd\n");
    assert_eq!(ubtrfs_ok(&["cat", image, "chain-1"]), b"the end");
    fails(
        &["cat", image, "chain-0"],
        1,
        &["chain-0", "too many symbolic links"],
    );
    fails(
        &["cat", image, "loop"],
        1,
        &["loop", "too many symbolic links"],
    );
    fails(&["cat", image, "missing"], 1, &["missing", "no such file"]);
    fails(&["cat", image, "etc"], 1, &["etc", "not a regular file"]);
    fails(&["ls", image, "etc/passwd/x"], 1, &["not a directory"]);
    // The rest is written all the same.
    let output = ubtrfs(&["cat", image, "missing", "etc/passwd"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"of the image");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("big"), tree::noise(8 << 20, 1)).unwrap();
    let image = temp.path().join("image");
    ubtrfs_ok(&["pack", "-q", text(&dir), text(&image)]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_ubtrfs"))
        .args(["cat", text(&image), "big"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// Runs with a limit of time and memory; a panic, a hang or too much memory fails the test.
fn bounded(args: &[&str]) -> Output {
    let script = "ulimit -v 4000000; exec timeout 60 \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_ubtrfs")])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let code = output.status.code();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(code, Some(0 | 1)), "{args:?}: {code:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    output
}

#[test]
fn damage_anywhere_is_healed_or_told_and_never_passes_for_data() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    tree::sizes(&dir.join("sizes"));
    tree::links(&dir.join("links"), 50);
    tree::names(&dir.join("names"));
    let image = temp.path().join("image");
    ubtrfs_ok(&["pack", "-q", text(&dir), text(&image)]);
    let whole = fs::read(&image).unwrap();
    let expected = snapshot(&dir);
    let used: Vec<usize> = (0..whole.len())
        .step_by(512)
        .filter(|at| {
            whole[*at..(at + 512).min(whole.len())]
                .iter()
                .any(|b| *b != 0)
        })
        .collect();
    let damaged = temp.path().join("damaged");
    let out = temp.path().join("out");
    let mut state = 1u64;
    for round in 0..60 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(round);
        let mut bytes = whole.clone();
        if round % 6 == 5 {
            bytes.truncate((state >> 20) as usize % whole.len());
        } else {
            let at = used[(state >> 20) as usize % used.len()] + (state >> 8) as usize % 512;
            bytes[at] ^= 1 << (state >> 60 & 7);
        }
        fs::write(&damaged, &bytes).unwrap();
        let damaged = text(&damaged);
        let unpacked = bounded(&["unpack", "-q", damaged, text(&out)]);
        if unpacked.status.success() && round % 6 != 5 {
            // Healed from a copy, or in what nobody reads.
            assert_same(&format!("round {round}"), &expected, &snapshot(&out));
        }
        for args in [
            &["ls", "-lR", damaged][..],
            &["usage", damaged],
            &["info", damaged],
            &["cat", damaged, "sizes/text-5000000"],
        ] {
            bounded(args);
        }
        let _ = fs::remove_dir_all(&out);
    }
}

#[test]
fn a_flip_in_data_spoils_only_that_file() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir(&dir).unwrap();
    let noise = tree::noise(1 << 20, 42);
    fs::write(dir.join("spoiled"), &noise).unwrap();
    fs::write(dir.join("whole"), tree::text(1 << 20)).unwrap();
    let image = temp.path().join("image");
    ubtrfs_ok(&["pack", "-q", text(&dir), text(&image)]);
    let mut bytes = fs::read(&image).unwrap();
    let needle = &noise[500_000..500_064];
    let at = bytes.windows(64).position(|w| w == needle).unwrap();
    bytes[at] ^= 1;
    fs::write(&image, bytes).unwrap();
    let out = temp.path().join("out");
    fails(&["unpack", "-q", text(&image), text(&out)], 1, &["spoiled"]);
    assert_eq!(fs::read(out.join("whole")).unwrap(), tree::text(1 << 20));
    // All but the sector is saved.
    let saved = fs::read(out.join("spoiled")).unwrap();
    let sector = 500_000 / 4096 * 4096;
    assert_eq!(saved.len(), noise.len());
    assert!(saved[..sector] == noise[..sector]);
    assert!(saved[sector + 4096..] == noise[sector + 4096..]);
    assert!(saved[sector..sector + 4096].iter().all(|b| *b == 0));
    let output = ubtrfs(&["cat", text(&image), "spoiled", "whole"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout == [&noise[..sector], &tree::text(1 << 20)].concat());
}

#[test]
fn damaged_data_comes_from_its_other_copy_with_a_warning() {
    let test = "damaged_data_comes_from_its_other_copy_with_a_warning";
    let temp = tempfile::tempdir().unwrap();
    let Some((image, mounted)) =
        support::kernel_image(test, temp.path(), &["-d", "dup"], "loop,compress=zstd")
    else {
        return;
    };
    let noise = tree::noise(300_000, 1);
    fs::write(mounted.path().join("noise"), &noise).unwrap();
    mounted.unmount();
    // The first copy of the file's middle.
    let mut bytes = fs::read(&image).unwrap();
    let needle = &noise[200_000..200_064];
    let places: Vec<usize> = (0..bytes.len() - 64)
        .filter(|at| bytes[*at] == needle[0] && bytes[*at..*at + 64] == *needle)
        .collect();
    assert_eq!(places.len(), 2);
    bytes[places[0]] ^= 1;
    fs::write(&image, &bytes).unwrap();
    let cat = ubtrfs(&["cat", text(&image), "noise"]);
    let stderr = String::from_utf8_lossy(&cat.stderr);
    assert!(cat.status.success(), "{stderr}");
    assert!(cat.stdout == noise);
    assert!(
        stderr.contains("warning") && stderr.contains("copy"),
        "{stderr}"
    );
    // And where both are damaged, what is in front of it comes, and the error.
    bytes[places[1]] ^= 1;
    fs::write(&image, &bytes).unwrap();
    let cat = ubtrfs(&["cat", text(&image), "noise"]);
    let stderr = String::from_utf8_lossy(&cat.stderr);
    assert_eq!(cat.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("noise") && stderr.contains("checksum"),
        "{stderr}"
    );
    assert!(noise.starts_with(&cat.stdout) && cat.stdout.len() == 200_000 / 4096 * 4096);
    let out = temp.path().join("out");
    let unpack = ubtrfs(&["unpack", "-q", text(&image), text(&out)]);
    assert_eq!(unpack.status.code(), Some(1));
    let mut expected = noise;
    expected[200_000 / 4096 * 4096..][..4096].fill(0);
    assert!(fs::read(out.join("noise")).unwrap() == expected);
}

#[test]
fn an_image_cut_short_says_so_and_names_no_other_copy() {
    let test = "an_image_cut_short_says_so_and_names_no_other_copy";
    let temp = tempfile::tempdir().unwrap();
    let Some((image, mounted)) =
        support::kernel_image(test, temp.path(), &["-m", "single"], "loop")
    else {
        return;
    };
    let noise = tree::noise(300_000, 2);
    fs::write(mounted.path().join("noise"), &noise).unwrap();
    support::tool("sync", &["-f", text(mounted.path())]);
    mounted.unmount();
    // Cut in the middle of the file, which is behind the metadata.
    let bytes = fs::read(&image).unwrap();
    let needle = &noise[200_000..200_064];
    let at = (0..bytes.len() - 64)
        .find(|at| bytes[*at] == needle[0] && bytes[*at..*at + 64] == *needle)
        .unwrap();
    let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    file.set_len(at as u64).unwrap();
    let cat = ubtrfs(&["cat", text(&image), "noise"]);
    let stderr = String::from_utf8_lossy(&cat.stderr);
    assert_eq!(cat.status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains("another copy"), "{stderr}");
    assert!(stderr.contains("cut short"), "{stderr}");
    // Sectors in front of the cut came one by one, and nothing was damaged.
    assert!(!cat.stdout.is_empty() && noise.starts_with(&cat.stdout));
}

#[test]
fn where_nobody_can_be_told_the_work_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("file"), "content").unwrap();
    let image = temp.path().join("image");
    ubtrfs_ok(&["pack", "-q", text(&dir), text(&image)]);
    let full = || {
        Stdio::from(
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
    };
    let run = Command::new(env!("CARGO_BIN_EXE_ubtrfs"))
        .args(["cat", text(&image), "nothing", "file"])
        .stderr(full())
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(run.stdout, b"content");
    let run = Command::new(env!("CARGO_BIN_EXE_ubtrfs"))
        .args(["ls", text(&dir)])
        .stderr(full())
        .status()
        .unwrap();
    assert_eq!(run.code(), Some(1));
}

#[test]
fn signals_that_were_ignored_stay_ignored() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("noise"), tree::noise(24 << 20, 3)).unwrap();
    let image = temp.path().join("image");
    let mut run = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .args([env!("CARGO_BIN_EXE_ubtrfs"), "pack", "-q", "-c", "zstd:15"])
        .args([&dir, &image])
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&run);
    // Until then it may be the shell, before its trap.
    let comm = format!("/proc/{}/comm", run.id());
    let begun = Instant::now();
    while fs::read_to_string(&comm).unwrap() != "ubtrfs\n" {
        assert!(begun.elapsed() < Duration::from_secs(30), "never started");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut told = 0;
    let status = loop {
        std::thread::sleep(Duration::from_millis(20));
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        told += 1;
    };
    assert!(status.success(), "{status}");
    assert!(told > 0, "too fast to be told");
    assert!(image.exists());
}

#[test]
fn files_that_do_not_tell_their_size_are_read_to_their_end() {
    let test = "files_that_do_not_tell_their_size_are_read_to_their_end";
    let source = Path::new("/proc/sys/kernel/random");
    let Ok(expected) = fs::read(source.join("boot_id")) else {
        support::skip(test, "there is no /proc");
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    let image = temp.path().join("image");
    let _ = ubtrfs(&["pack", "-q", text(source), text(&image)]);
    assert_eq!(ubtrfs_ok(&["cat", text(&image), "boot_id"]), expected);
}

#[test]
fn a_volume_that_is_too_small_is_told_with_the_file_and_the_option() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("noise"), tree::noise(90 << 20, 4)).unwrap();
    let image = temp.path().join("image");
    let run = ubtrfs(&["pack", "-q", "-b", "64M", text(&dir), text(&image)]);
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{stderr}");
    for part in ["dir/noise", "--byte-count"] {
        assert!(stderr.contains(part), "{stderr}");
    }
    let run = ubtrfs(&["pack", "-q", "-b", "15E", text(&dir), text(&image)]);
    assert_eq!(run.status.code(), Some(2));
    assert!(!image.exists());
}
