//! Every lock of this crate, so that a model checker can stand in.

#[cfg(not(shuttle))]
mod imp {
    pub(crate) use parking_lot::{Mutex, MutexGuard};
    pub(crate) use std::thread::ThreadId;

    thread_local! {
        // Asking for it each time takes a quarter of what a lease does. It needs no drop, so it can
        // be had while a thread ends.
        static ME: ThreadId = std::thread::current().id();
    }

    /// Which thread this is.
    pub(crate) fn this_thread() -> ThreadId {
        ME.with(|me| *me)
    }

    #[derive(Default)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
        pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(&mut guard);
            guard
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }
    }
}

#[cfg(shuttle)]
mod imp {
    pub(crate) use shuttle::sync::MutexGuard;
    pub(crate) use shuttle::thread::ThreadId;

    /// Which thread this is.
    pub(crate) fn this_thread() -> ThreadId {
        shuttle::thread::current().id()
    }

    #[derive(Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no panic happens under a lock")
        }
    }

    #[derive(Default)]
    pub(crate) struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(guard).expect("no panic happens under a lock")
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }
    }
}

pub(crate) use imp::{Condvar, Mutex, MutexGuard, ThreadId, this_thread};
pub(crate) use std::sync::Arc;
pub(crate) use std::thread::panicking;
