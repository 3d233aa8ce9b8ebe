//! Channels.

pub(crate) use std::sync::mpsc::{RecvTimeoutError, channel};
