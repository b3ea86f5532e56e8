//! A `vmmload run` inside this one does not build a VM in a VM: it says how its command is to be wrapped, and executes
//! it. Then the image that goes was no program of the user's.

use std::sync::{Mutex, PoisonError};

use super::state::Process;
use crate::cli::{RunConfig, Settings, SummaryTarget};
use crate::host::descriptors::Parked;
use crate::host::origin;

/// How the next image is wrapped.
pub(crate) struct NextRun {
    /// In all.
    pub config: RunConfig,
    /// Where its summary goes, if that was said anew.
    pub summary: Option<Parked>,
}

/// What was asked for, until the next image comes.
#[derive(Default)]
pub(crate) struct Asked(Mutex<Option<Settings>>);

impl Process {
    /// Takes settings for the program that this process executes next.
    ///
    /// # Errors
    /// EINVAL for settings that contradict each other.
    pub(crate) fn configure_next(&self, settings: Settings) -> Result<(), i32> {
        settings
            .clone()
            .over(self.config.clone())
            .map_err(|_| libc::EINVAL)?;
        *self
            .asked()
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(settings);
        Ok(())
    }

    /// Whether this image only came to say how the next is to be wrapped.
    pub(crate) fn is_go_between(&self) -> bool {
        self.settings().is_some()
    }

    /// How the next image is to be wrapped, if anything was said.
    ///
    /// # Errors
    /// The error number of what cannot be opened.
    pub(crate) fn next_run(&self) -> Result<Option<NextRun>, i32> {
        let Some(settings) = self.settings() else {
            return Ok(None);
        };
        let mut config = settings
            .over(self.config.clone())
            .map_err(|_| libc::EINVAL)?;
        if config.sharing.namespace.is_none() {
            config.sharing.namespace = origin::user_namespace();
        }
        let is_new = config.summary != self.config.summary;
        let open = |target: &SummaryTarget| Parked::open(|| target.open());
        let summary = config.summary.as_ref().filter(|_| is_new).map(open);
        let summary = summary
            .transpose()
            .map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))?;
        Ok(Some(NextRun { config, summary }))
    }

    fn settings(&self) -> Option<Settings> {
        let asked = self.asked().0.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
