//! Other threads.

/// Something to run, once.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// Runs jobs on other threads.
///
/// Readers never depend on it: they take over what has not begun, so a job may begin late, or be
/// dropped, and a reader may itself run on one of these threads.
pub trait Spawn: Send + Sync {
    /// How many jobs can run at a time, besides the caller; 0: everything on the caller.
    fn parallelism(&self) -> usize;
    /// Runs `job` soon, never on the caller's stack, and returns at once.
    fn spawn(&self, job: Job);
}

/// No other threads.
impl Spawn for () {
    fn parallelism(&self) -> usize {
        0
    }

    fn spawn(&self, job: Job) {
        drop(job);
    }
}
