//! The threads, locks and atomics of this crate.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
pub(crate) use std::sync::{Arc, Mutex};
pub(crate) use std::thread;
