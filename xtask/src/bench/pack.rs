//! Who makes an image of the corpus.

use std::process::Command;

use super::kernel::{Write, text, why_not};
use super::program::{Output, Program};
use super::{Field, Ground};

const LARGE: [(&str, &str); 4] = [
    ("pack, one large file, zstd:3", "zstd:3"),
    ("pack, one large file, zstd:1", "zstd:1"),
    ("pack, one large file, lzo", "lzo"),
    ("pack, one large file, none", "none"),
];
const SMALL: &str = "pack, small files, zstd:3";
const NOISE: &str = "pack, noise";

pub(crate) fn field(ground: &Ground) -> Field {
    let mut field = Field::default();
    let corpus = ground.corpus;
    for (group, algorithm) in LARGE {
        add_btrfs(&mut field, ground, group, algorithm);
        if let Some(level) = algorithm.strip_prefix("zstd:") {
            let output = ground.work.join("limit");
            let input = corpus.large.join("big");
            let command = [
                text(&ground.limit),
                "compress",
                level,
                "2",
                text(&input),
                text(&output),
            ];
            let name = format!("limit: 2 threads, libzstd {level}, nothing else");
            let program = Program::new(group, name, &command, Output::File(output.clone()));
            field.contestants.push(Box::new(program));
        }
    }
    let (from, to) = (corpus.large.join("big"), ground.work.join("copy"));
    let copy = Program::new(
        "pack, one large file, none",
        "cp to the same filesystem",
        &["cp", text(&from), text(&to)],
        Output::File(to.clone()),
    );
    field.contestants.push(Box::new(copy));
    add_btrfs(&mut field, ground, SMALL, "zstd:3");
    let small = [text(&ground.limit), "tree", "3", "2", text(&corpus.small)];
    let limit = "limit: 2 threads, open, read, libzstd 3, nothing else";
    let limit = Program::new(SMALL, limit, &small, Output::None);
    field.contestants.push(Box::new(limit));
    for (name, algorithm) in [
        ("ours: ubtrfs pack, zstd:3", "zstd:3"),
        ("the same without compression", "none"),
    ] {
        let image = ground.work.join("noise-image");
        let words = [text(&ground.ubtrfs), "pack", "-q", "-c", algorithm];
        let command = [&words[..], &[text(&corpus.noise), text(&image)]].concat();
        let program = Program::new(NOISE, name, &command, Output::Btrfs(image.clone()));
        field.contestants.push(Box::new(program));
    }
    for group in [LARGE[0].0, SMALL] {
        add_mkfs(&mut field, ground, group);
        add_squashfs(&mut field, ground, group);
    }
    field
}

fn add_btrfs(field: &mut Field, ground: &Ground, group: &'static str, algorithm: &str) {
    let corpus = ground.corpus;
    let dir = corpus.dir(group);
    let image = ground.work.join("ours");
    let ours = [
        text(&ground.ubtrfs),
        "pack",
        "-q",
        "-c",
        algorithm,
        text(dir),
        text(&image),
    ];
    let ours = Program::new(
        group,
        "ours: ubtrfs pack",
        &ours,
        Output::Btrfs(image.clone()),
    );
    field.contestants.push(Box::new(ours));
    if let Some(why) = why_not() {
        field.missing.push(format!("the kernel: {why}"));
        return;
    }
    field.contestants.push(Box::new(Write {
        group,
        from: dir.to_owned(),
        image: ground.work.join("kernel"),
        bytes: corpus.bytes(group),
        compress: (algorithm != "none").then(|| format!("compress-force={algorithm}")),
    }));
}

fn add_mkfs(field: &mut Field, ground: &Ground, group: &'static str) {
    let mkfs = ground.mkfs;
    let help = Command::new(mkfs).arg("--help").output();
    // Which of its outputs has the help depends on the version.
    let help = help.map(|help| [help.stdout, help.stderr].concat());
    let why = match help {
        Err(error) => format!("{mkfs}: {error}"),
        Ok(help) if !String::from_utf8_lossy(&help).contains("--compress") => {
            format!("{mkfs} is too old for --compress; see --mkfs")
        }
        Ok(_) => {
            let corpus = ground.corpus;
            let dir = corpus.dir(group);
            let image = ground.work.join("mkfs");
            let command = [
                mkfs,
                "-q",
                "-f",
                "--rootdir",
                text(dir),
                "--compress",
                "zstd:3",
                text(&image),
            ];
            let name = "mkfs.btrfs --rootdir --compress";
            let mut program = Program::new(group, name, &command, Output::Btrfs(image.clone()));
            program.room = Some(2 * corpus.bytes(group) + (4 << 30));
            field.contestants.push(Box::new(program));
            return;
        }
    };
    field.missing.push(format!("mkfs.btrfs --rootdir: {why}"));
}

fn add_squashfs(field: &mut Field, ground: &Ground, group: &'static str) {
    if Command::new("mksquashfs").arg("-version").output().is_err() {
        let why = "mksquashfs: squashfs-tools is not installed".to_owned();
        return field.missing.push(why);
    }
    let corpus = ground.corpus;
    let dir = corpus.dir(group);
    let image = ground.work.join("squashfs");
    let command = squash(text(dir), text(&image));
    let name = "mksquashfs -comp zstd, level 3, 128K";
    let program = Program::new(group, name, &command, Output::File(image.clone()));
    field.contestants.push(Box::new(program));
}

/// As ours works: pieces of 128 KiB, two threads.
pub(crate) fn squash<'a>(dir: &'a str, image: &'a str) -> Vec<&'a str> {
    let mut command = vec!["mksquashfs", dir, image];
    command.extend(["-comp", "zstd", "-Xcompression-level", "3", "-b", "128K"]);
    command.extend(["-processors", "2", "-noappend", "-quiet", "-no-progress"]);
    command
}
