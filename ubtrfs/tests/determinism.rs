//! Same input, same image, whatever the threads and the memory.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{text, tree};

const UUID: &str = "6f1c2f4e-0f0a-4c9e-9d0e-0d9b1f2a3b4c";

fn pack(dir: &Path, image: &Path, args: &[&str]) -> Vec<u8> {
    try_pack(dir, image, args).unwrap_or_else(|failed| panic!("{args:?}: {failed}"))
}

fn try_pack(dir: &Path, image: &Path, args: &[&str]) -> Result<Vec<u8>, String> {
    let run = Command::new(env!("CARGO_BIN_EXE_ubtrfs"))
        .args(["pack", "-q", "-U", UUID])
        .args(args)
        .args([dir, image])
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .unwrap();
    if !run.status.success() {
        return Err(format!("{run:?}"));
    }
    let bytes = fs::read(image).unwrap();
    fs::remove_file(image).unwrap();
    Ok(bytes)
}

/// Whether all fits may depend on how fast it is written, and nothing else: there is no commit for want
/// of room. Guard: `commit_for_room` in `pack`.
#[test]
fn same_input_same_image_where_room_is_scarce() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, image) = (temp.path().join("dir"), temp.path().join("image"));
    for nth in 0..4000 {
        let sub = dir.join((nth / 100).to_string());
        fs::create_dir_all(&sub).unwrap();
        let content = [
            tree::text(nth % 3000),
            tree::noise(nth * 7919 % 17_000, nth as u64),
        ]
        .concat();
        fs::write(sub.join(nth.to_string()), content).unwrap();
    }
    let mut fitted = 0;
    for size in ["72M", "74M", "75M", "76M", "80M"] {
        let made = ["1", "2", "4", "2"].map(|threads| {
            let made = try_pack(&dir, &image, &["-b", size, "--threads", threads]);
            let _ = fs::remove_file(&image);
            made
        });
        let mut made = made.iter().flatten();
        if let Some(first) = made.next() {
            fitted += 1;
            assert!(made.all(|image| image == first), "{size}");
        }
    }
    assert!(fitted > 0);
}

#[test]
fn same_input_same_image() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, image) = (temp.path().join("dir"), temp.path().join("image"));
    tree::all_kinds(&dir);
    fs::write(
        dir.join("big"),
        [tree::text(20 << 20), tree::noise(10 << 20, 5)].concat(),
    )
    .unwrap();
    for codec in ["zstd", "none"] {
        let first = pack(&dir, &image, &["-c", codec]);
        for args in [
            ["--threads", "1", "--memory", "32M"],
            ["--threads", "2", "--memory", "1G"],
            ["--threads", "7", "--memory", "40M"],
        ] {
            let mut args = args.to_vec();
            args.extend(["-c", codec]);
            let again = pack(&dir, &image, &args);
            let differs = first.iter().zip(&again).position(|(a, b)| a != b);
            assert!(
                differs.is_none() && first.len() == again.len(),
                "{args:?}: lengths {} and {}, first difference at {differs:?}",
                first.len(),
                again.len()
            );
        }
    }
}

#[test]
fn what_was_unpacked_makes_the_same_image_again() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, image) = (temp.path().join("dir"), temp.path().join("image"));
    let out = temp.path().join("out");
    tree::all_kinds(&dir);
    let first = pack(&dir, &image, &[]);
    fs::write(&image, &first).unwrap();
    support::ubtrfs_ok(&["unpack", "-q", text(&image), text(&out)]);
    fs::remove_file(&image).unwrap();
    assert!(first == pack(&out, &image, &[]));
}
