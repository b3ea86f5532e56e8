//! zsh: one call of `_arguments` for each subcommand.

use crate::model::{Offer, Operand, Opt, Program, Subcommand};

pub(crate) fn script(program: &Program) -> String {
    let options: Vec<String> = program
        .options
        .iter()
        .map(|option| format!("        {} \\", specification(option)))
        .collect();
    let subcommands: Vec<String> = program
        .subcommands
        .iter()
        .map(|s| {
            let about = s.about.replace(':', "\\:");
            format!("                {}", quoted(&format!("{}:{about}", s.name)))
        })
        .collect();
    let arguments: Vec<String> = program.subcommands.iter().map(arguments).collect();
    include_str!("zsh.in")
        .replace("@OPTIONS@", &options.join("\n"))
        .replace("@SUBCOMMANDS@", &subcommands.join("\n"))
        .replace("@ARGUMENTS@", &arguments.join("\n"))
}

fn arguments(subcommand: &Subcommand) -> String {
    let options = subcommand.options.iter().map(specification);
    let operands = subcommand.operands.iter().flat_map(operand);
    let lines: String = options
        .chain(operands)
        .map(|line| format!(" \\\n                        {line}"))
        .collect();
    format!(
        "                {})\n                    _arguments -S -A '-*'{lines} && ret=0\n                    ;;",
        subcommand.name
    )
}

fn specification(option: &Opt) -> String {
    let about = escaped(&option.about);
    let is_last = option
        .names
        .iter()
        .any(|n| n == "--help" || n == "--version");
    let excluded = match is_last {
        true => "(- *)".to_owned(),
        false => format!("({})", option.names.join(" ")),
    };
    let value = option.value.as_ref().map(|value| {
        let colons = if value.optional { "::" } else { ":" };
        format!("{colons}{}:{}", value.name, action(&value.offer))
    });
    let names: Vec<String> = option
        .names
        .iter()
        .map(|name| match &option.value {
            None => name.clone(),
            Some(value) if value.optional => format!("{name}=-"),
            Some(_) if name.starts_with("--") => format!("{name}="),
            Some(_) => format!("{name}+"),
        })
        .collect();
    let names = match names.as_slice() {
        [only] => only.clone(),
        several => format!("'{{{}}}'", several.join(",")),
    };
    format!("'{excluded}{names}[{about}]{}'", value.unwrap_or_default())
}

fn operand(operand: &Operand) -> Vec<String> {
    let name = &operand.name;
    match (&operand.offer, operand.repeated) {
        // Whatever follows is for the command to complete.
        (Offer::CommandLine, _) => vec![
            format!("'(-)1:{name}:{}'", action(&operand.offer)),
            "'*::argument: _normal -p vmmload'".into(),
        ],
        (offer, true) => vec![format!("'*:{name}:{}'", action(offer))],
        (offer, false) => vec![format!("':{name}:{}'", action(offer))],
    }
}

fn action(offer: &Offer) -> String {
    match offer {
        Offer::Words(words) => format!("({})", words.join(" ")),
        Offer::Pids => "_vmmload_pids".into(),
        Offer::Groups => "_groups".into(),
        // A blank in front: called with just these words.
        Offer::Commands | Offer::CommandLine => " _command_names -e".into(),
        Offer::Files => "_files".into(),
        Offer::Directories => "_files -/".into(),
        Offer::Nothing => " ".into(),
    }
}

/// For the explanation in brackets.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('[', "\\[");
    text.replace(']', "\\]")
        .replace(':', "\\:")
        .replace('\'', "'\\''")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
