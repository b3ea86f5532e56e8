//! A live process with a segment, for the tests of the subcommands.

use std::process::{Child, Command};
use vmmload_consumer::{SegmentConfig, SegmentWriter};

/// A sleeping child and the segment that this test writes for it.
pub(super) struct Process {
    child: Child,
    pub(super) writer: SegmentWriter,
}

impl Process {
    pub(super) fn start(command: &[u8]) -> Self {
        Self::start_with(command, |_| {})
    }

    /// With a segment that `change` makes another than usual.
    pub(super) fn start_with(command: &[u8], change: impl FnOnce(&mut SegmentConfig)) -> Self {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut config = SegmentConfig {
            command: command.to_vec(),
            ..SegmentConfig::new(child.id())
        };
        change(&mut config);
        let writer = SegmentWriter::create(&config).unwrap();
        Self { child, writer }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
