//! Packs a rig's files into an initramfs.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use cpio::newc::Builder;
use vmmload_tests::{packages, scratch};

use crate::command::output;
use crate::kernel::Kernel;
use crate::products::Products;
use crate::rig::Rig;
use crate::{RigError, doing, shared_libraries};

/// The first process of a rig.
const INIT: &str = include_str!("../init.sh");

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// One entry of the archive.
#[derive(Debug)]
struct Node {
    mode: u32,
    /// Seconds since 1970: Python compares its compiled modules with the time of their source.
    time: u32,
    content: Vec<u8>,
}

/// Everything in the archive, by its absolute path.
#[derive(Debug, Default)]
struct Tree(BTreeMap<PathBuf, Node>);

/// A bootable rig: the kernel and the archive with everything else.
#[derive(Debug)]
pub(crate) struct Image {
    /// The kernel's file.
    pub kernel: PathBuf,
    /// The initramfs's file, named after its content.
    pub archive: PathBuf,
}

/// Packs the image, unless one with the very same content is there already.
///
/// # Errors
/// Files that cannot be read or written, and what Debian lacks.
pub(crate) fn build(
    rig: Rig,
    directory: &Path,
    kernel: &Kernel,
    products: &Products,
) -> Result<Image, RigError> {
    let mut tree = Tree::default();
    tree.skeleton();
    tree.machine(rig, kernel, products)?;
    tree.tested(products)?;
    let archive = directory
        .join("images")
        .join(format!("{}-{:016x}", rig.name(), tree.hash()));
    if !archive.exists() {
        remove_older(rig, directory);
        write(&tree, &archive).map_err(doing(format!("writing {}", archive.display())))?;
    }
    Ok(Image {
        kernel: kernel.image.clone(),
        archive,
    })
}

impl Tree {
    /// The directories that programs expect, with Debian's merged /usr.
    fn skeleton(&mut self) {
        for name in [
            "dev", "proc", "sys", "tmp", "root", "run", "var/tmp", "usr/bin", "etc",
        ] {
            self.directory(&Path::new("/").join(name));
        }
        for (link, target) in [
            ("/bin", "usr/bin"),
            ("/sbin", "usr/bin"),
            ("/usr/sbin", "bin"),
            ("/lib", "usr/lib"),
            ("/lib64", "usr/lib64"),
        ] {
            self.put(Path::new(link), LINK | 0o777, 0, target.into());
        }
        self.put(
            Path::new("/etc/passwd"),
            REGULAR | 0o644,
            0,
            b"root:x:0:0:root:/root:/bin/sh\n".into(),
        );
        self.put(
            Path::new("/etc/group"),
            REGULAR | 0o644,
            0,
            b"root:x:0:\n".into(),
        );
    }

    /// What makes it boot and run its steps.
    fn machine(&mut self, rig: Rig, kernel: &Kernel, products: &Products) -> Result<(), RigError> {
        packages::ensure("/bin/busybox", "busybox-static").map_err(RigError::Missing)?;
        self.file(Path::new("/bin/busybox"), Path::new("/bin/busybox"))?;
        self.put(Path::new("/init"), REGULAR | 0o755, 0, INIT.into());
        for name in rig.modules() {
            self.file(
                &kernel.module(name)?,
                &Path::new("/rig").join(format!("{name}.ko")),
            )?;
        }
        let modules = rig.modules().map(|name| format!("{name}.ko\n")).concat();
        let environment = format!(
            "export CI=1 VMMLOAD_BIN=/usr/bin/vmmload VMMLOAD_RIG={} VMMLOAD_PATIENCE={} \
             VMMLOAD_WORK_DIVISOR={}\n",
            rig.vendor(),
            rig.patience(),
            rig.work_divisor()
        );
        let steps: String = products
            .steps
            .iter()
            .map(|(name, words)| script_line(name, words))
            .collect();
        for (name, text) in [
            ("modules", modules),
            ("environment", environment),
            ("steps", steps),
        ] {
            self.put(
                &Path::new("/rig").join(name),
                REGULAR | 0o644,
                0,
                text.into(),
            );
        }
        Ok(())
    }

    /// The program under test, the tests and what they need, at the same places as on the host.
    fn tested(&mut self, products: &Products) -> Result<(), RigError> {
        packages::ensure("/usr/bin/strip", "binutils").map_err(RigError::Missing)?;
        let stripped = scratch::Scratch::new();
        self.file(&products.vmmload, Path::new("/usr/bin/vmmload"))?;
        let mut programs: Vec<&Path> = vec![&products.vmmload];
        for path in &products.files {
            if !shared_libraries::is_elf(path) {
                self.file(path, path)?;
                continue;
            }
            programs.push(path);
            if path.starts_with(scratch::target()) {
                // What is built here carries debugging information, many times its own size.
                let small = stripped.path().join("small");
                output(Command::new("strip").arg("-o").arg(&small).arg(path))?;
                self.file(&small, path)?;
            } else {
                self.file(path, path)?;
            }
        }
        for library in shared_libraries::of(programs.into_iter())? {
            self.file(&library, &library)?;
        }
        Ok(())
    }

    /// Adds a file of the host. Names of merged directories (/bin, /lib) become those below /usr.
    fn file(&mut self, source: &Path, place: &Path) -> Result<(), RigError> {
        let reading = || format!("reading {}", source.display());
        let content = fs::read(source).map_err(doing(reading()))?;
        let metadata = fs::metadata(source).map_err(doing(reading()))?;
        let mode = REGULAR | (metadata.permissions().mode() & 0o777);
        let merged = ["bin", "sbin", "lib", "lib64"].into_iter().find_map(|top| {
            let rest = place.strip_prefix(Path::new("/").join(top)).ok()?;
            Some(
                Path::new("/usr")
                    .join(top.replace("sbin", "bin"))
                    .join(rest),
            )
        });
        // Times beyond 2106 do not fit the format; they only serve comparisons.
        self.put(
            merged.as_deref().unwrap_or(place),
            mode,
            metadata.mtime() as u32,
            content,
        );
        Ok(())
    }

    fn directory(&mut self, place: &Path) {
        self.put(place, DIRECTORY | 0o755, 0, Vec::new());
    }

    fn put(&mut self, place: &Path, mode: u32, time: u32, content: Vec<u8>) {
        let parent = place.parent().filter(|&parent| parent != Path::new("/"));
        if let Some(parent) = parent.filter(|&parent| !self.0.contains_key(parent)) {
            self.directory(parent);
        }
        self.0.insert(
            place.to_owned(),
            Node {
                mode,
                time,
                content,
            },
        );
    }

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (place, node) in &self.0 {
            (place, node.mode, node.time, &node.content).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// A call of `step` in the rig's shell.
fn script_line(name: &str, words: &[String]) -> String {
    let quoted = |word: &str| format!(" '{}'", word.replace('\'', "'\\''"));
    let words: String = words.iter().map(|word| quoted(word)).collect();
    format!("step{}{words}\n", quoted(name))
}

/// Only the newest image of each rig is worth its place.
fn remove_older(rig: Rig, directory: &Path) {
    let prefix = format!("{}-", rig.name());
    let entries = fs::read_dir(directory.join("images"))
        .into_iter()
        .flatten()
        .flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)) {
        let _ = fs::remove_file(entry.path());
    }
}

/// Not compressed: unpacking in an emulator takes longer than reading.
fn write(tree: &Tree, archive: &Path) -> std::io::Result<()> {
    fs::create_dir_all(archive.parent().unwrap_or(Path::new("/")))?;
    let part = PathBuf::from(format!("{}.part", archive.display()));
    let mut out = BufWriter::new(File::create(&part)?);
    for (number, (place, node)) in tree.0.iter().enumerate() {
        let name = place
            .strip_prefix("/")
            .unwrap_or(place)
            .to_string_lossy()
            .into_owned();
        let size = u32::try_from(node.content.len()).map_err(std::io::Error::other)?;
        let entry = Builder::new(&name)
            .ino(number as u32 + 1)
            .mode(node.mode)
            .mtime(node.time);
        let mut entry = entry.nlink(1).write(&mut out, size);
        entry.write_all(&node.content)?;
        entry.finish()?;
    }
    cpio::newc::trailer(&mut out)?.flush()?;
    fs::rename(part, archive)
}
