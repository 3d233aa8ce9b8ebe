//! `ubtrfs ls`

use std::io::{Write, stdout};

use fs_core::{Attrs, DirEntry, FileType, InodeId, Timestamp};

use crate::cli::LsArgs;
use crate::failure::Failure;
use crate::image::Image;
use crate::quote::quoted;

/// Directories within each other that a listing goes down; paths that users type are shorter.
const MAX_DEPTH: usize = 4096;
const BATCH: usize = 1024;

pub(crate) fn run(args: &LsArgs) -> Result<(), Failure> {
    let image = Image::open(&args.image)?;
    let path = args
        .path
        .as_deref()
        .map_or(&b"/"[..], |p| p.as_encoded_bytes());
    let id = image.resolve(path, true)?;
    let mut listing = Listing {
        image: &image,
        long: args.long,
        out: stdout().lock(),
        failed: 0,
    };
    if listing.attrs(path, id)?.file_type != FileType::Directory {
        listing.entry(path, path, id)?;
        return Ok(());
    }
    // Directories still to be listed, the next one last, with the ids of those they lie in.
    let mut todo = vec![(path.to_vec(), vec![id])];
    while let Some((path, way)) = todo.pop() {
        let below = match listing.directory(&path, way[way.len() - 1], args.recursive) {
            Ok(below) => below,
            Err(failure @ Failure::At { .. }) => {
                eprintln!("ubtrfs: {failure}");
                listing.failed += 1;
                continue;
            }
            Err(other) => return Err(other),
        };
        for entry in below.into_iter().rev().filter(|_| args.recursive) {
            // A damaged image may hold a directory in itself.
            if way.contains(&entry.id) || way.len() >= MAX_DEPTH {
                eprintln!("ubtrfs: {}: a loop of directories", quoted(&entry.name));
                listing.failed += 1;
                continue;
            }
            let mut inside = path.clone();
            if !inside.ends_with(b"/") {
                inside.push(b'/');
            }
            inside.extend_from_slice(&entry.name);
            let mut way = way.clone();
            way.push(entry.id);
            todo.push((inside, way));
        }
    }
    listing.out.flush()?;
    match listing.failed {
        0 => Ok(()),
        failed => Err(Failure::Partly(failed)),
    }
}

struct Listing<'a, W: Write> {
    image: &'a Image,
    long: bool,
    out: W,
    failed: usize,
}

impl<W: Write> Listing<'_, W> {
    /// Lists one directory, by name; the directories in it.
    fn directory(
        &mut self,
        path: &[u8],
        dir: InodeId,
        titled: bool,
    ) -> Result<Vec<DirEntry>, Failure> {
        let mut entries: Vec<DirEntry> = Vec::new();
        loop {
            let after = entries.last().map_or(0, |last| last.cursor);
            let more = self.image.fs.read_dir(dir, after, BATCH);
            let more = more.map_err(|error| failure(path, &error))?;
            if more.is_empty() {
                break;
            }
            entries.extend(more);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if titled {
            writeln!(self.out, "{}:", quoted(path))?;
        }
        for entry in &entries {
            match self.entry(path, &entry.name, entry.id) {
                Err(failure @ Failure::At { .. }) => {
                    eprintln!("ubtrfs: {failure}");
                    self.failed += 1;
                }
                other => other?,
            }
        }
        if titled {
            writeln!(self.out)?;
        }
        entries.retain(|entry| entry.file_type == FileType::Directory);
        Ok(entries)
    }

    fn attrs(&self, path: &[u8], id: InodeId) -> Result<Attrs, Failure> {
        self.image
            .fs
            .attrs(id)
            .map_err(|error| failure(path, &error))
    }

    fn entry(&mut self, dir: &[u8], name: &[u8], id: InodeId) -> Result<(), Failure> {
        if !self.long {
            writeln!(self.out, "{}", quoted(name))?;
            return Ok(());
        }
        let attrs = self.attrs(name, id)?;
        let size = match attrs.file_type {
            FileType::CharDevice | FileType::BlockDevice => {
                format!("{}, {}", attrs.rdev.0, attrs.rdev.1)
            }
            _ => attrs.size.to_string(),
        };
        write!(
            self.out,
            "{} {:>3} {:>5} {:>5} {size:>12} {} {}",
            mode(&attrs),
            attrs.nlink,
            attrs.uid,
            attrs.gid,
            date(attrs.mtime),
            quoted(name)
        )?;
        if attrs.file_type == FileType::Symlink {
            let target = self.image.fs.read_link(id);
            let target = target.map_err(|error| failure(dir, &error))?;
            write!(self.out, " -> {}", quoted(&target))?;
        }
        writeln!(self.out)?;
        Ok(())
    }
}

fn failure(path: &[u8], error: &fs_core::Error) -> Failure {
    Failure::At {
        path: quoted(path).into_owned(),
        cause: error.to_string(),
    }
}

/// As `ls -l` writes it.
fn mode(attrs: &Attrs) -> String {
    let kind = match attrs.file_type {
        FileType::Regular => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::CharDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
    };
    let bit = |mask: u32, set: char| if attrs.mode & mask != 0 { set } else { '-' };
    let special = |mask: u32, x: u32, with: char, without: char| match (
        attrs.mode & mask != 0,
        attrs.mode & x != 0,
    ) {
        (true, true) => with,
        (true, false) => without,
        (false, true) => 'x',
        (false, false) => '-',
    };
    [
        kind,
        bit(0o400, 'r'),
        bit(0o200, 'w'),
        special(0o4000, 0o100, 's', 'S'),
        bit(0o040, 'r'),
        bit(0o020, 'w'),
        special(0o2000, 0o010, 's', 'S'),
        bit(0o004, 'r'),
        bit(0o002, 'w'),
        special(0o1000, 0o001, 't', 'T'),
    ]
    .iter()
    .collect()
}

/// The time in UTC, to the minute: `1969-12-31 23:59`.
fn date(time: Timestamp) -> String {
    let (days, secs) = (time.secs.div_euclid(86_400), time.secs.rem_euclid(86_400));
    // Civil date of a day number, in eras of 400 years that start on 1 March; years beyond what
    // 64 bits of seconds can tell do not occur.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}",
        secs / 3600,
        secs / 60 % 60
    )
}

#[cfg(test)]
mod tests {
    use super::date;
    use fs_core::Timestamp;

    #[test]
    fn dates_before_and_after_1970() {
        let at = |secs| date(Timestamp { secs, nanos: 0 });
        assert_eq!(at(0), "1970-01-01 00:00");
        assert_eq!(at(-60), "1969-12-31 23:59");
        assert_eq!(at(951_827_640), "2000-02-29 12:34");
        assert_eq!(at(1_795_478_400), "2026-11-24 00:00");
    }
}
