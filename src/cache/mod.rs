//! Caches of layers between builds. The reference reads what this writes, and the other way round.
//!
//! Clause: platform.md#exporter (cache); catalogue 2, section 3; policy P28.

mod image;
mod lock;
mod volume;

pub use image::ImageCache;
pub use volume::VolumeCache;
