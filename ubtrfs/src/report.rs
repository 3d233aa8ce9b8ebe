//! What is told to the user while a command runs.

use std::io::{IsTerminal, Write, stderr};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::interrupt::Interrupt;
use crate::quote::quoted;
use crate::sync::{AtomicU64, Ordering};

/// Takes the problems of single names, and shows how far a command has come.
#[derive(Debug, Default)]
pub struct Report {
    problems: AtomicU64,
    warned: AtomicU64,
    bar: Option<ProgressBar>,
    interrupt: Interrupt,
}

impl Report {
    /// A report without a progress bar.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gets told when the user wants the end.
    pub(crate) fn listening(mut self) -> Self {
        self.interrupt = Interrupt::listen();
        self
    }

    /// With a progress bar, if stderr is a terminal.
    pub(crate) fn with_bar(mut self, wanted: bool) -> Self {
        if wanted && stderr().is_terminal() {
            let bar = ProgressBar::no_length();
            bar.set_style(bar_style(false));
            bar.enable_steady_tick(Duration::from_millis(200));
            self.bar = Some(bar);
        }
        self
    }

    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    pub(crate) fn bar(&self) -> Option<&ProgressBar> {
        self.bar.as_ref()
    }

    /// Something went wrong with `path`; the exit code will be 1.
    pub fn problem(&self, path: &[u8], cause: impl std::fmt::Display) {
        self.problems.fetch_add(1, Ordering::Relaxed);
        self.say(&format!("{}: {cause}", quoted(path)));
    }

    /// Something that the user should know and that is no failure.
    pub fn warning(&self, what: impl std::fmt::Display) {
        self.say(&format!("warning: {what}"));
    }

    /// Tells what a volume warned of since the last time.
    pub(crate) fn warnings_of(&self, path: &Path, volume: &btrfs_volume::Volume) {
        let (warnings, total) = volume.warnings();
        let told = self.warned.swap(total, Ordering::Relaxed);
        let new = usize::try_from(told).unwrap_or(usize::MAX);
        let path = quoted(path.as_os_str().as_encoded_bytes());
        for warning in warnings.iter().skip(new) {
            self.warning(format_args!("{path}: {warning}"));
        }
        let kept = warnings.len() as u64;
        if total > told.max(kept) {
            let more = total - told.max(kept);
            self.warning(format_args!("{path}: {more} more warnings"));
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(line)),
            None => tell(line),
        }
    }

    /// Takes the bar away.
    pub(crate) fn end_bar(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// How many problems there were.
    #[must_use]
    pub fn problems(&self) -> u64 {
        self.problems.load(Ordering::Relaxed)
    }
}

/// Says it on stderr. Where that cannot be written there is nobody to tell.
pub(crate) fn tell(what: impl std::fmt::Display) {
    let _ = writeln!(stderr(), "ubtrfs: {what}");
}

/// `with_total`: the bytes to come are known.
pub(crate) fn bar_style(with_total: bool) -> ProgressStyle {
    let template = if with_total {
        "{wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {msg} eta {eta}"
    } else {
        "{spinner} {bytes} {binary_bytes_per_sec} {msg} {elapsed}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
