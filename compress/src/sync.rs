//! Every lock of this crate.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::Arc;
