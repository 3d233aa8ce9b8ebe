//! Every lock, atomic and shared pointer of the crate, so that a model checker can stand in.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, Weak};

pub(crate) use parking_lot::{Condvar, Mutex};
