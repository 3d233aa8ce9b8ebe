//! Every lock and thread of this crate, so that a model checker can stand in.

#[cfg(not(any(loom, shuttle)))]
mod imp {
    pub(crate) use parking_lot::{Mutex, MutexGuard};
    pub(crate) use std::sync::atomic::AtomicU64;
    pub(crate) use std::thread::{Builder, JoinHandle};
    pub(crate) use std::thread_local;
    use std::time::{Duration, Instant};

    /// Looks a few times more before it sleeps: to wake a sleeper takes longer than what is waited
    /// for often does. At most some microseconds.
    pub(crate) struct Spin;

    impl Spin {
        const PAUSES: u32 = 7;
        const YIELDS: u32 = 4;

        /// Returns early once `over`.
        pub(crate) fn until(over: impl Fn() -> bool) {
            for step in 0..Self::PAUSES + Self::YIELDS {
                if over() {
                    return;
                }
                if step < Self::PAUSES {
                    (0..1 << step).for_each(|_| std::hint::spin_loop());
                } else {
                    std::thread::yield_now();
                }
            }
        }
    }

    /// How long something takes.
    pub(crate) struct Pace(Instant);

    impl Pace {
        pub(crate) fn start() -> Self {
            Self(Instant::now())
        }

        /// The time since the start or since the last call.
        pub(crate) fn lap(&mut self) -> Duration {
            let start = std::mem::replace(&mut self.0, Instant::now());
            self.0 - start
        }
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

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

#[cfg(any(loom, shuttle))]
mod imp {
    #[cfg(loom)]
    use loom as checker;
    #[cfg(not(loom))]
    use shuttle as checker;

    pub(crate) use checker::sync::MutexGuard;
    pub(crate) use checker::sync::atomic::AtomicU64;
    pub(crate) use checker::thread::{Builder, JoinHandle};
    #[cfg(shuttle)]
    pub(crate) use checker::thread_local;

    /// Loom's macro doesn't know constant initializers.
    #[cfg(loom)]
    macro_rules! constant_thread_local {
        ($(#[$meta:meta])* static $name:ident: $type:ty = const { $init:expr };) => {
            loom::thread_local! { $(#[$meta])* static $name: $type = $init; }
        };
    }
    #[cfg(loom)]
    pub(crate) use constant_thread_local as thread_local;

    /// To look again is nothing new to a checker.
    pub(crate) struct Spin;

    impl Spin {
        pub(crate) fn until(_: impl Fn() -> bool) {}
    }

    /// Everything is quick.
    pub(crate) struct Pace;

    impl Pace {
        pub(crate) fn start() -> Self {
            Self
        }

        pub(crate) fn lap(&mut self) -> std::time::Duration {
            std::time::Duration::ZERO
        }
    }

    pub(crate) struct Mutex<T>(checker::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(checker::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no panic happens under a lock")
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    #[derive(Default)]
    pub(crate) struct Condvar(checker::sync::Condvar);

    impl Condvar {
        pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(guard).expect("no panic happens under a lock")
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

pub(crate) use imp::{
    AtomicU64, Builder, Condvar, JoinHandle, Mutex, MutexGuard, Pace, Spin, thread_local,
};
pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::Ordering;
// For hints that may be old; nothing is ordered by them.
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize};

/// One sleeper, which is woken once.
#[derive(Default)]
pub(crate) struct Sleeper {
    told: Mutex<Told>,
    changed: Condvar,
    /// The same, for who can do with an old answer.
    hint: AtomicBool,
}

#[derive(Default)]
struct Told {
    woken: bool,
    /// There is something to do until then.
    called: bool,
}

impl Sleeper {
    pub(crate) fn sleep(&self) {
        Spin::until(|| self.hint.load(Ordering::Relaxed));
        let mut told = self.told.lock();
        while !told.woken {
            told = self.changed.wait(told);
        }
    }

    /// As [`Self::sleep`], and ends with a call, too.
    pub(crate) fn nap(&self) {
        Spin::until(|| self.hint.load(Ordering::Relaxed));
        let mut told = self.told.lock();
        while !told.woken && !told.called {
            told = self.changed.wait(told);
        }
        told.called = false;
    }

    pub(crate) fn is_awake(&self) -> bool {
        self.told.lock().woken
    }

    pub(crate) fn wake(&self) {
        let mut told = self.told.lock();
        debug_assert!(!told.woken, "I7: woken once");
        told.woken = true;
        self.hint.store(true, Ordering::Relaxed);
        drop(told);
        self.changed.notify_one();
    }

    /// Ends a nap, this one or the next.
    pub(crate) fn call(&self) {
        self.told.lock().called = true;
        self.changed.notify_one();
    }
}
