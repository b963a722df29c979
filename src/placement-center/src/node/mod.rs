//! Puts a node together and takes it apart.
pub mod identity;
