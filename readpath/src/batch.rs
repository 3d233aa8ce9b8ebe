//! The jobs of one read, which whoever is free takes.

use std::collections::VecDeque;
use std::fmt;

use crate::ports::{Job, Spawn};
use crate::sync::{Arc, Mutex};

/// Jobs that were not begun. None of them waits for anything.
#[derive(Default)]
pub(crate) struct Batch {
    jobs: Mutex<VecDeque<Job>>,
}

impl Batch {
    pub(crate) fn publish(&self, jobs: Vec<Job>) {
        self.jobs.lock().extend(jobs);
    }

    /// Runs the first job that nobody has begun; false if there is none.
    pub(crate) fn run_one(&self) -> bool {
        let job = self.jobs.lock().pop_front();
        match job {
            Some(job) => {
                job();
                true
            }
            None => false,
        }
    }

    /// Lets `helpers` other threads run jobs.
    pub(crate) fn enlist(self: &Arc<Self>, helpers: usize, spawn: &dyn Spawn) {
        for _ in 0..helpers {
            let batch = Arc::clone(self);
            spawn.spawn(Box::new(move || while batch.run_one() {}));
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}
