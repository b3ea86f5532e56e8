//! fish: a line for each subcommand, option and operand, with the condition under which it is offered.

use crate::model::{Offer, Opt, Program, Subcommand};

pub(crate) fn script(program: &Program) -> String {
    let values: Vec<String> = program.subcommands.iter().filter_map(with_value).collect();
    let top = program.options.iter().map(|option| line("", option));
    let names = program.subcommands.iter().map(|subcommand| {
        let about = quoted(&subcommand.about);
        format!(
            "complete -c vmmload -n '__vmmload_options \"\"' -a {} -d {about}",
            subcommand.name
        )
    });
    let below = program.subcommands.iter().flat_map(lines);
    let completions: Vec<String> = names.chain(top).chain(below).collect();
    include_str!("fish.in")
        .replace("@VALUES@", &values.join("\n"))
        .replace("@COMPLETIONS@", &completions.join("\n"))
}

fn with_value(subcommand: &Subcommand) -> Option<String> {
    let takes_next = |option: &&Opt| option.value.as_ref().is_some_and(|value| !value.optional);
    let options = subcommand.options.iter().filter(takes_next);
    let names: Vec<&str> = options
        .flat_map(|option| option.names.iter().map(String::as_str))
        .collect();
    let names = names.join(" ");
    let name = &subcommand.name;
    (!names.is_empty())
        .then(|| format!("        case {name}\n            string split ' ' -- '{names}'"))
}

fn lines(subcommand: &Subcommand) -> Vec<String> {
    let name = &subcommand.name;
    let options = subcommand.options.iter().map(|option| line(name, option));
    let operands = subcommand
        .operands
        .iter()
        .enumerate()
        .map(|(index, operand)| {
            let more = if operand.repeated { " +" } else { "" };
            let condition = format!("__vmmload_operand {name} {}{more}", index + 1);
            format!(
                "complete -c vmmload -n '{condition}' {}",
                offer(&operand.offer)
            )
        });
    options.chain(operands).collect()
}

fn line(subcommand: &str, option: &Opt) -> String {
    let names: Vec<String> = option
        .names
        .iter()
        .map(|name| match name.strip_prefix("--") {
            Some(long) => format!("-l {long}"),
            None => format!("-s {}", &name[1..]),
        })
        .collect();
    let value = match &option.value {
        None => String::new(),
        Some(value) if value.optional => " -F".into(),
        Some(value) => format!(" {}", offer(&value.offer)),
    };
    let subcommand = if subcommand.is_empty() {
        "\"\""
    } else {
        subcommand
    };
    let about = quoted(&option.about);
    format!(
        "complete -c vmmload -n '__vmmload_options {subcommand}' {}{value} -d {about}",
        names.join(" ")
    )
}

fn offer(offer: &Offer) -> String {
    match offer {
        Offer::Words(words) => format!("-x -a '{}'", words.join(" ")),
        Offer::Pids => "-x -a '(__vmmload_pids)'".into(),
        Offer::Groups => "-x -a '(__fish_complete_groups)'".into(),
        Offer::Commands => "-x -a '(__vmmload_commands)'".into(),
        Offer::CommandLine => "-x -a '(__vmmload_command_line)'".into(),
        Offer::Files => "-r -F".into(),
        Offer::Directories => "-x -a '(__fish_complete_directories)'".into(),
        Offer::Nothing => "-x".into(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
