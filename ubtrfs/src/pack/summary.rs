//! What is told at the end.

use std::io::{Write, stdout};
use std::time::Duration;

use fs_core::Stats;
use serde::Serialize;

use crate::error::Error;
use crate::pack::Packed;
use crate::report::Report;
use crate::size::human;

/// The figures of a packing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Summary {
    /// Inodes of any type.
    inodes: u64,
    /// Regular files.
    files: u64,
    /// Their sizes.
    bytes: u64,
    /// Bytes that were read and written: no holes.
    bytes_in: u64,
    /// Bytes of data on disk.
    bytes_on_disk: u64,
    /// Length of the image.
    image_bytes: u64,
    /// `bytes_in / bytes_on_disk`.
    ratio: f64,
    pieces_compressed: u64,
    pieces_raw: u64,
    pieces_inline: u64,
    seconds: f64,
    bytes_per_second: f64,
    /// Names that were left out in whole or in part.
    problems: u64,
}

impl Summary {
    pub(super) fn new(
        packed: &Packed,
        stats: &Stats,
        image_bytes: u64,
        time: Duration,
        report: &Report,
    ) -> Self {
        let bytes_in = stats.bytes_written;
        let seconds = time.as_secs_f64();
        let divided = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        Self {
            inodes: packed.inodes,
            files: packed.files,
            bytes: packed.bytes,
            bytes_in,
            bytes_on_disk: stats.bytes_stored,
            image_bytes,
            ratio: divided(bytes_in as f64, stats.bytes_stored as f64),
            pieces_compressed: stats.pieces_compressed,
            pieces_raw: stats.pieces_raw,
            pieces_inline: stats.pieces_inline,
            seconds,
            bytes_per_second: divided(bytes_in as f64, seconds),
            problems: report.problems(),
        }
    }

    pub(super) fn print_json(&self) -> Result<(), Error> {
        let mut out = stdout().lock();
        let text = serde_json::to_string(self).expect("numbers only");
        writeln!(out, "{text}")?;
        Ok(())
    }

    pub(super) fn print(&self) -> Result<(), Error> {
        let mut out = stdout().lock();
        writeln!(
            out,
            "{} files, {} inodes: {} in, {} on disk (ratio {:.2}), image {}",
            self.files,
            self.inodes,
            human(self.bytes_in),
            human(self.bytes_on_disk),
            self.ratio,
            human(self.image_bytes),
        )?;
        writeln!(
            out,
            "pieces: {} compressed, {} raw, {} inline; {:.2} s, {}/s",
            self.pieces_compressed,
            self.pieces_raw,
            self.pieces_inline,
            self.seconds,
            human(self.bytes_per_second as u64),
        )?;
        Ok(())
    }
}
