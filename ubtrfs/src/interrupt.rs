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
        for signal in [SIGINT, SIGTERM, SIGHUP] {
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
