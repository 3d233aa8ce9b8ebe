//! delalloc
