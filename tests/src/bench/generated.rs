//! Input that the benchmark makes for real programs: a shell script, a project in C for make, and a tree of files.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use vmmload_tests::scratch::Scratch;

/// A block of ten commands: six builtins, two subshells, two external programs.
const BLOCK: &str = "\
n=$((n + 1))
[ $n -gt 0 ]
case $n in *0) tens=$n ;; *) ones=$n ;; esac
: \"$n\"
set -- $n $n
printf '%s\\n' $n >/dev/null
word=$(echo $n)
(exit 0)
/bin/true $n
/bin/true $word
";
const COMMANDS_OF_BLOCK: u64 = 10;

/// A script that fails unless each of its commands did what it should.
pub(crate) fn script(scratch: &Scratch, commands: u64) -> PathBuf {
    let blocks = commands / COMMANDS_OF_BLOCK;
    let text = format!(
        "set -e\nn=0\n{}[ $word = {blocks} ]\n",
        BLOCK.repeat(blocks as usize)
    );
    scratch.file("script", text, 0o755)
}

/// A directory in which `make -B` compiles as many files and links them.
pub(crate) fn project(scratch: &Scratch, files: u64) -> PathBuf {
    let write = |name: &str, text: String| drop(scratch.file(name, text, 0o644));
    write("project.h", header(files));
    write("main.c", main_of(files));
    write("Makefile", makefile(files));
    for number in 0..files {
        write(&format!("part{number}.c"), part(number));
    }
    scratch.path().to_path_buf()
}

fn header(files: u64) -> String {
    let mut text = "struct entry { char name[24]; unsigned value; };\n".to_owned();
    for number in 0..files {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "unsigned part{number}(unsigned seed);");
    }
    text
}

/// Makes a directory of so many small files, a hundred in each directory below it. They are an hour old: git looks
/// into files that are as new as what it knows of them.
pub(crate) fn tree(root: &Path, files: u64) -> Result<(), String> {
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    for number in 0..files {
        let directory = root.join(format!("part{}", number / 100));
        let path = directory.join(format!("file{number}.txt"));
        let text = format!("This is line {number} of nothing.\n").repeat(1 + number as usize % 40);
        let made = fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&path, text))
            .and_then(|()| File::options().write(true).open(&path))
            .and_then(|file| file.set_modified(an_hour_ago));
        made.map_err(|e| format!("cannot make {}: {e}", path.display()))?;
    }
    Ok(())
}

/// What a small file of a program is like: headers of the C library, a table, and functions over it.
fn part(number: u64) -> String {
    format!(
        "#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include \"project.h\"

static struct entry table[64];

static int ascending(const void *left, const void *right)
{{
    return strcmp(((const struct entry *)left)->name, ((const struct entry *)right)->name);
}}

static void fill(unsigned seed)
{{
    for (unsigned i = 0; i < 64; i++) {{
        seed = seed * 1103515245u + 12345u + {number}u;
        snprintf(table[i].name, sizeof table[i].name, \"entry %u\", seed >> 8);
        table[i].value = seed;
    }}
}}

unsigned part{number}(unsigned seed)
{{
    unsigned sum = {number};
    fill(seed);
    qsort(table, 64, sizeof *table, ascending);
    for (unsigned i = 0; i < 64; i++)
        sum = sum * 31 + table[i].value + (unsigned)strlen(table[i].name);
    return sum;
}}
"
    )
}

fn main_of(files: u64) -> String {
    let mut text =
        "#include <stdio.h>\n#include \"project.h\"\n\nint main(void)\n{\n    unsigned sum = 0;\n"
            .to_owned();
    for number in 0..files {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    sum += part{number}(sum);");
    }
    text + "    printf(\"%u\\n\", sum);\n    return 0;\n}\n"
}

fn makefile(files: u64) -> String {
    let objects: String = (0..files)
        .map(|number| format!(" part{number}.o"))
        .collect();
    format!(
        "CC = gcc\nCFLAGS = -O2\nOBJECTS = main.o{objects}\n\n\
         program: $(OBJECTS)\n\t$(CC) -o $@ $(OBJECTS)\n\n$(OBJECTS): project.h\n"
    )
}
