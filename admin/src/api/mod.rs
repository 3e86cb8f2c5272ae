//! The admin API: every route on one screen.

pub mod dto;
