//! SIGINT, SIGTERM and SIGHUP ask for the end; a second one takes it.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::Error;
use crate::sync::{Arc, AtomicBool, Ordering};

/// Whether the user wants us to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens from now on. The first signal is noted, the second ends the process at once.
    pub(crate) fn listen() -> Self {
        let asked = Arc::new(AtomicBool::new(false));
        let ignored = ignored();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // As `nohup` and the background jobs of a shell want it.
            if ignored & 1 << (signal - 1) != 0 {
                continue;
            }
            // Without a handler the signal ends the process, which is no worse.
            let _ = flag::register_conditional_shutdown(signal, 1, Arc::clone(&asked));
            let _ = flag::register(signal, Arc::clone(&asked));
        }
        Self { asked }
    }

    /// # Errors
    ///
    /// [`Error::Interrupted`] once a signal came.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.asked.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        Ok(())
    }
}

/// The signals that whoever started us wants ignored: bit 0 is signal 1. None where it cannot be
/// told.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
