//! Renderings of a [`Report`](crate::diagnostic::Report): for people, for programs, for code review tools.

mod human;
mod json;
mod sarif;

pub use human::{Colour, human};
pub use json::json;
pub use sarif::sarif;
