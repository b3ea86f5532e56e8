//! bash: tables of words, read by functions that are the same for every program.

use crate::model::{Offer, Opt, Program, Subcommand};

pub(crate) fn script(program: &Program) -> String {
    let names = program.subcommands.iter().map(|s| s.name.as_str());
    let words = names.chain(option_names(&program.options));
    let top = case("''", &words.collect::<Vec<_>>().join(" "));
    let words = program.subcommands.iter().map(|subcommand| {
        let words: Vec<&str> = option_names(&subcommand.options).collect();
        case(&subcommand.name, &words.join(" "))
    });
    let words: Vec<String> = [top].into_iter().chain(words).collect();
    let values: Vec<String> = program.subcommands.iter().flat_map(values).collect();
    let operands: Vec<String> = program.subcommands.iter().flat_map(operands).collect();
    include_str!("bash.in")
        .replace("@WORDS@", &words.join("\n"))
        .replace("@VALUES@", &values.join("\n"))
        .replace("@OPERANDS@", &operands.join("\n"))
}

fn option_names(options: &[Opt]) -> impl Iterator<Item = &str> {
    options
        .iter()
        .flat_map(|option| option.names.iter().map(String::as_str))
}

fn case(pattern: &str, reply: &str) -> String {
    format!("        {pattern}) REPLY='{reply}' ;;")
}

fn values(subcommand: &Subcommand) -> Vec<String> {
    let line = |option: &Opt| {
        let value = option.value.as_ref()?;
        let patterns: Vec<String> = option
            .names
            .iter()
            .map(|name| format!("'{} {name}'", subcommand.name))
            .collect();
        let behind_equals_only = if value.optional { "=" } else { "" };
        let reply = format!("{behind_equals_only}{}", offer(&value.offer));
        Some(case(&patterns.join(" | "), &reply))
    };
    subcommand.options.iter().filter_map(line).collect()
}

fn operands(subcommand: &Subcommand) -> Vec<String> {
    let line = |(index, operand): (usize, &crate::model::Operand)| {
        let place = match operand.repeated {
            true => "*".to_owned(),
            false => (index + 1).to_string(),
        };
        case(
            &format!("'{} '{place}", subcommand.name),
            &offer(&operand.offer),
        )
    };
    subcommand.operands.iter().enumerate().map(line).collect()
}

fn offer(offer: &Offer) -> String {
    match offer {
        Offer::Words(words) => format!("words {}", words.join(" ")),
        Offer::Pids => "pids".into(),
        Offer::Groups => "groups".into(),
        Offer::Commands => "commands".into(),
        Offer::CommandLine => "commandline".into(),
        Offer::Files => "files".into(),
        Offer::Directories => "directories".into(),
        Offer::Nothing => "nothing".into(),
    }
}
