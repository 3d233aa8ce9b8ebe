//! Channels and threads.

pub(crate) use std::sync::mpsc::{RecvTimeoutError, channel};
pub(crate) use std::thread::{self, available_parallelism};
