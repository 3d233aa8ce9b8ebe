//! What is shared.

pub(crate) use std::sync::Arc;
