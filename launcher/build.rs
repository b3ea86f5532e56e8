//! Makes the completions and the manual page of the definition of the command line, so that they say what it says. The
//! program has them within itself: `vmmload completions` and `vmmload man` print them wherever it was installed from.
//!
//! The generators that are made for clap complete what follows an option, but not another command behind it, and take
//! what follows `--summary`, whose value stands behind `=` only, for its value. Hence those here.

#[path = "build/bash.rs"]
mod bash;
#[path = "build/fish.rs"]
mod fish;
#[path = "src/cli/kinds.rs"]
#[expect(
    dead_code,
    reason = "the build looks at the definition, and parses nothing"
)]
mod kinds;
#[path = "build/man.rs"]
mod man;
#[path = "build/model.rs"]
mod model;
#[path = "../consumer-sdk/observe/src/typed.rs"]
mod observed;
#[path = "src/cli/typed.rs"]
mod typed;
#[path = "src/cli/values.rs"]
mod values;
#[path = "build/zsh.rs"]
mod zsh;

use clap::CommandFactory;
use kinds::{CallMode, Children, Format, Shell, SummaryTarget};
use std::path::Path;

/// What values are checked against, which nobody gives to the build.
mod host {
    pub(crate) mod credentials {
        pub(crate) fn group_number(_name: &str) -> Option<u32> {
            None
        }
    }
}

// Of the SDK, the definition needs one type; all of it would take longer to build for this than everything else.
extern crate self as vmmload_consumer;

/// Which accesses to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Track {
    Write,
    ReadWrite,
    None,
}

fn main() {
    for input in [
        "build.rs",
        "build",
        "src/cli/kinds.rs",
        "src/cli/typed.rs",
        "src/cli/values.rs",
        "../consumer-sdk/observe/src/typed.rs",
    ] {
        println!("cargo::rerun-if-changed={input}");
    }
    let mut command = typed::Cli::command();
    // What is passed on to another program is defined there.
    for subcommand in observed::Cli::command().get_subcommands() {
        let name = subcommand.get_name().to_owned();
        command = command.mut_subcommand(name, |_| subcommand.clone());
    }
    command.build();
    let model = model::Program::of(&command);
    write("vmmload.bash", &bash::script(&model));
    write("_vmmload", &zsh::script(&model));
    write("vmmload.fish", &fish::script(&model));
    write("vmmload.1", &man::page(&command));
}

fn write(name: &str, text: &str) {
    let directory = std::env::var_os("OUT_DIR").expect("cargo names a directory for what is made");
    let path = Path::new(&directory).join(name);
    std::fs::write(&path, text)
        .unwrap_or_else(|cause| panic!("cannot write {}: {cause}", path.display()));
}
