//! The manual page: one for all subcommands.

use clap::{Arg, Command};
use roff::{Inline, Roff, bold, italic, roman};

/// When the fixed parts of the page were last changed.
const DATE: &str = "2026-11-23";

/// What stands in front of the examples of a command.
const EXAMPLES: &str = "Examples:";

/// Longest line of text, with room for what escapes add.
const WIDTH: usize = 68;

pub(crate) fn page(command: &Command) -> String {
    let mut roff = Roff::new();
    let version = command.get_version().unwrap_or_default();
    let title = [
        "VMMLOAD",
        "1",
        DATE,
        &format!("vmmload {version}"),
        "User Commands",
    ];
    roff.control("TH", title);
    // Neither words broken at line ends nor blanks put between them: there are commands in the text.
    roff.control("nh", []);
    roff.control("ad", ["l"]);
    section(&mut roff, "NAME");
    let about = text_of(command.get_about());
    let about = about.trim_end_matches('.');
    filled(&mut roff, &format!("vmmload - {}", lower_first(about)));
    synopsis(&mut roff, command);
    section(&mut roff, "DESCRIPTION");
    paragraphs(&mut roff, include_str!("man/description.txt"));
    options(&mut roff, command);
    section(&mut roff, "ENVIRONMENT");
    environment(&mut roff, command);
    section(&mut roff, "EXIT STATUS");
    list(&mut roff, include_str!("man/status.txt"));
    section(&mut roff, "FILES");
    list(&mut roff, include_str!("man/files.txt"));
    section(&mut roff, "EXAMPLES");
    examples(&mut roff, command);
    section(&mut roff, "SEE ALSO");
    paragraphs(&mut roff, include_str!("man/see_also.txt"));
    roff.render()
}

fn section(roff: &mut Roff, name: &str) {
    roff.control("SH", [name]);
}

fn text_of(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

fn lower_first(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_lowercase() + rest
}

fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

fn synopsis(roff: &mut Roff, command: &Command) {
    section(roff, "SYNOPSIS");
    for (index, subcommand) in subcommands(command).enumerate() {
        if index > 0 {
            roff.control("br", []);
        }
        roff.text(usage(subcommand));
    }
}

/// The words of one subcommand, as its help has them.
fn usage(subcommand: &Command) -> Vec<Inline> {
    let mut words = vec![bold(format!("vmmload {}", subcommand.get_name()))];
    if subcommand
        .get_arguments()
        .any(|arg| arg.get_id() != "help" && !arg.is_positional())
    {
        words.extend([roman(" ["), italic("OPTIONS"), roman("]")]);
    }
    for arg in subcommand.get_positionals() {
        let (open, close) = if arg.is_required_set() {
            (" ", "")
        } else {
            (" [", "]")
        };
        words.extend([roman(open), italic(operand_name(arg)), roman(close)]);
    }
    if subcommand.has_subcommands() {
        words.extend([roman(" ["), italic("SUBCOMMAND"), roman("]")]);
    }
    words
}

fn operand_name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let range = arg.get_num_args().expect("the definition is built");
    let dots = if range.max_values() > 1 { "..." } else { "" };
    match names {
        // What belongs to a command may be left out.
        [command, rest] => format!("{command} [{rest}{dots}]"),
        _ => {
            names
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
                + dots
        }
    }
}

fn options(roff: &mut Roff, command: &Command) {
    section(roff, "OPTIONS");
    described(roff, command);
    for subcommand in subcommands(command) {
        roff.control(
            "SS",
            [format!("vmmload {}", subcommand.get_name()).as_str()],
        );
        let about = text_of(subcommand.get_long_about().or(subcommand.get_about()));
        filled(roff, &format!("{}.", about.trim_end_matches('.')));
        described(roff, subcommand);
        let notes = after_help(subcommand).map(|(notes, _)| notes);
        if let Some(notes) = notes.filter(|notes| !notes.trim().is_empty()) {
            roff.control("PP", []);
            paragraphs(roff, &notes);
        }
    }
}

/// Each argument with what it is for.
fn described(roff: &mut Roff, command: &Command) {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    for arg in shown {
        roff.control("TP", []);
        roff.text(heading(arg));
        let about = text_of(arg.get_help()) + &values(arg);
        filled(roff, about.split(" (see more").next().unwrap_or_default());
    }
}

/// The values that an argument can have, and has by default.
fn values(arg: &Arg) -> String {
    let mut text = String::new();
    let range = arg.get_num_args().expect("the definition is built");
    if !range.takes_values() {
        return text;
    }
    let names: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    if !names.is_empty() && !arg.is_hide_possible_values_set() {
        text += &format!(" [one of: {}]", names.join(", "));
    }
    if let [default] = arg.get_default_values() {
        text += &format!(" [default: {}]", default.display());
    }
    text
}

/// Text in lines of moderate length. What stands in backquotes is bold.
fn filled(roff: &mut Roff, text: &str) {
    let mut is_bold = false;
    for line in lines(text) {
        let mut inlines = Vec::new();
        for (index, part) in line.split('`').enumerate() {
            is_bold ^= index > 0;
            match is_bold {
                _ if part.is_empty() => {}
                true => inlines.push(bold(part)),
                false => inlines.push(roman(part)),
            }
        }
        roff.text(inlines);
    }
}

fn lines(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= WIDTH => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn heading(arg: &Arg) -> Vec<Inline> {
    if arg.is_positional() {
        return vec![italic(operand_name(arg))];
    }
    let mut words = Vec::new();
    words.extend(arg.get_short().map(|letter| bold(format!("-{letter}"))));
    if arg.get_short().is_some() && arg.get_long().is_some() {
        words.push(roman(", "));
    }
    words.extend(arg.get_long().map(|word| bold(format!("--{word}"))));
    let range = arg.get_num_args().expect("the definition is built");
    if !range.takes_values() {
        return words;
    }
    let name = operand_name(arg).trim_end_matches("...").to_owned();
    match range.min_values() {
        0 => words.extend([roman("[="), italic(name), roman("]")]),
        _ => words.extend([roman(" "), italic(name)]),
    }
    words
}

/// The variable of each option of `run`, and the others.
fn environment(roff: &mut Roff, command: &Command) {
    paragraphs(roff, include_str!("man/environment.txt"));
    let run = command.find_subcommand("run").expect("there is run");
    let is_setting =
        |arg: &&Arg| !arg.is_positional() && !arg.is_hide_set() && arg.get_id() != "help";
    for arg in run.get_arguments().filter(is_setting) {
        let option = arg.get_long().expect("every setting has a long name");
        let variable = option.to_uppercase().replace('-', "_");
        roff.control("TP", []);
        roff.text([bold(format!("VMMLOAD_{variable}"))]);
        let mut words = vec![roman("As "), bold(format!("--{option}"))];
        let rest = match option {
            "summary" => ": a file, or - for standard error.",
            _ => ".",
        };
        words.push(roman(rest));
        roff.text(words);
    }
    list(roff, include_str!("man/variables.txt"));
}

/// What stands behind the help of a command: its notes, and its examples.
fn after_help(command: &Command) -> Option<(String, String)> {
    let text = command.get_after_help()?.to_string();
    let (before, behind) = text.split_once(EXAMPLES)?;
    let lines: Vec<&str> = behind.trim_start_matches('\n').lines().collect();
    let end = lines.iter().position(|line| !line.starts_with(' '));
    let (examples, notes) = lines.split_at(end.unwrap_or(lines.len()));
    Some((
        format!("{before}\n{}", notes.join("\n")),
        examples.join("\n"),
    ))
}

fn examples(roff: &mut Roff, command: &Command) {
    let all = [command].into_iter().chain(subcommands(command));
    let examples: Vec<String> = all.filter_map(|c| Some(after_help(c)?.1)).collect();
    for (index, lines) in examples.iter().enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        roff.control("nf", []);
        lines.lines().for_each(|line| {
            roff.text([roman(line.trim_start())]);
        });
        roff.control("fi", []);
    }
}

/// Paragraphs with empty lines between them.
fn paragraphs(roff: &mut Roff, text: &str) {
    for (index, paragraph) in blocks(text).enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        filled(roff, paragraph);
    }
}

/// Paragraphs whose first line is what the others explain.
fn list(roff: &mut Roff, text: &str) {
    for item in blocks(text) {
        let (what, about) = item.split_once('\n').expect("an item has two lines");
        roff.control("TP", []);
        roff.text([bold(what)]);
        filled(roff, about);
    }
}

fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("\n\n").map(str::trim);
    blocks.filter(|block| !block.is_empty())
}
