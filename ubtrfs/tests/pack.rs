//! A directory becomes an image, and all of it is found there: by us, by `btrfs check` and by the
//! kernel.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

fn ubtrfs(args: &[&str]) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_ubtrfs"))
        .args(args)
        .output();
    run.unwrap()
}

fn run(program: &str, args: &[&str]) -> bool {
    let run = Command::new(program).args(args).output();
    run.is_ok_and(|output| output.status.success())
}

fn skip(test: &str, why: &str) {
    println!("{test}: skipped: {why}");
    if let Some(list) = std::env::var_os("UBTRFS_SKIPS") {
        let list = fs::OpenOptions::new().create(true).append(true).open(list);
        writeln!(list.unwrap(), "{test}: {why}").unwrap();
    }
}

fn fill(dir: &Path) {
    fs::create_dir_all(dir.join("a/b")).unwrap();
    for size in [0, 1, 2048, 2049, 4096, 4097, 131_072, 131_073, 700_000] {
        let text: Vec<u8> = (0..size).map(|i| b"some text, again "[i % 17]).collect();
        fs::write(dir.join(format!("a/text-{size}")), text).unwrap();
        let mut state = size as u64 + 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let noise: Vec<u8> = (0..size).map(|_| next()).collect();
        fs::write(dir.join(format!("a/b/noise-{size}")), noise).unwrap();
    }
    for i in 0..2000 {
        fs::write(dir.join(format!("a/b/{i}")), format!("file {i}")).unwrap();
    }
    symlink("text-1", dir.join("a/link")).unwrap();
    fs::hard_link(dir.join("a/text-4097"), dir.join("z")).unwrap();
    fs::write(dir.join("x".repeat(255)), "long name").unwrap();
    fs::set_permissions(dir.join("z"), fs::Permissions::from_mode(0o4751)).unwrap();
}

#[test]
fn everything_arrives_with_every_codec() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fill(&dir);
    let judge = run("btrfs", &["--version"]);
    let root = run(
        "sh",
        &["-c", "test $(id -u) = 0 && test -e /dev/loop-control"],
    );
    if !judge || !root {
        skip(
            "everything_arrives_with_every_codec",
            "no btrfs-progs, root or loop devices",
        );
    }
    for codec in ["zstd", "zlib:9", "lzo", "none"] {
        let image = temp.path().join(codec);
        let image = image.to_str().unwrap();
        let packed = ubtrfs(&["pack", "-q", "-c", codec, dir.to_str().unwrap(), image]);
        assert!(packed.status.success(), "{packed:?}");
        for name in ["a/text-700000", "a/b/noise-131073", "a/link", "z", "a/b/77"] {
            let read = ubtrfs(&["cat", image, name]);
            assert!(
                read.stdout == fs::read(dir.join(name)).unwrap(),
                "{codec}: {name}"
            );
        }
        if judge {
            let check = ["check", "--readonly", "--check-data-csum", image];
            assert!(run("btrfs", &check), "{codec}");
        }
        if judge && root {
            let at = temp.path().join("mnt");
            fs::create_dir_all(&at).unwrap();
            let at = at.to_str().unwrap();
            assert!(run("mount", &["-o", "loop,ro", image, at]), "{codec}");
            let same = run(
                "diff",
                &["-r", "--no-dereference", dir.to_str().unwrap(), at],
            );
            let mode = fs::metadata(Path::new(at).join("z")).map(|meta| meta.permissions().mode());
            assert!(run("umount", &[at]));
            assert!(same, "{codec}");
            assert_eq!(mode.unwrap() & 0o7777, 0o4751);
        }
    }
}

#[test]
fn the_same_input_makes_the_same_bytes_on_disk_with_any_number_of_threads() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    fill(&dir);
    let usage = |threads: &str| {
        let image = temp.path().join(threads);
        let image = image.to_str().unwrap();
        let dir = dir.to_str().unwrap();
        let packed = ubtrfs(&["pack", "-q", "--threads", threads, dir, image]);
        assert!(packed.status.success(), "{packed:?}");
        (
            fs::metadata(image).unwrap().len(),
            ubtrfs(&["usage", image]).stdout,
        )
    };
    assert_eq!(usage("1"), usage("4"));
}

#[test]
fn bad_input_is_an_error_and_leaves_no_image() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("file"), "not a directory").unwrap();
    let refused = [
        vec!["pack".to_owned(), at("missing"), at("image")],
        vec!["pack".to_owned(), at("file"), at("image")],
        vec!["pack".to_owned(), at("."), at("file")],
        vec!["ls".to_owned(), at("file")],
        vec!["cat".to_owned(), at("missing"), "a".to_owned()],
    ];
    for args in refused {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = ubtrfs(&args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
        assert!(!Path::new(&at("image")).exists(), "{args:?}");
    }
    assert_eq!(ubtrfs(&["pack"]).status.code(), Some(2));
    let level = ["pack", "-c", "zstd:99", &at("."), &at("image")];
    assert_eq!(ubtrfs(&level).status.code(), Some(2));
    assert_eq!(fs::read(at("file")).unwrap(), b"not a directory");
}
