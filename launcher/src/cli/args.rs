//! What was typed: clap's view of the arguments, turned into the configurations.

use super::link::LinkAction;
use super::typed::{
    AliasArgs, Cli, CompletionsArgs, DoctorArgs, DumpArgs, LinkArgs, LsArgs, RunArgs, Typed,
};
use super::{
    AliasConfig, Command, DoctorConfig, DumpConfig, EXIT_FAILURE, LinkConfig, LsConfig, RunRequest,
};
use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::io::{self, Write};

/// See [`super::parse`].
pub(super) fn parse(args: &[OsString]) -> Result<Command, clap::Error> {
    Ok(match Cli::try_parse_from(args)?.command {
        Typed::Run(typed) => Command::Run(typed.try_into()?),
        Typed::Link(LinkArgs {
            list,
            remove,
            directory,
            commands,
        }) => Command::Link(LinkConfig {
            action: match (list, remove) {
                (true, _) => LinkAction::List,
                (_, true) => LinkAction::Remove,
                _ => LinkAction::Create,
            },
            directory,
            names: commands,
        }),
        Typed::Doctor(DoctorArgs { format }) => Command::Doctor(DoctorConfig { format }),
        Typed::Alias(AliasArgs { shell, commands }) => {
            Command::Alias(AliasConfig { shell, commands })
        }
        Typed::Completions(CompletionsArgs { shell }) => Command::Completions(shell),
        Typed::Man => Command::Man,
        Typed::Top(_) | Typed::Record(_) | Typed::Report(_) | Typed::Diff(_) | Typed::Export(_) => {
            unreachable!("what another program understands was passed on to it")
        }
        Typed::Ls(LsArgs {
            all,
            tree,
            prune,
            format,
        }) => Command::Ls(LsConfig {
            all,
            tree,
            prune,
            format,
        }),
        Typed::Dump(DumpArgs {
            pid,
            follow,
            regions,
            format,
        }) => Command::Dump(DumpConfig {
            pid,
            follow,
            regions,
            format,
        }),
    })
}

impl TryFrom<RunArgs> for RunRequest {
    type Error = clap::Error;

    fn try_from(typed: RunArgs) -> Result<Self, clap::Error> {
        let RunArgs {
            settings,
            hold,
            command,
        } = typed;
        // Options that contradict each other do so whatever else is said.
        let contradiction =
            |error| clap::Error::raw(ErrorKind::ArgumentConflict, format!("{error}\n"));
        let checked = settings.clone().config().map_err(contradiction);
        checked.map(|_| Self {
            settings,
            hold,
            command,
        })
    }
}

/// Prints what clap has to say, and returns the status to exit with.
pub(super) fn show(error: &clap::Error) -> i32 {
    // There is nobody to tell when printing fails.
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = write!(io::stdout(), "{error}");
            0
        }
        _ => {
            let _ = write!(io::stderr(), "{}", complaint(error));
            EXIT_FAILURE
        }
    }
}

/// A usage error in our own form: `vmmload: ` in front, what to do at the end.
fn complaint(error: &clap::Error) -> String {
    let text = error.to_string();
    match text.strip_prefix("error: ") {
        Some(message) => format!("vmmload: {message}"),
        // No subcommand at all: clap answers with the help.
        None => format!("vmmload: no subcommand given; choose one of these:\n\n{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CallMode, Children, RunConfig, Sharing, SummaryTarget};
    use super::*;
    use std::os::unix::ffi::OsStringExt;
    use std::time::Duration;
    use vmmload_consumer::Track;

    fn parse_words(words: &[&str]) -> Result<Command, clap::Error> {
        let args: Vec<OsString> = words.iter().map(OsString::from).collect();
        parse(&args)
    }

    fn request(words: &[&str]) -> RunRequest {
        let words: Vec<&str> = ["vmmload", "run"].iter().chain(words).copied().collect();
        match parse_words(&words).unwrap() {
            Command::Run(request) => request,
            other => panic!("{other:?}"),
        }
    }

    fn run(words: &[&str]) -> RunConfig {
        request(words).settings.config().unwrap()
    }

    fn command(words: &[&str]) -> Vec<OsString> {
        request(words).command
    }

    fn refusal(words: &[&str]) -> String {
        let words: Vec<&str> = ["vmmload"].iter().chain(words).copied().collect();
        complaint(&parse_words(&words).unwrap_err())
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_as_documented() {
        let expected = RunConfig {
            interval: Duration::from_millis(100),
            track: Track::Write,
            buffer: 65_536,
            max_overhead: 33,
            children: Children::Follow,
            sharing: Sharing::PRIVATE,
            ring_size: 65_536,
            heat_size: None,
            call_mode: CallMode::Auto,
            spin_budget: None,
            summary: None,
        };
        assert_eq!(run(&["true"]), expected);
    }

    #[test]
    fn everything_from_the_command_on_is_verbatim() {
        let words = [
            "ls",
            "-l",
            "--",
            "--help",
            "-i",
            "5s",
            "--summary",
            "-",
            "",
            "--",
            "x",
        ];
        assert_eq!(command(&words), words);
        assert_eq!(command(&["--", "-odd", "--", "--x"]), ["-odd", "--", "--x"]);
        assert_eq!(
            run(&["-i", "1s", "ls", "-i", "2s"]).interval,
            Duration::from_secs(1)
        );
        assert_eq!(command(&["-", "-i"]), ["-", "-i"]);
        assert_eq!(command(&["ls", "--version"]), ["ls", "--version"]);
        assert_eq!(command(&["help", "-h"]), ["help", "-h"]);
    }

    #[test]
    fn bytes_that_are_not_utf8_survive() {
        let odd = OsString::from_vec(vec![b'-', 0xff, b'=', 0xfe]);
        let args = ["vmmload".into(), "run".into(), "cat".into(), odd.clone()];
        let Command::Run(request) = parse(&args).unwrap() else {
            panic!()
        };
        assert_eq!(request.command[1], odd);
        let file = OsString::from_vec(b"--summary=a\xff".to_vec());
        let args = ["vmmload".into(), "run".into(), file, "cat".into()];
        let Command::Run(request) = parse(&args).unwrap() else {
            panic!()
        };
        let config = request.settings.config().unwrap();
        let expected = OsString::from_vec(b"a\xff".to_vec());
        assert_eq!(config.summary, Some(SummaryTarget::File(expected.into())));
    }

    #[test]
    fn the_summary_takes_a_file_only_with_an_equals_sign() {
        let words = ["--summary", "ls"];
        assert_eq!(run(&words).summary, Some(SummaryTarget::Stderr));
        assert_eq!(command(&words), ["ls"]);
        let config = run(&["--summary=f", "ls"]);
        assert_eq!(config.summary, Some(SummaryTarget::File("f".into())));
    }

    #[test]
    fn a_group_is_given_so_that_it_can_read() {
        let sharing = |words: &[&str]| {
            let sharing = run(words).sharing;
            (sharing.mode, sharing.group)
        };
        assert_eq!(sharing(&["ls"]), (0o600, None));
        assert_eq!(sharing(&["--ring-mode", "0644", "ls"]), (0o644, None));
        assert_eq!(sharing(&["--ring-group", "root", "ls"]), (0o640, Some(0)));
        let both = ["--ring-group=4711", "--ring-mode=644", "ls"];
        assert_eq!(sharing(&both), (0o644, Some(4711)));
    }

    #[test]
    fn an_interval_of_zero_is_understood_in_every_spelling() {
        for zero in ["0", "0s", "0ms"] {
            assert_eq!(run(&["-i", zero, "ls"]).interval, Duration::ZERO);
        }
        let config = run(&["--interval=0", "--max-overhead=100", "ls"]);
        assert_eq!(
            (config.interval, config.max_overhead),
            (Duration::ZERO, 100)
        );
    }

    #[test]
    fn refusals_say_what_to_do() {
        for (words, hint) in [
            (
                &["run", "--track", "reads", "ls"][..],
                "use write, readwrite or none",
            ),
            (&["run", "--max-overhead", "0", "ls"], "from 1 to 100"),
            (&["run", "--max-overhead", "101", "ls"], "from 1 to 100"),
            (&["run", "--max-overhead", "5%", "ls"], "from 1 to 100"),
            (&["run", "--interval", "5", "ls"], "write it like 100ms"),
            (&["run", "--buffer", "256", "ls"], "use a power of two"),
            (&["run", "--buffer", "1000", "ls"], "use a power of two"),
            (&["run", "--buffer", "131072", "ls"], "use a power of two"),
            (&["run", "--ring-mode", "660", "ls"], "use 600"),
            (
                &["run", "--ring-mode=600", "--ring-group=0", "ls"],
                "use 640",
            ),
            (&["run", "--ring-group", "no-such", "ls"], "no such group"),
            (&["run", "--ring-size", "1000", "ls"], "from 1024"),
            (&["run", "--heat-size", "8", "ls"], "16 to 65536"),
            (&["ls", "--prune", "--all"], "--help"),
            (&["run", "--unknown", "ls"], "--help"),
            (&["run"], "--help"),
            (&["link"], "--help"),
            (&["link", "d"], "--help"),
            (&["link", "--list", "d", "ls"], "--help"),
            (&["dump", "abc"], "--help"),
            (&["dump", "--regions", "--follow"], "--help"),
            (&[], "Usage"),
        ] {
            let message = refusal(words);
            assert!(message.starts_with("vmmload: "), "{message}");
            assert!(message.contains(hint), "{words:?}: {message}");
        }
    }

    #[test]
    fn usage_errors_exit_125_and_help_exits_0() {
        let status = |words: &[&str]| show(&parse_words(words).unwrap_err());
        assert_eq!(status(&["vmmload", "nonsense"]), 125);
        assert_eq!(status(&["vmmload", "run", "--help"]), 0);
        assert_eq!(status(&["vmmload", "--version"]), 0);
    }
}
