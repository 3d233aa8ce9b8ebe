//! `ubtrfs ls`

mod date;
mod long;

use std::collections::HashSet;
use std::io::{BufWriter, IsTerminal, StdoutLock, Write, stdout};

use fs_core::{DirEntry, FileType, InodeId};

use crate::cli::Ls;
use crate::error::Error;
use crate::image::{self, Image};
use crate::path_in_image::resolve;
use crate::quote::quoted;
use crate::report::Report;

const MEMORY: u64 = 64 << 20;
/// Entries that are read at once.
const BATCH: usize = 1024;

/// Lists a directory.
///
/// # Errors
///
/// The image cannot be opened, there is no such path, or the output cannot be written. What is
/// wrong with single names goes to `report`.
pub fn run(args: &Ls, report: &Report) -> Result<(), Error> {
    let fs = image::open(&args.image, MEMORY, Some(1), report)?;
    let path = args.path.as_deref().unwrap_or("/".as_ref());
    let path = path.as_encoded_bytes();
    let id = resolve(&fs, path, !args.long)?;
    let attrs = fs.attrs(id).map_err(|e| Error::in_image(path, e))?;
    let mut listing = Listing {
        fs: &fs,
        report,
        long: args.long,
        for_eyes: stdout().is_terminal(),
        out: BufWriter::new(stdout().lock()),
    };
    if attrs.file_type == FileType::Directory {
        listing.tree(path, id, args.recursive)?;
    } else {
        listing.lines(path, &[(path.into(), id)])?;
    }
    listing.out.flush()?;
    report.warnings_of(&args.image, fs.volume());
    Ok(())
}

struct Listing<'a> {
    fs: &'a Image,
    report: &'a Report,
    long: bool,
    /// Whether what a terminal would obey is escaped.
    for_eyes: bool,
    out: BufWriter<StdoutLock<'static>>,
}

/// A name and where it leads.
type Line = (Box<[u8]>, InodeId);

impl Listing<'_> {
    fn tree(&mut self, path: &[u8], root: InodeId, recursive: bool) -> Result<(), Error> {
        // Directories still to come, the next one last.
        let mut todo: Vec<Line> = vec![(path.into(), root)];
        let mut seen = HashSet::new();
        let mut first = true;
        while let Some((path, dir)) = todo.pop() {
            // No directory has two names; in a damaged image one may lie in itself.
            if !seen.insert(dir) {
                self.report
                    .problem(&path, "this directory has several names");
                continue;
            }
            if recursive {
                if !first {
                    writeln!(self.out)?;
                }
                self.name(&path)?;
                writeln!(self.out, ":")?;
            }
            first = false;
            let mut entries = self.entries(&path, dir);
            entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            let lines: Vec<Line> = entries
                .iter()
                .map(|entry| (entry.name[..].into(), entry.id))
                .collect();
            self.lines(&path, &lines)?;
            if !recursive {
                break;
            }
            for entry in entries.into_iter().rev() {
                if entry.file_type == FileType::Directory {
                    todo.push((join(&path, &entry.name), entry.id));
                }
            }
        }
        Ok(())
    }

    fn entries(&self, path: &[u8], dir: InodeId) -> Vec<DirEntry> {
        let mut entries: Vec<DirEntry> = Vec::new();
        loop {
            let after = entries.last().map_or(0, |last| last.cursor);
            match self.fs.read_dir(dir, after, BATCH) {
                Ok(more) if more.is_empty() => return entries,
                Ok(more) => entries.extend(more),
                Err(error) => {
                    self.report.problem(path, error);
                    return entries;
                }
            }
        }
    }

    fn lines(&mut self, dir: &[u8], lines: &[Line]) -> Result<(), Error> {
        if !self.long {
            for (name, _) in lines {
                self.name(name)?;
                writeln!(self.out)?;
            }
            return Ok(());
        }
        let mut rows = Vec::with_capacity(lines.len());
        for (name, id) in lines {
            match self.fs.attrs(*id) {
                Ok(attrs) => rows.push((name, *id, attrs)),
                Err(error) => self.report.problem(&join(dir, name), error),
            }
        }
        let widths = long::Widths::of(rows.iter().map(|(_, _, attrs)| attrs));
        for (name, id, attrs) in rows {
            write!(self.out, "{} ", widths.row(&attrs))?;
            self.name(name)?;
            if attrs.file_type == FileType::Symlink {
                match self.fs.read_link(id) {
                    Ok(target) => {
                        write!(self.out, " -> ")?;
                        self.name(&target)?;
                    }
                    Err(error) => self.report.problem(&join(dir, name), error),
                }
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn name(&mut self, name: &[u8]) -> Result<(), Error> {
        if self.for_eyes {
            write!(self.out, "{}", quoted(name))?;
        } else {
            self.out.write_all(name)?;
        }
        Ok(())
    }
}

fn join(dir: &[u8], name: &[u8]) -> Box<[u8]> {
    let mut path = dir.to_vec();
    if !path.ends_with(b"/") && !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path.into()
}
