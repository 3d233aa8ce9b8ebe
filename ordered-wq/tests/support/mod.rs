//! What the tests share.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Fails instead of hanging.
pub(crate) fn within_10_s(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        done.send(()).expect("somebody waits");
    });
    match wait.recv_timeout(Duration::from_secs(10)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs"),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
            thread.join().expect("the test passes");
        }
    }
}
