//! Steps of the pipeline that a test can hold up, and a watchdog.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use fs_core::memory::Faults;
use fs_core::{Filesystem, MemoryVolume, PipelineEvent, PipelineStep};

use super::builder;

/// A hang is a failure.
pub(crate) fn within<T: Send + 'static>(
    seconds: u64,
    test: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (send, receive) = mpsc::channel();
    let thread = std::thread::spawn(move || send.send(test()));
    match receive.recv_timeout(Duration::from_secs(seconds)) {
        Ok(done) => done,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().unwrap_err())
        }
    }
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn sleep(n: u64) {
    std::thread::sleep(ms(n));
}

pub(crate) fn remembering() -> MemoryVolume {
    MemoryVolume::with_faults(u64::MAX, Faults::remembering_commits())
}

/// Holds up whoever comes to a step of an inode while it is shut.
#[derive(Default)]
pub(crate) struct Gate {
    shut: Mutex<Option<(PipelineStep, u64)>>,
    changed: Condvar,
    inside: AtomicUsize,
}

impl Gate {
    pub(crate) fn shut(&self, step: PipelineStep, ino: u64) {
        *self.shut.lock().unwrap() = Some((step, ino));
    }

    pub(crate) fn open(&self) {
        *self.shut.lock().unwrap() = None;
        self.changed.notify_all();
    }

    fn see(&self, event: &PipelineEvent) {
        let mut shut = self.shut.lock().unwrap();
        while *shut == Some((event.step, event.id.ino)) {
            self.inside.fetch_add(1, SeqCst);
            shut = self.changed.wait(shut).unwrap();
            self.inside.fetch_sub(1, SeqCst);
        }
    }

    pub(crate) fn wait_inside(&self) {
        eventually(|| self.inside.load(SeqCst) > 0);
    }
}

/// Holds up the next one who comes by, once it is set.
#[derive(Default)]
pub(crate) struct Halt {
    state: Mutex<HaltState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum HaltState {
    #[default]
    Open,
    Set,
    Held,
}

impl Halt {
    pub(crate) fn set(&self) {
        *self.state.lock().unwrap() = HaltState::Set;
    }

    /// Comes by; goes on when it is let go, or after so long.
    pub(crate) fn pass(&self, at_most: Duration) {
        let mut state = self.state.lock().unwrap();
        if *state != HaltState::Set {
            return;
        }
        *state = HaltState::Held;
        let held = |state: &mut HaltState| *state == HaltState::Held;
        let waited = self.changed.wait_timeout_while(state, at_most, held);
        drop(waited.unwrap());
    }

    pub(crate) fn wait_held(&self) {
        eventually(|| *self.state.lock().unwrap() == HaltState::Held);
    }

    pub(crate) fn let_go(&self) {
        *self.state.lock().unwrap() = HaltState::Open;
        self.changed.notify_all();
    }
}

/// Waits for what must come, on threads that nobody can hold up.
#[track_caller]
pub(crate) fn eventually(mut it_is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !it_is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never came");
        sleep(1);
    }
}

/// A filesystem whose steps can be held up.
pub(crate) fn gated(volume: MemoryVolume) -> (Filesystem<MemoryVolume>, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let sees = Arc::clone(&gate);
    let fs = builder(volume).observe(move |event| sees.see(event));
    (fs.build().unwrap(), gate)
}
