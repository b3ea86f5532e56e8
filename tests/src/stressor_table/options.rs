//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Runs each stressor of stress-ng for a second, natively and inside vmmload, and says which pass.
///
/// Everything takes about a quarter of an hour. stress-ng is installed where it is missing. As root, the
/// stressors run without the rights to stop the machine, to set its clock, to load modules and to use ports.
/// The exit status is 0 if at least 95 in 100 of those that pass natively pass inside. The binary under
/// test is $VMMLOAD_BIN, else the workspace's own release build.
#[derive(Debug, Parser)]
#[command(name = "stressors")]
pub(crate) struct Options {
    /// Only these stressors: names separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Writes the table as one JSON object.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the table as Markdown.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Seconds after which a run is ended and has failed.
    #[arg(long, value_name = "SECONDS", default_value_t = 40)]
    pub(crate) limit: u64,
    /// Stressors that run at the same time.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) jobs: usize,
    /// Attempts inside that a stressor has; the table says which needed more than one.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) attempts: u32,
}

impl Options {
    /// The stressors to run, of all that there are.
    ///
    /// # Errors
    /// When `--only` names one that there is not.
    pub(crate) fn select(&self, mut all: Vec<String>) -> Result<Vec<String>, String> {
        all.sort();
        if self.only.is_empty() {
            return Ok(all);
        }
        if let Some(unknown) = self.only.iter().find(|name| !all.contains(name)) {
            return Err(format!(
                "this stress-ng has no stressor {unknown}; `stress-ng --stressors` lists them"
            ));
        }
        all.retain(|name| self.only.contains(name));
        Ok(all)
    }
}
