//! `vmmload link`: a directory of links by which commands are wrapped when it comes first in PATH.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::complain;
use crate::links;
use crate::process::command;

/// What `vmmload link` was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkConfig {
    /// What to do there.
    pub(crate) action: LinkAction,
    /// Where the links are.
    pub(crate) directory: PathBuf,
    /// Names of commands; for removing, none means all.
    pub(crate) names: Vec<OsString>,
}

/// What to do with links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkAction {
    /// Make them.
    Create,
    /// Show them.
    List,
    /// Remove them.
    Remove,
}

/// Why links cannot be made or removed. What can be told beforehand is told before anything is changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// A path, or nothing at all.
    #[error("{}: not a command's name; give it as you type it, without a directory", .0.display())]
    Name(OsString),
    /// vmmload itself.
    #[error("{}: vmmload cannot be wrapped in itself; name other commands", .0.display())]
    Itself(OsString),
    /// Nothing of this name.
    #[error("{}: there is no such command in PATH; check the spelling, or install it first", .0.display())]
    Missing(OsString),
    /// A program of another user's rights.
    #[error("{}: a set-user-ID or set-group-ID program, which only the kernel can start; leave it out", .0.display())]
    SetId(OsString),
    /// Something else has the name.
    #[error("{} is there already, and no link to vmmload; remove it, or use another directory", .0.display())]
    Taken(PathBuf),
    /// Not to be removed.
    #[error("{} is no link to vmmload; vmmload link --list shows those that are", .0.display())]
    Foreign(PathBuf),
    /// This executable was removed.
    #[error("vmmload's own file is gone, so nothing can be linked to it; install it again")]
    Gone,
    /// The host.
    #[error("{}: {source}; check the path and your rights there", path.display())]
    Host {
        /// Where.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The list could not be written.
    #[error("cannot write to standard output: {0}; check where it goes")]
    Output(#[source] io::Error),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> LinkError {
    let path = path.to_path_buf();
    move |source| LinkError::Host { path, source }
}

/// Does what was asked for.
///
/// # Errors
/// See [`LinkError`].
pub(super) fn run(config: &LinkConfig, out: &mut impl Write) -> Result<(), LinkError> {
    match config.action {
        LinkAction::Create => create(&config.directory, &config.names),
        LinkAction::List => list(&config.directory, out),
        LinkAction::Remove => remove(&config.directory, &config.names),
    }
}

fn create(directory: &Path, names: &[OsString]) -> Result<(), LinkError> {
    let target = own_file()?;
    for name in names {
        check(directory, name)?;
    }
    if let Err(error) = fs::create_dir(directory)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(at(directory)(error));
    }
    for name in names {
        let link = directory.join(name);
        // A link that is left of a vmmload that has moved.
        if is_link(&link) && fs::read_link(&link).is_ok_and(|old| old != target) {
            fs::remove_file(&link).map_err(at(&link))?;
        }
        match symlink(&target, &link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_link(&link) => {}
            made => made.map_err(at(&link))?,
        }
    }
    advise(directory, names);
    Ok(())
}

fn own_file() -> Result<PathBuf, LinkError> {
    let path = fs::read_link("/proc/self/exe").map_err(at(Path::new("/proc/self/exe")))?;
    match path.exists() {
        true => Ok(path),
        false => Err(LinkError::Gone),
    }
}

/// Whether a link of that name can be made.
fn check(directory: &Path, name: &OsStr) -> Result<(), LinkError> {
    check_name(name)?;
    if links::is_our_name(name) {
        return Err(LinkError::Itself(name.into()));
    }
    let link = directory.join(name);
    if link.symlink_metadata().is_ok() && !is_link(&link) {
        return Err(LinkError::Taken(link));
    }
    let command = links::behind(directory, name).map_err(|_| LinkError::Missing(name.into()))?;
    match command
        .metadata()
        .is_ok_and(|file| command::is_set_id(&file))
    {
        true => Err(LinkError::SetId(name.into())),
        false => Ok(()),
    }
}

fn check_name(name: &OsStr) -> Result<(), LinkError> {
    let bytes = name.as_bytes();
    match bytes {
        b"" | b"." | b".." => Err(LinkError::Name(name.into())),
        _ if bytes.contains(&b'/') => Err(LinkError::Name(name.into())),
        _ => Ok(()),
    }
}

/// Whether it is one of our links.
fn is_link(path: &Path) -> bool {
    let metadata = path.symlink_metadata();
    metadata.is_ok_and(|metadata| metadata.is_symlink()) && links::is_vmmload(path)
}

/// Says what keeps the links from being found, or from being all that they could be.
fn advise(directory: &Path, names: &[OsString]) {
    let absolute = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_path_buf());
    let shown = absolute.display();
    if !links::has_only_links_to_us(directory) {
        complain(&format!(
            "there is more than links to vmmload in {shown}, so it stays in the PATH of wrapped commands, and those \
             that look for themselves there find the link. Keep the links in a directory of their own"
        ));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| command::DEFAULT_PATH.into());
    for name in names {
        let first = command::search(name, Some(&path));
        if !first.as_ref().is_ok_and(|first| is_link(first)) {
            return complain(&format!(
                "PATH does not find {} in {shown} yet: export PATH={shown}:$PATH",
                name.display()
            ));
        }
    }
}

/// Names of our links in `directory`, in order.
fn names_in(directory: &Path) -> Result<Vec<OsString>, LinkError> {
    let entries = fs::read_dir(directory).map_err(at(directory))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at(directory))?;
        if is_link(&entry.path()) {
            names.push(entry.file_name());
        }
    }
    names.sort();
    Ok(names)
}

fn list(directory: &Path, out: &mut impl Write) -> Result<(), LinkError> {
    let names = names_in(directory)?;
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut print = || {
        for name in &names {
            let (shown, pad) = (name.display(), width - name.len());
            match links::behind(directory, name) {
                Ok(command) => writeln!(out, "{shown}{:pad$}  {}", "", command.display())?,
                Err(_) => writeln!(
                    out,
                    "{shown}{:pad$}  (no other command of this name in PATH)",
                    ""
                )?,
            }
        }
        out.flush()
    };
    match print() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(LinkError::Output(error)),
        _ => Ok(()),
    }
}

fn remove(directory: &Path, names: &[OsString]) -> Result<(), LinkError> {
    for name in names {
        check_name(name)?;
        let link = directory.join(name);
        if !is_link(&link) {
            return Err(match link.symlink_metadata() {
                Ok(_) => LinkError::Foreign(link),
                Err(error) => at(&link)(error),
            });
        }
    }
    let all = match names {
        [] => names_in(directory)?,
        _ => names.to_vec(),
    };
    for name in all {
        let link = directory.join(name);
        fs::remove_file(&link).map_err(at(&link))?;
    }
    Ok(())
}
