//! Images: made, and opened.

mod new_image;
mod open;

pub use new_image::NewImage;
pub use open::{Image, open, volume_options};
