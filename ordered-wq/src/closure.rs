//! Work made of two closures.

use crate::{Outcome, Work};

/// Makes an item of two closures: `run` is the parallel part, and `finish`, the
/// ordered part, gets what it returned, or else the [`Outcome`] that says why
/// there is nothing (never [`Outcome::Done`]).
///
/// ```
/// use std::sync::mpsc;
/// use ordered_wq::{OrderedQueue, Pool, work};
///
/// let (out, results) = mpsc::channel();
/// let queue = OrderedQueue::new(&Pool::new(2));
/// for n in 0..10_u32 {
///     let out = out.clone();
///     queue.submit(work(move || n * n, move |square| {
///         out.send(square.expect("multiplying doesn't panic")).expect("somebody listens");
///     }));
/// }
/// queue.drain()?;
/// assert!(results.try_iter().eq((0..10).map(|n| n * n)));
/// # Ok::<(), ordered_wq::Error>(())
/// ```
pub fn work<T, R, F>(run: R, finish: F) -> Closures<T, R, F>
where
    T: Send + 'static,
    R: FnOnce() -> T + Send + 'static,
    F: FnOnce(Result<T, Outcome>) + Send + 'static,
{
    Closures {
        run: Some(run),
        value: None,
        finish: Some(finish),
    }
}

/// An item made by [`work`].
pub struct Closures<T, R, F> {
    run: Option<R>,
    value: Option<T>,
    finish: Option<F>,
}

impl<T, R, F> Work for Closures<T, R, F>
where
    T: Send + 'static,
    R: FnOnce() -> T + Send + 'static,
    F: FnOnce(Result<T, Outcome>) + Send + 'static,
{
    fn run(&mut self) {
        self.value = self.run.take().map(|run| run());
    }

    fn finish(&mut self, outcome: Outcome) {
        if let Some(finish) = self.finish.take() {
            finish(self.value.take().ok_or(outcome));
        }
    }
}
