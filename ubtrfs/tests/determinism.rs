//! Same input, same image, whatever the threads and the memory.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{text, tree};

const UUID: &str = "6f1c2f4e-0f0a-4c9e-9d0e-0d9b1f2a3b4c";

fn pack(dir: &Path, image: &Path, args: &[&str]) -> Vec<u8> {
    let run = Command::new(env!("CARGO_BIN_EXE_ubtrfs"))
        .args(["pack", "-q", "-U", UUID])
        .args(args)
        .args([dir, image])
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .unwrap();
    assert!(run.status.success(), "{args:?}: {run:?}");
    let bytes = fs::read(image).unwrap();
    fs::remove_file(image).unwrap();
    bytes
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
