//! Who reads images of the corpus.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::kernel::{self, ColdRead, Mount, text, why_not};
use super::pack::squash;
use super::program::{Output, Program};
use super::{Field, Ground};

const LARGE: &str = "read, one large file, packed by ours";
const KERNELS: &str = "read, one large file, written by the kernel";
const SMALL: &str = "read, small files into tmpfs";

pub(crate) fn field(ground: &Ground) -> io::Result<Field> {
    let mut field = Field::default();
    let work = ground.work;
    let corpus = ground.corpus;
    let (large, small) = (work.join("large.btrfs"), work.join("small.btrfs"));
    for (dir, image) in [(&corpus.large, &large), (&corpus.small, &small)] {
        let pack = [text(&ground.ubtrfs), "pack", "-q", "-c", "zstd:3"];
        kernel::call(&[&pack[..], &[text(dir), text(image)]].concat())?;
    }
    add_cat(&mut field, ground, LARGE, &large, "big");
    let limit = work.join("limit");
    let input = corpus.large.join("big");
    let program = text(&ground.limit);
    kernel::call(&[program, "compress", "3", "2", text(&input), text(&limit)])?;
    field.contestants.push(Box::new(Program::new(
        LARGE,
        "limit: 2 threads, libzstd, nothing else",
        &[program, "decompress", "2", text(&limit)],
        Output::None,
    )));
    add_unpack(&mut field, ground, &small);
    match why_not() {
        Some(why) => field.missing.push(format!("the kernel: {why}")),
        None => {
            let image = work.join("kernel.btrfs");
            kernel::make_fresh(&image, 2 * corpus.large_bytes + (4 << 30))?;
            let at = work.join("fill");
            let mount = Mount::new(&image, &at, "loop,compress-force=zstd:3")?;
            fs::copy(&input, at.join("big"))?;
            drop(mount);
            add_cat(&mut field, ground, KERNELS, &image, "big");
        }
    }
    add_squashfs(&mut field, ground)?;
    Ok(field)
}

fn add_cat(field: &mut Field, ground: &Ground, group: &'static str, image: &Path, name: &str) {
    let command = [text(&ground.ubtrfs), "cat", text(image), name];
    let ours = Program::new(group, "ours: ubtrfs cat", &command, Output::None);
    field.contestants.push(Box::new(ours));
    if why_not().is_none() {
        field.contestants.push(Box::new(ColdRead {
            group,
            name: "kernel, cold, cat".into(),
            image: image.to_owned(),
            script: format!("cat $0/{name} > /dev/null"),
            output: None,
        }));
    }
}

fn add_unpack(field: &mut Field, ground: &Ground, image: &Path) {
    let out = ground.work.join("unpacked");
    let command = [
        text(&ground.ubtrfs),
        "unpack",
        "-q",
        text(image),
        text(&out),
    ];
    let output = Output::Dir(out.clone());
    let ours = Program::new(SMALL, "ours: ubtrfs unpack", &command, output);
    field.contestants.push(Box::new(ours));
    if why_not().is_none() {
        let out = ground.work.join("copied");
        field.contestants.push(Box::new(ColdRead {
            group: SMALL,
            name: "kernel, cold, cp -a".into(),
            image: image.to_owned(),
            script: format!("cp -a $0 {}", text(&out)),
            output: Some(out),
        }));
    }
}

fn add_squashfs(field: &mut Field, ground: &Ground) -> io::Result<()> {
    let there = |program: &str| Command::new(program).arg("-version").output().is_ok();
    if !there("mksquashfs") || !there("unsquashfs") {
        let why = "unsquashfs: squashfs-tools is not installed";
        field.missing.push(why.to_owned());
        return Ok(());
    }
    let corpus = ground.corpus;
    let work = ground.work;
    let (large, small) = (work.join("large.squashfs"), work.join("small.squashfs"));
    kernel::call(&squash(text(&corpus.large), text(&large)))?;
    kernel::call(&squash(text(&corpus.small), text(&small)))?;
    let command = ["unsquashfs", "-p", "2", "-cat", text(&large), "big"];
    let cat = Program::new(LARGE, "unsquashfs -cat", &command, Output::None);
    field.contestants.push(Box::new(cat));
    let out = work.join("unsquashed");
    let mut command = vec!["unsquashfs", "-p", "2", "-q", "-n", "-d", text(&out)];
    command.push(text(&small));
    let unsquash = Program::new(SMALL, "unsquashfs", &command, Output::Dir(out.clone()));
    field.contestants.push(Box::new(unsquash));
    Ok(())
}
