//! `placement.v1.KvService`: the same store and revisions with plain names, and a pipelined stream.

pub mod kv;
mod pipeline;
mod translate;
