//! Every lock of this crate, so that a model checker can stand in.

#[cfg(not(shuttle))]
mod imp {
    use std::time::{Duration, Instant};

    pub(crate) use parking_lot::{Mutex, MutexGuard};

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

    /// Returns once `over`, or after some microseconds: whoever would sleep looks that long first,
    /// for to wake a sleeper takes longer than a range is often locked.
    pub(crate) fn look_until(over: impl Fn() -> bool) {
        const PAUSES: u32 = 8;
        for step in 0..PAUSES {
            if over() {
                return;
            }
            (0..1 << step).for_each(|_| std::hint::spin_loop());
        }
    }

    /// How long locks are held, as far as those tell who waited or let others wait.
    #[derive(Default)]
    pub(crate) struct Pace(Option<Instant>);

    impl Pace {
        pub(crate) fn acquired(&mut self) {
            self.0 = Some(Instant::now());
        }

        /// Whether it is longer ago that one was acquired or released than it takes to wake a
        /// thread.
        pub(crate) fn released(&mut self) -> bool {
            const LONG: Duration = Duration::from_micros(20);
            let now = Instant::now();
            let last = self.0.replace(now);
            last.is_none_or(|last| now - last >= LONG)
        }
    }
}

#[cfg(shuttle)]
mod imp {
    pub(crate) use shuttle::sync::MutexGuard;

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

    /// To look again is nothing new to a checker.
    pub(crate) fn look_until(_: impl Fn() -> bool) {}

    /// Any pace: the checker tries both answers.
    #[derive(Default)]
    pub(crate) struct Pace;

    impl Pace {
        pub(crate) fn acquired(&mut self) {}

        pub(crate) fn released(&mut self) -> bool {
            shuttle::rand::Rng::r#gen(&mut shuttle::rand::thread_rng())
        }
    }
}

pub(crate) use imp::{Condvar, Mutex, MutexGuard, Pace, look_until};
pub(crate) use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One sleeper, which is woken once each time it sleeps.
#[derive(Default)]
pub(crate) struct Sleeper {
    woken: Mutex<bool>,
    changed: Condvar,
    /// The same, to look at without the lock.
    hint: AtomicBool,
}

impl Sleeper {
    /// Whether it is woken within some microseconds; then it need not sleep.
    pub(crate) fn look(&self) -> bool {
        let woken = || self.hint.load(Ordering::Acquire);
        look_until(woken);
        woken()
    }

    /// Looks, then sleeps.
    pub(crate) fn wait(&self) {
        if !self.look() {
            self.sleep();
        }
    }

    pub(crate) fn sleep(&self) {
        let mut woken = self.woken.lock();
        while !*woken {
            woken = self.changed.wait(woken);
        }
        *woken = false;
        self.hint.store(false, Ordering::Relaxed);
    }

    pub(crate) fn wake(&self) {
        let mut woken = self.woken.lock();
        debug_assert!(!*woken, "I5: woken once");
        *woken = true;
        self.hint.store(true, Ordering::Release);
        drop(woken);
        self.changed.notify_one();
    }
}
