//! Wire types → texts for people. Pure: what time it is, and whether there are colours, is given.

pub(crate) mod done;
pub(crate) mod events;
pub(crate) mod list;
pub(crate) mod log;
mod table;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod time;
pub(crate) mod trail;
pub(crate) mod tree;
pub(crate) mod words;

pub(crate) use table::Table;
