//! One module a command.

pub(crate) mod cat;
pub(crate) mod info;
pub(crate) mod ls;
pub(crate) mod pack;
pub(crate) mod usage;
