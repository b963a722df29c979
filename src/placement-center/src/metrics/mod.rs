//! The metrics page: names, help texts and where each figure comes from. Counting itself happens where
//! the counted thing happens.

pub mod process;
pub mod text;
