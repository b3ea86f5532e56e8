//! What completions need to know of the command line.

use clap::{Arg, Command};

/// The program: what stands in front of subcommands, and each of them.
pub(crate) struct Program {
    pub(crate) options: Vec<Opt>,
    pub(crate) subcommands: Vec<Subcommand>,
}

/// One subcommand.
pub(crate) struct Subcommand {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) options: Vec<Opt>,
    pub(crate) operands: Vec<Operand>,
}

/// One option.
pub(crate) struct Opt {
    /// As they are typed: `-i`, then `--interval`.
    pub(crate) names: Vec<String>,
    pub(crate) about: String,
    /// `None`: it takes none.
    pub(crate) value: Option<Value>,
}

/// What follows an option.
pub(crate) struct Value {
    pub(crate) name: String,
    /// It may be left out, and stands behind `=` only.
    pub(crate) optional: bool,
    pub(crate) offer: Offer,
}

/// What is no option.
pub(crate) struct Operand {
    pub(crate) name: String,
    /// So may all that follow be.
    pub(crate) repeated: bool,
    pub(crate) offer: Offer,
}

/// What a shell can offer in some place.
pub(crate) enum Offer {
    Words(Vec<String>),
    Pids,
    Groups,
    /// Programs in PATH.
    Commands,
    /// A program in PATH, and whatever it takes itself.
    CommandLine,
    Files,
    Directories,
    Nothing,
}

impl Program {
    pub(crate) fn of(command: &Command) -> Self {
        Self {
            options: options(command),
            subcommands: command.get_subcommands().map(Subcommand::of).collect(),
        }
    }
}

impl Subcommand {
    fn of(command: &Command) -> Self {
        let topics: Vec<String> = command
            .get_subcommands()
            .map(|topic| topic.get_name().to_owned())
            .collect();
        let mut operands: Vec<Operand> = command.get_positionals().map(Operand::of).collect();
        // `help` has each of the others below itself.
        if !topics.is_empty() {
            operands = vec![Operand {
                name: "SUBCOMMAND".into(),
                repeated: false,
                offer: Offer::Words(topics),
            }];
        }
        Self {
            name: command.get_name().to_owned(),
            about: command
                .get_about()
                .map(ToString::to_string)
                .unwrap_or_default(),
            options: options(command),
            operands,
        }
    }
}

impl Operand {
    fn of(arg: &Arg) -> Self {
        let range = arg.get_num_args().expect("the definition is built");
        Self {
            name: value_name(arg),
            repeated: range.max_values() > 1 || matches!(arg.get_action(), clap::ArgAction::Append),
            offer: Offer::of(arg),
        }
    }
}

fn options(command: &Command) -> Vec<Opt> {
    let is_shown = |arg: &&Arg| !arg.is_positional() && !arg.is_hide_set();
    command
        .get_arguments()
        .filter(is_shown)
        .map(Opt::of)
        .collect()
}

impl Opt {
    fn of(arg: &Arg) -> Self {
        let short = arg.get_short().map(|letter| format!("-{letter}"));
        let long = arg.get_long().map(|word| format!("--{word}"));
        let range = arg.get_num_args().expect("the definition is built");
        let value = range.takes_values().then(|| Value {
            name: value_name(arg),
            optional: range.min_values() == 0,
            offer: Offer::of(arg),
        });
        Self {
            names: short.into_iter().chain(long).collect(),
            about: first_sentence(&arg.get_help().map(ToString::to_string).unwrap_or_default()),
            value,
        }
    }
}

impl Offer {
    /// By the name of the value, which says what it is, or the values that there are.
    fn of(arg: &Arg) -> Self {
        match value_name(arg).as_str() {
            "PID" => return Self::Pids,
            "GROUP" => return Self::Groups,
            "COMMAND" if arg.is_trailing_var_arg_set() => return Self::CommandLine,
            "COMMAND" => return Self::Commands,
            "FILE" => return Self::Files,
            "DIR" => return Self::Directories,
            _ => {}
        }
        let values = arg.get_possible_values();
        let words: Vec<String> = values.iter().map(|v| v.get_name().to_owned()).collect();
        match words.is_empty() {
            true => Self::Nothing,
            false => Self::Words(words),
        }
    }
}

/// The first one, if there are several.
fn value_name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map(ToString::to_string).unwrap_or_default()
}

/// What fits into one line of a list.
fn first_sentence(text: &str) -> String {
    let ends = [". ", "; ", " [", ": ", " (see more"];
    let is_closed = |end: &usize| {
        let count = |bracket: char| text[..*end].matches(bracket).count();
        count('(') == count(')')
    };
    let found = ends
        .iter()
        .filter_map(|end| text.find(end))
        .filter(is_closed);
    text[..found.min().unwrap_or(text.len())].to_owned()
}
