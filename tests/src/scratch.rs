//! Directories for what tests write.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The directory below the build's target directory that tests keep their files in.
///
/// # Panics
/// When it cannot be created.
#[must_use]
pub fn cache(name: &str) -> PathBuf {
    let directory = target().join("vmmload-tests").join(name);
    std::fs::create_dir_all(&directory)
        .unwrap_or_else(|cause| panic!("cannot create {}: {cause}", directory.display()));
    directory
}

/// The build's target directory, found from the running test itself: `TARGET/PROFILE/deps/TEST`.
///
/// # Panics
/// When the running program does not know its own path.
#[must_use]
pub fn target() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile_parent = test
        .ancestors()
        .find(|path| path.join("CACHEDIR.TAG").exists());
    profile_parent.map_or_else(|| workspace().join("target"), Path::to_path_buf)
}

/// The workspace's root directory.
///
/// # Panics
/// Never: this package lies in the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
        .to_path_buf()
}

/// A fresh directory of one test, removed with all it holds when the value is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Creates an empty directory that no other test, process or run shares.
    ///
    /// # Panics
    /// When it cannot be created.
    #[must_use]
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only uniqueness matters, nothing is published with the number.
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let directory = cache("scratch").join(format!("{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("the scratch directory can be created");
        Self(directory)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file with the given permission bits, and gives its path.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        std::fs::write(&path, content)
            .unwrap_or_else(|cause| panic!("cannot write {}: {cause}", path.display()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
            .expect("own files can be chmodded");
        path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
