//! fs-core
