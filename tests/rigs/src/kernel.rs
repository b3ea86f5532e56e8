//! Debian's kernel for virtual machines, fetched by apt and unpacked without being installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use walkdir::WalkDir;

use crate::command::output;
use crate::{RigError, doing};

/// The package that always depends on the present kernel of the release.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// An unpacked kernel package.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The image to boot.
    pub image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// The file of one module.
    ///
    /// # Errors
    /// When the kernel has no such module, or only a compressed one, which busybox cannot load.
    pub(crate) fn module(&self, name: &str) -> Result<PathBuf, RigError> {
        let file = format!("{name}.ko");
        let found = WalkDir::new(&self.modules)
            .into_iter()
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy() == file);
        found
            .map(walkdir::DirEntry::into_path)
            .ok_or_else(|| RigError::Missing(format!("{} has no {file}", self.modules.display())))
    }
}

/// Fetches the kernel package unless its present version is there already, and unpacks it below
/// `directory`.
///
/// # Errors
/// What apt or dpkg-deb says.
pub(crate) fn fetch(directory: &Path) -> Result<Kernel, RigError> {
    let name = match present_version() {
        Ok(name) => name,
        // Without package lists, a kernel fetched before is as good.
        Err(error) => fetched_before(directory).ok_or(error)?,
    };
    let unpacked = directory.join("kernel").join(&name);
    if !unpacked.exists() {
        unpack(&name, &unpacked)?;
    }
    let boot = unpacked.join("boot");
    let image = first_with_prefix(&boot, "vmlinuz-")?;
    Ok(Kernel {
        image,
        modules: unpacked.join("lib/modules"),
    })
}

fn fetched_before(directory: &Path) -> Option<String> {
    let entries = fs::read_dir(directory.join("kernel")).ok()?;
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.ends_with(".part")).max()
}

/// The versioned package that the meta package stands for.
fn present_version() -> Result<String, RigError> {
    let depends = || output(Command::new("apt-cache").args(["depends", "--important", PACKAGE]));
    let named = |text: String| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("Depends: "));
        line.map(str::to_owned)
    };
    if let Some(name) = depends().ok().and_then(named) {
        return Ok(name);
    }
    // A machine that has never fetched its package lists.
    output(Command::new("apt-get").args(["update", "-qq"]))?;
    named(depends()?).ok_or_else(|| {
        RigError::Missing(format!(
            "apt knows no package {PACKAGE}. Run `apt-get update`, and check that the sources in \
             /etc/apt are Debian's"
        ))
    })
}

fn unpack(name: &str, unpacked: &Path) -> Result<(), RigError> {
    let part = PathBuf::from(format!("{}.part", unpacked.display()));
    let _ = fs::remove_dir_all(&part);
    fs::create_dir_all(&part).map_err(doing(format!("creating {}", part.display())))?;
    let download = || {
        let mut command = Command::new("apt-get");
        // Root would have the user _apt write here, who may not.
        command
            .args(["download", "-qq", "-o", "APT::Sandbox::User=root", name])
            .current_dir(&part);
        output(&mut command)
    };
    if download().is_err() {
        // The lists may name a version that the mirror has replaced.
        output(Command::new("apt-get").args(["update", "-qq"]))?;
        download()?;
    }
    let package = first_with_prefix(&part, name)?;
    output(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&part))?;
    fs::remove_file(&package).map_err(doing(format!("removing {}", package.display())))?;
    fs::rename(&part, unpacked).map_err(doing(format!("renaming {}", part.display())))
}

fn first_with_prefix(directory: &Path, prefix: &str) -> Result<PathBuf, RigError> {
    let entries = fs::read_dir(directory).map_err(doing(format!("{}", directory.display())))?;
    let mut names = entries.flatten().map(|entry| entry.path());
    let matches = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    };
    names.find(matches).ok_or_else(|| {
        RigError::Missing(format!(
            "nothing named {prefix}... in {}",
            directory.display()
        ))
    })
}
