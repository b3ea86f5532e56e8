//! How a command is to be wrapped, as far as somebody has said so: in options, in environment variables, or by the
//! `vmmload run` around this one.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use vmmload_consumer::Track;

use super::{CallMode, Children, RunConfig, Settings, Sharing, SummaryTarget, values};

/// Per cent of the program's time that tracking may take.
const DEFAULT_OVERHEAD: u32 = 33;

/// What each variable's name begins with.
const PREFIX: &[u8] = b"VMMLOAD_";

/// Why settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The value of a variable.
    #[error("{name}={}: {reason}", value.display())]
    Value {
        /// Of the variable.
        name: String,
        /// What it is set to.
        value: OsString,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A variable that is none of ours, where only ours may be.
    #[error("{}: no setting of this vmmload. Use the same vmmload inside and outside", .0.display())]
    Unknown(OsString),
    /// The group cannot read.
    #[error(
        "a segment with --ring-mode {0:o} cannot be read by the group that --ring-group names; use 640 or 644, or \
         leave one of the two away"
    )]
    UnreadByGroup(u32),
}

/// Takes one variable's value.
type Take = fn(&mut Settings, &OsStr) -> Result<(), String>;

/// What each variable sets.
const VARIABLES: [(&str, Take); 12] = [
    ("INTERVAL", |s, v| put(&mut s.interval, values::interval, v)),
    ("TRACK", |s, v| put(&mut s.track, values::track, v)),
    ("BUFFER", |s, v| put(&mut s.buffer, values::buffer, v)),
    ("MAX_OVERHEAD", |s, v| {
        put(&mut s.max_overhead, values::overhead, v)
    }),
    ("RING_MODE", |s, v| {
        put(&mut s.ring_mode, values::ring_mode, v)
    }),
    ("RING_GROUP", |s, v| {
        put(&mut s.ring_group, values::ring_group, v)
    }),
    ("RING_SIZE", |s, v| {
        put(&mut s.ring_size, values::ring_size, v)
    }),
    ("HEAT_SIZE", |s, v| {
        put(&mut s.heat_size, values::heat_size, v)
    }),
    ("CHILDREN", |s, v| put(&mut s.children, values::children, v)),
    ("CALL_MODE", |s, v| {
        put(&mut s.call_mode, values::call_mode, v)
    }),
    ("SPIN_BUDGET", |s, v| {
        put(&mut s.spin_budget, values::spin_budget, v)
    }),
    ("SUMMARY", |s, v| {
        s.summary = Some(values::summary(v.to_owned()));
        Ok(())
    }),
];

fn put<T>(
    setting: &mut Option<T>,
    parse: fn(&str) -> Result<T, String>,
    value: &OsStr,
) -> Result<(), String> {
    let text = value
        .to_str()
        .ok_or("not text; see vmmload run --help for what it can be")?;
    *setting = Some(parse(text)?);
    Ok(())
}

impl Settings {
    /// What the environment's `VMMLOAD_*` variables say. An empty one says nothing; the first of several counts, as for
    /// getenv(3).
    ///
    /// # Errors
    /// A value that is not understood.
    pub(crate) fn from_environment(envp: &[CString]) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for (name, take) in VARIABLES {
            if let Some(value) = variable(envp, name) {
                settings.take(name, take, value)?;
            }
        }
        Ok(settings)
    }

    /// The reverse of [`Settings::to_text`].
    ///
    /// # Errors
    /// A setting or a value that is not understood.
    pub(crate) fn from_text(text: &[u8]) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for line in text.split(|&b| b == 0).filter(|line| !line.is_empty()) {
            let unknown = || SettingsError::Unknown(OsStr::from_bytes(line).into());
            let equals = line.iter().position(|&b| b == b'=').ok_or_else(unknown)?;
            let found = VARIABLES
                .iter()
                .find(|(name, _)| line[..equals].strip_prefix(PREFIX) == Some(name.as_bytes()));
            let (name, take) = found.ok_or_else(unknown)?;
            settings.take(name, *take, OsStr::from_bytes(&line[equals + 1..]))?;
        }
        Ok(settings)
    }

    /// The variables that would say the same, each with a NUL behind it.
    pub(crate) fn to_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut put = |name: &str, value: Option<OsString>| {
            if let Some(value) = value {
                text.extend([PREFIX, name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
            }
        };
        let number = |number: Option<u32>| number.map(|n| n.to_string().into());
        let interval = self.interval.map(|interval| match interval.as_nanos() {
            0 => "0".into(),
            nanoseconds => format!("{nanoseconds}ns").into(),
        });
        put("INTERVAL", interval);
        put("TRACK", self.track.map(|track| track.name().into()));
        put("BUFFER", number(self.buffer));
        put("MAX_OVERHEAD", number(self.max_overhead));
        put("RING_MODE", self.ring_mode.map(|m| format!("{m:o}").into()));
        put("RING_GROUP", number(self.ring_group));
        put("RING_SIZE", number(self.ring_size));
        put("HEAT_SIZE", number(self.heat_size));
        put("CHILDREN", self.children.map(|c| c.name().into()));
        put("CALL_MODE", self.call_mode.map(|mode| mode.name().into()));
        put("SPIN_BUDGET", number(self.spin_budget));
        let summary = self.summary.as_ref().map(|target| match target {
            SummaryTarget::Stderr => "-".into(),
            SummaryTarget::File(path) => path.into(),
        });
        put("SUMMARY", summary);
        text
    }

    fn take(&mut self, name: &str, take: Take, value: &OsStr) -> Result<(), SettingsError> {
        take(self, value).map_err(|reason| SettingsError::Value {
            name: format!("VMMLOAD_{name}"),
            value: value.to_owned(),
            reason,
        })
    }

    /// These settings, and `others` where these say nothing.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            interval: self.interval.or(others.interval),
            track: self.track.or(others.track),
            buffer: self.buffer.or(others.buffer),
            max_overhead: self.max_overhead.or(others.max_overhead),
            ring_mode: self.ring_mode.or(others.ring_mode),
            ring_group: self.ring_group.or(others.ring_group),
            ring_size: self.ring_size.or(others.ring_size),
            heat_size: self.heat_size.or(others.heat_size),
            children: self.children.or(others.children),
            call_mode: self.call_mode.or(others.call_mode),
            spin_budget: self.spin_budget.or(others.spin_budget),
            summary: self.summary.or(others.summary),
        }
    }

    /// With the defaults where nothing was said.
    ///
    /// # Errors
    /// Settings that contradict each other.
    pub(crate) fn config(self) -> Result<RunConfig, SettingsError> {
        let defaults = RunConfig {
            interval: Duration::from_millis(100),
            track: Track::Write,
            buffer: 65_536,
            max_overhead: DEFAULT_OVERHEAD,
            children: Children::Follow,
            sharing: Sharing::PRIVATE,
            ring_size: 65_536,
            heat_size: None,
            call_mode: CallMode::Auto,
            spin_budget: None,
            summary: None,
        };
        self.over(defaults)
    }

    /// `around`, as far as nothing else was said.
    ///
    /// # Errors
    /// Settings that contradict each other.
    pub(crate) fn over(self, around: RunConfig) -> Result<RunConfig, SettingsError> {
        Ok(RunConfig {
            sharing: self.sharing(around.sharing)?,
            interval: self.interval.unwrap_or(around.interval),
            track: self.track.unwrap_or(around.track),
            buffer: self.buffer.unwrap_or(around.buffer),
            max_overhead: self.max_overhead.unwrap_or(around.max_overhead),
            children: self.children.unwrap_or(around.children),
            ring_size: self.ring_size.unwrap_or(around.ring_size),
            heat_size: self.heat_size.or(around.heat_size),
            call_mode: self.call_mode.unwrap_or(around.call_mode),
            spin_budget: self.spin_budget.or(around.spin_budget),
            summary: self.summary.or(around.summary),
        })
    }

    /// Who may read: what a group is for if nothing else was said. A mode alone is for whom it lets read, so it may
    /// take a group's right away that was given further out.
    fn sharing(&self, around: Sharing) -> Result<Sharing, SettingsError> {
        let lets_group_read = |mode: u32| mode & 0o040 != 0;
        let (mode, group) = match (self.ring_mode, self.ring_group) {
            (None, None) => return Ok(around),
            (None, Some(_)) if lets_group_read(around.mode) => (around.mode, self.ring_group),
            (None, Some(_)) => (0o640, self.ring_group),
            (Some(mode), None) if lets_group_read(mode) => (mode, around.group),
            (Some(mode), None) => (mode, None),
            (Some(mode), Some(_)) if !lets_group_read(mode) => {
                return Err(SettingsError::UnreadByGroup(mode));
            }
            (Some(mode), Some(_)) => (mode, self.ring_group),
        };
        Ok(Sharing {
            mode,
            group,
            namespace: around.namespace.filter(|_| self.ring_group.is_none()),
        })
    }
}

/// The value of `VMMLOAD_name`, if it is set and not empty.
fn variable<'a>(envp: &'a [CString], name: &str) -> Option<&'a OsStr> {
    let value = |string: &'a CString| {
        let rest = string.as_bytes().strip_prefix(PREFIX)?;
        rest.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
    };
    let value = envp.iter().find_map(value)?;
    (!value.is_empty()).then(|| OsStr::from_bytes(value))
}

/// Whether a program that cannot be wrapped must not run: VMMLOAD_REQUIRE.
///
/// # Errors
/// A value that is neither 0 nor 1.
pub(crate) fn is_required(envp: &[CString]) -> Result<bool, SettingsError> {
    match variable(envp, "REQUIRE").map(OsStr::as_bytes) {
        None | Some(b"0") => Ok(false),
        Some(b"1") => Ok(true),
        Some(value) => Err(SettingsError::Value {
            name: "VMMLOAD_REQUIRE".into(),
            value: OsStr::from_bytes(value).into(),
            reason:
                "use 1 to have programs fail that cannot be wrapped, or 0 to have them run natively"
                    .into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(strings: &[&str]) -> Vec<CString> {
        strings.iter().map(|s| CString::new(*s).unwrap()).collect()
    }

    fn said(strings: &[&str]) -> Settings {
        Settings::from_environment(&environment(strings)).unwrap()
    }

    const ALL: [&str; 12] = [
        "VMMLOAD_INTERVAL=1s500ms",
        "VMMLOAD_TRACK=readwrite",
        "VMMLOAD_BUFFER=1024",
        "VMMLOAD_MAX_OVERHEAD=7",
        "VMMLOAD_RING_MODE=640",
        "VMMLOAD_RING_GROUP=0",
        "VMMLOAD_RING_SIZE=128K",
        "VMMLOAD_HEAT_SIZE=1K",
        "VMMLOAD_CHILDREN=native",
        "VMMLOAD_CALL_MODE=spin",
        "VMMLOAD_SPIN_BUDGET=250",
        "VMMLOAD_SUMMARY=/tmp/a b",
    ];

    #[test]
    fn each_variable_is_the_option_of_that_name() {
        let config = said(&ALL).config().unwrap();
        let expected = RunConfig {
            interval: Duration::from_millis(1500),
            track: Track::ReadWrite,
            buffer: 1024,
            max_overhead: 7,
            children: Children::Native,
            sharing: Sharing {
                mode: 0o640,
                group: Some(0),
                namespace: None,
            },
            ring_size: 131_072,
            heat_size: Some(1024),
            call_mode: CallMode::Spin,
            spin_budget: Some(250),
            summary: Some(SummaryTarget::File("/tmp/a b".into())),
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn what_is_written_down_is_read_as_the_same() {
        for settings in [
            Settings::default(),
            said(&ALL),
            said(&["VMMLOAD_INTERVAL=0", "VMMLOAD_SUMMARY=-"]),
        ] {
            assert_eq!(Settings::from_text(&settings.to_text()), Ok(settings));
        }
        assert!(Settings::from_text(b"VMMLOAD_FUTURE=1\0").is_err());
        assert!(Settings::from_text(b"VMMLOAD_TRACK").is_err());
        assert!(Settings::from_text(b"VMMLOAD_TRACK=all\0").is_err());
    }

    #[test]
    fn empty_variables_and_those_of_others_say_nothing() {
        let nothing = [
            "VMMLOAD_TRACK=",
            "VMMLOAD=x",
            "VMMLOAD_BIN=x",
            "TRACK=x",
            "VMMLOAD_TRACK",
        ];
        assert_eq!(said(&nothing), Settings::default());
        // As getenv(3) finds it.
        assert_eq!(
            said(&["VMMLOAD_BUFFER=512", "VMMLOAD_BUFFER=x"]).buffer,
            Some(512)
        );
    }

    #[test]
    fn values_that_are_not_understood_are_named() {
        for (variable, reason) in [
            ("VMMLOAD_INTERVAL=soon", "write it like 100ms"),
            ("VMMLOAD_TRACK=all", "use write, readwrite or none"),
            ("VMMLOAD_CHILDREN=no", "use follow or native"),
            ("VMMLOAD_CALL_MODE=fast", "use auto, exit or spin"),
            ("VMMLOAD_SPIN_BUDGET=all", "use a whole number"),
            ("VMMLOAD_RING_MODE=666", "others write"),
        ] {
            let error = Settings::from_environment(&environment(&[variable])).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with(&format!("{variable}: ")), "{message}");
            assert!(message.contains(reason), "{message}");
        }
        let yes = environment(&["VMMLOAD_REQUIRE=yes"]);
        let message = is_required(&yes).unwrap_err().to_string();
        assert!(
            message.starts_with("VMMLOAD_REQUIRE=yes: use 1"),
            "{message}"
        );
        let required = |value| is_required(&environment(&[value]));
        assert_eq!(required("VMMLOAD_REQUIRE=1"), Ok(true));
        assert_eq!(required("VMMLOAD_REQUIRE=0"), Ok(false));
        assert_eq!(required("VMMLOAD_REQUIRE="), Ok(false));
    }

    #[test]
    fn options_come_before_variables_and_those_before_what_is_around() {
        let option = said(&["VMMLOAD_BUFFER=512"]);
        let variable = said(&["VMMLOAD_BUFFER=1024", "VMMLOAD_MAX_OVERHEAD=5"]);
        let around = said(&["VMMLOAD_MAX_OVERHEAD=9", "VMMLOAD_INTERVAL=7ms"]);
        let around = around.config().unwrap();
        let config = option.or(variable).over(around).unwrap();
        assert_eq!((config.buffer, config.max_overhead), (512, 5));
        assert_eq!(config.interval, Duration::from_millis(7));
    }

    #[test]
    fn a_narrower_mode_takes_the_outer_groups_right_away() {
        let around = said(&["VMMLOAD_RING_GROUP=0"]).config().unwrap();
        let sharing = |strings: &[&str]| {
            let sharing = said(strings).over(around.clone()).unwrap().sharing;
            (sharing.mode, sharing.group)
        };
        assert_eq!(sharing(&[]), (0o640, Some(0)));
        assert_eq!(sharing(&["VMMLOAD_RING_MODE=600"]), (0o600, None));
        assert_eq!(sharing(&["VMMLOAD_RING_MODE=644"]), (0o644, Some(0)));
        assert_eq!(sharing(&["VMMLOAD_RING_GROUP=1"]), (0o640, Some(1)));
        let both = said(&["VMMLOAD_RING_MODE=600", "VMMLOAD_RING_GROUP=1"]);
        let error = both.config().unwrap_err();
        assert_eq!(error, SettingsError::UnreadByGroup(0o600));
    }
}
