//! Volumes that small files fill: what a writer was not refused is written, whatever takes room meanwhile.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;

use btrfs_volume::Volume;
use fs_core::{
    CodecId, Compression, Error, ErrorKind, FileType, Filesystem, InodeId, NewInode, Policy,
};
use support::tree::noise;
use support::{check, has_progs, new_image, random};
use tempfile::TempDir;

fn filesystem(image: &Path, cache: u64) -> Filesystem<Volume> {
    let how = Compression {
        codec: CodecId::ZSTD,
        level: 3,
    };
    let volume = new_image(image, 48 << 20);
    let builder = Filesystem::builder(volume).threads(2).cache_bytes(cache);
    let policy = Policy::UnlessNoise(how);
    builder.policy(policy).build().unwrap()
}

struct Content {
    id: InodeId,
    is: Vec<u8>,
}

fn create(fs: &Filesystem<Volume>, nth: u64) -> Result<Content, Error> {
    let new = NewInode::new(FileType::Regular, 0o644);
    let id = fs.create(fs.root(), nth.to_string().as_bytes(), &new)?;
    let is = Vec::new();
    Ok(Content { id, is })
}

/// Whether it was done; nothing else than want of room may keep it from being done.
fn done(result: Result<(), Error>) -> bool {
    if let Err(error) = &result {
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    }
    result.is_ok()
}

fn ends_well(fs: Filesystem<Volume>, image: &Path, files: &[Content], checked: bool) {
    fs.sync().unwrap();
    fs.drop_caches();
    for Content { id, is } in files {
        let file = fs.open(*id).unwrap();
        let mut got = vec![0; file.size() as usize];
        assert_eq!(file.read(0, &mut got).unwrap(), got.len());
        assert!(got == *is, "inode {}", id.ino);
    }
    fs.unmount().unwrap();
    if checked {
        check(image);
    }
}

/// Thousands of files were written, and at writeback there was no room in the trees for their content.
/// Guard: `DataSpace::metadata_available` in `Shared::count_anew`, and the promise of metadata in
/// `Shared::with_promise`.
#[test]
fn content_in_the_tree_was_taken_and_had_no_room_there() {
    let checked = has_progs("content_in_the_tree_was_taken_and_had_no_room_there");
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("image");
    let fs = filesystem(&image, 32 << 20);
    let mut files: Vec<_> = (0..5000).map(|nth| create(&fs, nth).unwrap()).collect();
    fs.sync().unwrap();
    let mut refused = 0;
    for Content { id, is } in &mut files {
        let data = noise(1500 + (id.ino % 500) as usize, id.ino);
        match done(fs.open(*id).unwrap().write(0, &data)) {
            true => *is = data,
            false => refused += 1,
        }
    }
    assert!((100..4000).contains(&refused), "{refused}");
    ends_well(fs, &image, &files, checked);
}

/// Files were written anew, for which leaves of trees are copied, and at writeback there was no room for
/// these. Guard: the commit in `Shared::volume_with_room`, and that in `Shared::submit_cut`.
#[test]
fn files_that_are_written_anew_had_no_room_at_writeback() {
    let checked = has_progs("files_that_are_written_anew_had_no_room_at_writeback");
    for seed in 0..2_u64 {
        let mut below = random(seed);
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("image");
        let fs = filesystem(&image, 4 << 20);
        let mut files = vec![create(&fs, 0).unwrap()];
        let mut refused = 0;
        for step in 1.. {
            if below(100) < 60 {
                match create(&fs, step) {
                    Ok(file) => files.push(file),
                    Err(error) => refused += u64::from(!done(Err(error))),
                }
            }
            if refused > 100 {
                break;
            }
            let nth = below(files.len() as u64) as usize;
            let Content { id, is } = &mut files[nth];
            let file = fs.open(*id).unwrap();
            match below(40) {
                0 => file.fsync().unwrap(),
                1 => fs.sync().unwrap(),
                2 => {
                    let size = below(is.len() as u64 + 1);
                    if done(file.set_size(size)) {
                        is.truncate(size as usize);
                    }
                }
                _ => {
                    let at = below(5000) as usize;
                    let data = noise(1 + below(3000) as usize, step);
                    if done(file.write(at as u64, &data)) {
                        is.resize(is.len().max(at + data.len()), 0);
                        is[at..at + data.len()].copy_from_slice(&data);
                    } else {
                        // It may have been done in part.
                        is.resize(file.size() as usize, 0);
                        assert_eq!(file.read(0, is).unwrap(), is.len());
                    }
                }
            }
        }
        ends_well(fs, &image, &files, checked);
    }
}

/// Data was promised and dirty, and then names and their attributes took the room that there was, so that
/// at writeback there was none. Guard: what `State::promise_metadata` leaves for data.
#[test]
fn names_took_the_room_of_data_that_was_promised() {
    let checked = has_progs("names_took_the_room_of_data_that_was_promised");
    for many in 2..5 {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("image");
        let fs = filesystem(&image, 128 << 20);
        let mut files: Vec<_> = (0..many).map(|nth| create(&fs, nth).unwrap()).collect();
        for file in &mut files {
            // Not as much as goes to the device by itself.
            file.is = noise(3 << 20, file.id.ino);
            fs.open(file.id).unwrap().write(0, &file.is).unwrap();
        }
        let value = noise(3000, 1);
        let named = (many..).take_while(|&nth| {
            let file = create(&fs, nth);
            let set = file.and_then(|file| fs.set_xattr(file.id, b"user.x", &value));
            done(set)
        });
        let named = named.count();
        assert!(named > 100, "{named}");
        ends_well(fs, &image, &files, checked);
    }
}
