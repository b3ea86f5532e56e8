//! What tells the series of one process from those of another.

use vmmload_consumer::Info;

/// Longest command in a label, characters. A file name may have 255 bytes, and a label is repeated in every series.
const LONGEST_COMMAND: usize = 32;

/// The labels that all series of a process have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Labels {
    number: u32,
    pid: String,
    command: String,
    session: String,
}

impl Labels {
    /// Of one process.
    pub(crate) fn of(info: &Info) -> Self {
        Self {
            number: info.pid,
            pid: info.pid.to_string(),
            command: short_command(&info.command),
            session: info.session.pid.to_string(),
        }
    }

    /// Of all processes without series of their own. No process has a pid like that.
    pub(crate) fn other() -> Self {
        Self {
            number: u32::MAX,
            pid: "other".into(),
            command: "other".into(),
            session: "other".into(),
        }
    }

    /// Names and values.
    pub(crate) fn pairs(&self) -> [(&str, &str); 3] {
        [
            ("pid", &self.pid),
            ("command", &self.command),
            ("session", &self.session),
        ]
    }
}

/// The last part of what a program was called as: never its other arguments, which may hold secrets and are different
/// each time.
fn short_command(command: &[u8]) -> String {
    let called = command.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = called.rsplit(|&byte| byte == b'/').next();
    let text = String::from_utf8_lossy(name.unwrap_or_default());
    let shown = |c: char| if c.is_control() { '?' } else { c };
    let name: String = text.chars().map(shown).take(LONGEST_COMMAND).collect();
    match name.is_empty() {
        true => "(none)".into(),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_short_name_of_its_program() {
        for (command, name) in [
            (&b"/usr/bin/python3\0-c\0secret"[..], "python3"),
            (b"perl", "perl"),
            (b"-bash\0", "-bash"),
            (b"dir/", "(none)"),
            (b"", "(none)"),
            (b"\0secret", "(none)"),
            (b"a\n\x1b[2Jb", "a??[2Jb"),
            (b"a\xffb", "a\u{fffd}b"),
        ] {
            assert_eq!(short_command(command), name);
        }
        let long = short_command("ä".repeat(100).as_bytes());
        assert_eq!(long, "ä".repeat(LONGEST_COMMAND));
    }
}
