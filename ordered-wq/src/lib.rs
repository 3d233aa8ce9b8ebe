//! ordered-wq
