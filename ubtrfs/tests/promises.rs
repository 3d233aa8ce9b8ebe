//! What is promised of the ways of the command, whatever is in the image.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use support::snapshot::{assert_same, snapshot};
use support::{text, tree, ubtrfs, ubtrfs_ok};

/// Halves in size, slowly.
fn hexadecimal(len: usize) -> Vec<u8> {
    let digit = |byte: u8| b"0123456789abcdef"[usize::from(byte % 16)];
    tree::noise(len, 11).into_iter().map(digit).collect()
}

/// The bar's template in `report.rs` must leave room for all of it on 80 columns.
#[test]
fn a_terminal_sees_files_bytes_rate_ratio_and_time_left() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("a"), "first").unwrap();
    fs::write(dir.join("b"), hexadecimal(24 << 20)).unwrap();
    let pack = |image: &str| {
        let mut pack = Command::new(env!("CARGO_BIN_EXE_ubtrfs"));
        pack.args(["pack", "-c", "zstd:12"]).arg(&dir);
        pack.arg(temp.path().join(image)).stdout(Stdio::null());
        pack
    };

    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let mut slave = OpenOptions::new();
    let slave = slave.read(true).write(true);
    let slave = slave.open(ptsname(&master, Vec::new()).unwrap().to_str().unwrap());
    let slave = slave.unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&slave, size).unwrap();
    let mut command = pack("seen");
    command.env("TERM", "xterm").stderr(slave);
    let mut child = command.spawn().unwrap();
    // With it goes the last descriptor of ours at that end.
    drop(command);
    let mut seen = Vec::new();
    let mut master = File::from(master);
    let mut some = [0; 4096];
    // The end is an error of the terminal.
    while let Ok(len @ 1..) = master.read(&mut some) {
        seen.extend_from_slice(&some[..len]);
    }
    assert!(child.wait().unwrap().success());
    let seen = String::from_utf8_lossy(&seen);
    let whole = seen.split(['\r', '\n']).find(|line| {
        ["MiB/24.00 MiB", "MiB/s", "2 files", "ratio 1.", "eta "]
            .iter()
            .all(|part| line.contains(part))
    });
    assert!(whole.is_some(), "{seen}");
    // It takes itself away.
    assert!(seen.trim_end().ends_with("\u{1b}[2K"), "{seen:?}");

    let unseen = pack("unseen").stderr(Stdio::piped()).output().unwrap();
    assert!(unseen.status.success());
    assert_eq!(String::from_utf8_lossy(&unseen.stderr), "");
}

#[test]
fn a_slash_behind_a_name_wants_a_directory() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("file"), "x").unwrap();
    fs::write(dir.join("sub/inside"), "x").unwrap();
    symlink("file", dir.join("to-file")).unwrap();
    symlink("file/", dir.join("to-no-dir")).unwrap();
    symlink("sub", dir.join("to-sub")).unwrap();
    let image = temp.path().join("image");
    ubtrfs_ok(&["pack", "-q", text(&dir), text(&image)]);
    let image = text(&image);
    let out = temp.path().join("out");
    for path in [
        "file/",
        "file/.",
        "file/..",
        "file/../sub",
        "to-file/",
        "to-no-dir",
    ] {
        for args in [
            &["ls", image, path][..],
            &["cat", image, path],
            &["unpack", image, &format!("{path}/"), text(&out)],
        ] {
            let output = ubtrfs(args);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
            assert!(stderr.contains("not a directory"), "{args:?}: {stderr}");
        }
    }
    assert!(!out.exists());
    for path in ["sub/", "to-sub/", "sub/.", "sub//", "sub/../sub/"] {
        assert_eq!(ubtrfs_ok(&["ls", image, path]), b"inside\n", "{path}");
    }
    for path in ["/", "", "."] {
        let names = ubtrfs_ok(&["ls", image, path]);
        assert_eq!(names, ubtrfs_ok(&["ls", image]), "{path}");
    }
    assert_eq!(ubtrfs_ok(&["ls", image, "to-file"]), b"to-file\n");
}

/// `lost::told` finds the name. The file comes last, so that the failure is told by the sync at the
/// end, or first, so that another one is packed when it is told.
#[test]
fn a_full_target_is_told_with_the_file_that_did_not_fit() {
    if !support::can_mount("a_full_target_is_told_with_the_file_that_did_not_fit") {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    for before in [0, 2000] {
        let dir = temp.path().join(format!("dir-{before}"));
        fs::create_dir_all(dir.join("sub")).unwrap();
        fs::write(dir.join("sub/large"), tree::noise(40 << 20, 1)).unwrap();
        for number in 0..before {
            fs::write(dir.join(format!("small-{number}")), tree::noise(9000, 2)).unwrap();
        }
        let small = temp.path().join("small");
        fs::create_dir_all(&small).unwrap();
        support::tool(
            "mount",
            &["-t", "tmpfs", "-o", "size=24m", "tmpfs", text(&small)],
        );
        let output = ubtrfs(&["pack", "-q", text(&dir), text(&small.join("image"))]);
        support::umount(&small);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("No space left on device"), "{stderr}");
        assert!(stderr.contains("small/image"), "{stderr}");
        let named = [
            format!("dir-{before}/sub/large"),
            format!("dir-{before}/small-"),
        ];
        let large = stderr.contains(&named[0]);
        assert!(
            large || before > 0 && stderr.contains(&named[1]),
            "{stderr}"
        );
        // The target is full; the volume would have had room.
        assert!(!stderr.contains("--byte-count"), "{stderr}");
    }
}

/// The budget of `--memory` bounds the cache and the queue; the rest is what a transaction changes,
/// with the contents of small files, and `commit_if_due` ends it at an amount.
#[test]
fn memory_is_bounded_however_large_the_input_is() {
    const BOUND_KIB: u64 = 256 << 10;
    // Sixty thousand names take a disk long.
    let memory = Path::new("/dev/shm");
    let temp = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let dir = temp.path().join("dir");
    for number in 0..60_000 {
        if number % 1000 == 0 {
            fs::create_dir_all(dir.join((number / 1000).to_string())).unwrap();
        }
        let path = dir.join(format!("{}/file-{number}", number / 1000));
        fs::write(path, tree::noise(1000, number)).unwrap();
    }
    let mut large = File::create(dir.join("large")).unwrap();
    let half = [tree::text(512 << 10), tree::noise(512 << 10, 3)].concat();
    for _ in 0..300 {
        large.write_all(&half).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_ubtrfs"))
        .args(["pack", "-q"])
        .args([&dir, &temp.path().join("image")])
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // The kernel keeps the peak, so that only what grows at the very end is missed.
        let told = fs::read_to_string(&status).unwrap_or_default();
        let told = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = told.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        thread::sleep(Duration::from_millis(2));
    }
    assert!(child.wait().unwrap().success());
    println!("peak: {} MiB", peak >> 10);
    // It was seen at work.
    assert!(peak > 16 << 10, "{peak} KiB");
    assert!(peak < BOUND_KIB, "{peak} KiB");
}

/// `NOFOLLOW` in `unpack/target.rs` guards against it.
#[test]
fn a_directory_that_becomes_a_symlink_meanwhile_leads_nowhere_outside() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    for number in 0..8 {
        let sub = dir.join(format!("sub-{number}/deeper"));
        fs::create_dir_all(&sub).unwrap();
        for file in 0..20 {
            fs::write(sub.join(format!("file-{file}")), "from the image").unwrap();
            fs::write(sub.join(format!("../file-{file}")), "from the image").unwrap();
        }
        // Names of one file in several directories are made last, by their paths.
        let first = dir.join("sub-0/file-0");
        fs::hard_link(first, sub.join("link")).unwrap();
        symlink("file-1", sub.join("symlink")).unwrap();
        tree::set_time(&sub, 1000, 0);
    }
    let image = temp.path().join("image");
    ubtrfs_ok(&["pack", "-q", text(&dir), text(&image)]);
    let outside = temp.path().join("outside");
    fs::create_dir_all(outside.join("deeper")).unwrap();
    for name in ["file-0", "deeper/file-0", "deeper/link"] {
        fs::write(outside.join(name), "not to be touched").unwrap();
    }
    let before = snapshot(&outside);
    let out = temp.path().join("out");
    ubtrfs_ok(&["unpack", "-q", text(&image), text(&out)]);

    let done = AtomicBool::new(false);
    let swaps = AtomicU64::new(0);
    let mut met = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0..8).cycle() {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                let sub = out.join(format!("sub-{number}"));
                let away = out.join(format!("away-{number}"));
                // Whoever unpacks may be faster at any of these.
                let moved = fs::rename(&sub, &away).is_ok();
                if symlink(&outside, &sub).is_ok() && moved {
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_micros(u64::from(number as u8) * 50));
                if sub.is_symlink() {
                    let _ = fs::remove_file(&sub);
                }
                let _ = fs::remove_dir_all(&away);
            }
        });
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            let output = ubtrfs(&["unpack", "-q", "-f", text(&image), text(&out)]);
            met += u32::from(!output.status.success());
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_same("outside", &before, &snapshot(&outside));
    let swaps = swaps.load(Ordering::Relaxed);
    assert!(swaps > 20 && met > 0, "{swaps} swaps, {met} met");
    assert!(Path::new(&out).exists());
}
