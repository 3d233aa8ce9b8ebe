//! What is being read now, so that nobody reads it twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::batch::Batch;
use crate::error::{Error, FileId};
use crate::sync::{Arc, Condvar, Mutex, Weak};

/// What is read: a file, the pages it is read to, since a file may have several caches, and the
/// first page that its extent fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) file: FileId,
    pub(crate) mapping: usize,
    pub(crate) start: u64,
}

/// How a read ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// The file changed meanwhile: nothing, or not all, was cached.
    pub(crate) stale: bool,
    /// In file order.
    pub(crate) failures: Vec<Error>,
}

/// All that is in flight.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    table: Mutex<HashMap<Key, Arc<Flight>>>,
}

/// One read.
#[derive(Debug)]
pub(crate) struct Flight {
    state: Mutex<State>,
    changed: Condvar,
    /// Where its job is. Weak: the job holds the flight.
    batch: Weak<Batch>,
}

#[derive(Debug, Default)]
struct State {
    /// The batch has its job.
    published: bool,
    outcome: Option<Arc<Outcome>>,
}

/// The duty to end a flight. Dropping it does, with an error.
#[derive(Debug)]
pub(crate) struct Lead {
    flights: Arc<Flights>,
    key: Key,
    flight: Arc<Flight>,
    end: u64,
}

pub(crate) enum Claim {
    /// Nobody is reading it: the caller must.
    Lead(Lead),
    /// Somebody is.
    Joined(Arc<Flight>),
}

impl Flights {
    /// Claims what `key` names for a job that will be in `batch`; `end` is where it ends.
    pub(crate) fn claim(self: &Arc<Self>, key: Key, end: u64, batch: &Arc<Batch>) -> Claim {
        match self.table.lock().entry(key) {
            Entry::Occupied(entry) => Claim::Joined(Arc::clone(entry.get())),
            Entry::Vacant(entry) => {
                let flight = Arc::new(Flight {
                    state: Mutex::default(),
                    changed: Condvar::new(),
                    batch: Arc::downgrade(batch),
                });
                entry.insert(Arc::clone(&flight));
                Claim::Lead(Lead {
                    flights: Arc::clone(self),
                    key,
                    flight,
                    end,
                })
            }
        }
    }

    /// Waits until what is in flight now has ended.
    pub(crate) fn quiesce(&self) {
        let now: Vec<_> = self.table.lock().values().cloned().collect();
        for flight in now {
            flight.wait();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.lock().is_empty()
    }
}

impl Flight {
    /// The job can be taken from the batch from now on.
    pub(crate) fn publish(&self) {
        self.state.lock().published = true;
        self.changed.notify_all();
    }

    /// Waits for the end, doing work of the same batch that nobody has begun.
    ///
    /// The caller leads nothing that it has not published. Then this ends: what is published and
    /// not in its batch's queue is running on some thread, and jobs never wait.
    pub(crate) fn wait(&self) -> Arc<Outcome> {
        loop {
            let mut state = self.state.lock();
            while state.outcome.is_none() && !state.published {
                self.changed.wait(&mut state);
            }
            if let Some(outcome) = &state.outcome {
                return Arc::clone(outcome);
            }
            drop(state);
            let ran = self.batch.upgrade().is_some_and(|batch| batch.run_one());
            if ran {
                continue;
            }
            let mut state = self.state.lock();
            loop {
                if let Some(outcome) = &state.outcome {
                    return Arc::clone(outcome);
                }
                self.changed.wait(&mut state);
            }
        }
    }
}

impl Lead {
    pub(crate) fn flight(&self) -> Arc<Flight> {
        Arc::clone(&self.flight)
    }

    /// Ends the flight. All that it fills is cached before, so who doesn't find it in the table any
    /// more finds the pages.
    pub(crate) fn complete(self, outcome: Outcome) {
        self.finish(outcome);
    }

    fn finish(&self, outcome: Outcome) {
        let mut state = self.flight.state.lock();
        if state.outcome.is_some() {
            return;
        }
        // First, so that who saw the end finds nothing of it in the table.
        self.flights.table.lock().remove(&self.key);
        state.outcome = Some(Arc::new(outcome));
        drop(state);
        self.flight.changed.notify_all();
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.finish(Outcome {
            stale: false,
            failures: vec![Error::Aborted {
                file: self.key.file,
                range: self.key.start..self.end,
            }],
        });
    }
}
