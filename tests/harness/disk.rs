//! A file system of its own on a loop file, whose power can be cut: images of the disk at one instant,
//! and a shutdown that throws away what was never synced. Needs root and loop devices.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::binary;

/// Room for the few seconds of load that a test writes; small, because every image is a copy of it.
const DISK_BYTES: u64 = 320 << 20;

/// A copy is taken again if the disk has changed under it. Not often: the server is paused meanwhile,
/// and its clients' deadlines run.
const COPY_ATTEMPTS: usize = 3;

/// Cuts the power of the file system given as argument: the shutdown request of ext4, without a flush
/// of its journal. The call is one ioctl, which needs another language where unsafe code is forbidden.
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), EXT4_IOC_SHUTDOWN, struct.pack('I', NO_LOG_FLUSH))
";

/// A mounted ext4 on a loop file. Dropping it unmounts.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    mount: PathBuf,
    mounted: bool,
}

/// Why this machine cannot cut the power of a disk, if it cannot.
pub fn unavailable() -> Option<String> {
    for program in ["mkfs.ext4", "mount", "umount", "losetup", "cp", "cmp"] {
        if !["/sbin", "/usr/sbin", "/bin", "/usr/bin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).is_file())
        {
            return Some(format!("{program} is not installed"));
        }
    }
    let probe = || -> Result<()> {
        let folder = TempDir::new_in(binary::scratch()?)?;
        Disk::format(folder.path())?.unmount()
    };
    probe()
        .err()
        .map(|error| format!("no ext4 on a loop file here: {error:#}"))
}

impl Disk {
    /// Makes and mounts a fresh file system inside `folder`.
    pub fn format(folder: &Path) -> Result<Self> {
        let image = folder.join("disk.img");
        File::create(&image)?
            .set_len(DISK_BYTES)
            .context("make the loop file")?;
        let path = image.display().to_string();
        run(
            "mkfs.ext4",
            &[
                "-q",
                "-F",
                "-E",
                "lazy_itable_init=0,lazy_journal_init=0",
                &path,
            ],
        )?;
        Self::mount(image, folder.join("disk"))
    }

    /// Mounts an existing image.
    pub fn mount(image: PathBuf, mount: PathBuf) -> Result<Self> {
        fs::create_dir_all(&mount)?;
        let (from, to) = (image.display().to_string(), mount.display().to_string());
        run("mount", &["-t", "ext4", "-o", "loop", &from, &to])?;
        Ok(Self {
            image,
            mount,
            mounted: true,
        })
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Copies the backing file as it is at one instant. The writer should be paused: the copy is
    /// compared with the disk afterwards and taken again if the disk has changed meanwhile. False when
    /// the disk did not hold still: let the writer go on and try another instant.
    pub fn image_to(&self, copy: &Path) -> Result<bool> {
        let (from, to) = (self.image.display().to_string(), copy.display().to_string());
        for _ in 0..COPY_ATTEMPTS {
            run("cp", &["--sparse=always", &from, &to])?;
            if run("cmp", &["-s", &from, &to]).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Cuts the power: from now on every write fails, and what was not synced is gone. False where
    /// this machine has no program to ask the kernel for that.
    pub fn cut_power(&self) -> Result<bool> {
        if binary::installed("python3").is_none() {
            return Ok(false);
        }
        let path = self.mount.display().to_string();
        run("python3", &["-c", SHUTDOWN, &path])?;
        Ok(true)
    }

    /// Unmounts and mounts again, as a machine does after its power came back.
    pub fn remount(mut self) -> Result<Self> {
        self.release()?;
        Self::mount(self.image.clone(), self.mount.clone())
    }

    /// Unmounts; the loop device goes with the mount.
    pub fn unmount(mut self) -> Result<()> {
        self.release()
    }

    fn release(&mut self) -> Result<()> {
        if self.mounted {
            run("umount", &[&self.mount.display().to_string()])?;
            self.mounted = false;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A lazy unmount also works while a process that is just ending still holds a file.
        if self.mounted && self.release().is_err() {
            let forced = run("umount", &["-l", &self.mount.display().to_string()]);
            if let Err(error) = forced {
                eprintln!("{} stays mounted: {error:#}", self.mount.display());
            }
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        // The tools for disks are not in every user's search path.
        .env(
            "PATH",
            "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin",
        )
        .output()
        .with_context(|| format!("run {program}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        complaint.trim()
    );
    Ok(())
}
