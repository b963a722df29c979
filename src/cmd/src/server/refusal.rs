//! What to do about the reasons for which a server does not start: the errors of the node say what
//! failed, these say what a person can do.

use std::io::ErrorKind;

use anyhow::anyhow;
use placement_center::node::{BindError, StartError};

/// A port that could not be bound.
pub fn of_bind(error: &BindError) -> anyhow::Error {
    let (key, address) = (error.key, error.address);
    let flag = key.replace('_', "-");
    match error.source.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "port {} on {} is in use by another process ({key}): stop that process, or choose another port \
             with {key} or --{flag}",
            address.port(),
            address.ip()
        ),
        ErrorKind::PermissionDenied => anyhow!(
            "no permission to listen on port {} ({key}): choose a port from 1024 up with {key} or --{flag}",
            address.port()
        ),
        ErrorKind::AddrNotAvailable => anyhow!(
            "{} is not an address of this machine (addr): choose one that is, or 127.0.0.1",
            address.ip()
        ),
        _ => anyhow!("cannot listen on {address} ({key}): {}", error.source),
    }
}

/// A node that did not start.
pub fn of_start(error: StartError) -> anyhow::Error {
    if error.is_directory_in_use() {
        let error = anyhow::Error::from(error);
        return anyhow!(
            "cannot start: {error:#}: stop that process, or choose another directory with data_path or --data-path"
        );
    }
    anyhow::Error::from(error).context("cannot start")
}
