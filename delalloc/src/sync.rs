//! Every lock of this crate, so that a model checker can stand in.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
pub(crate) use std::sync::Arc;
