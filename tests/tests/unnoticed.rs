//! A day's work on the command line: by aliases, by links and by the preload library it is what it is without.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use vmmload_tests::packages::{bash, c_compiler, program, python};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Outcome, Program, machine, preload_library, vmmload};

/// What is typed in it, and what a link or an alias stands for.
const COMMANDS: &[&str] = &[
    "git",
    "make",
    "gcc",
    "python3",
    "perl",
    "sqlite3",
    "7z",
    "tar",
    "gzip",
    "xz",
    "sort",
    "find",
    "xargs",
    "sed",
    "awk",
    "bc",
    "timeout",
    "sh",
    "sha256sum",
    "grep",
    "sleep",
    "cat",
    "tr",
    "wc",
];

/// The day. It says the same wherever and whenever it runs.
const DAY: &str = r#"
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git config --global user.name Somebody; git config --global user.email somebody@example.com
git config --global init.defaultBranch main

echo "== a project"
git init -q project && cd project
mkdir src && for n in 1 2 3; do
    printf '#include "all.h"\nint part_%d(int x) { return x * %d; }\n' $n $n > src/part_$n.c
done
printf 'int part_1(int); int part_2(int); int part_3(int);\n' > src/all.h
cat > src/main.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include "all.h"
int main(int argc, char **argv)
{
    if (argc < 2)
        return fprintf(stderr, "usage: sum N\n"), 2;
    int n = atoi(argv[1]);
    return printf("%d\n", part_1(n) + part_2(n) + part_3(n)) < 0;
}
C
cat > Makefile <<'M'
objects := $(patsubst %.c,%.o,$(wildcard src/*.c))
sum: $(objects)
	gcc -o $@ $^
%.o: %.c src/all.h
	gcc -O1 -c -o $@ $<
check: sum
	test "$$(./sum 7)" = 42 && echo passed
	$(MAKE) --no-print-directory deeper
deeper: ; @echo level $(MAKELEVEL)
broken: ; gcc -c nothing.c
clean: ; rm -f sum src/*.o
.PHONY: check deeper broken clean
M
make -s -j2 && make check && sha256sum sum src/*.o
make broken; echo "make says $?"
./sum; echo "sum says $?"
printf 'sum\n*.o\n' > .gitignore
git add . && git commit -qm 'Sums' && git log --format='%H %s' && git status --short
git checkout -qb faster && sed -i 's/-O1/-O2/' Makefile && git commit -qam 'Faster'
git checkout -q main && git merge -q --no-edit faster && git log --oneline --stat | cat
git clone -q . ../copy && git -C ../copy fsck 2>&1
make -s clean; ls; cd ..

echo "== files"
mkdir tree && for n in $(seq 1 20); do echo "line $n" > "tree/file $n"; done
find tree -type f -print0 | sort -z | xargs -0 -n 4 cat | awk '{ s += $2 } END { print s }'
tar --sort=name --mtime=@0 --owner=0 --group=0 -cf tree.tar tree && sha256sum tree.tar
gzip -kn tree.tar && xz -k tree.tar && 7z a -bso0 -bsp0 tree.7z tree > 7z.log
mkdir from_gz from_xz && tar -C from_gz -xzf tree.tar.gz && tar -C from_xz -xJf tree.tar.xz && 7z x -bso0 -bsp0 -ofrom_7z tree.7z
for from in gz xz 7z; do diff -r tree from_$from/tree && echo "$from is whole"; done
find tree -name 'file 1*' -exec grep -c line {} + | sort | sed 's/^/found /'
find tree -name '*5' -delete; find tree | wc -l

echo "== interpreters"
python3 -c '
import hashlib, json, os, sqlite3, subprocess, sys, threading
data = sqlite3.connect("day.db")
data.execute("create table n(x)"); data.executemany("insert into n values (?)", [(i,) for i in range(1000)]); data.commit()
print(subprocess.run([sys.executable, "-c", "import sys; print(sys.argv)", "a b"], capture_output=True, text=True).stdout, end="")
done = []
threads = [threading.Thread(target=lambda i=i: done.append(hashlib.sha256(b"%d" % i).hexdigest()[:4])) for i in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sorted(done), json.dumps({"cwd": os.path.basename(os.getcwd())}))'
sqlite3 day.db 'select count(*), sum(x), avg(x) from n; pragma integrity_check'
python3 -m venv --without-pip env && env/bin/python3 -c 'import sys; print(sys.prefix != sys.base_prefix)'
perl -ne 'print if /7$/' tree/* | sort | tr a-z A-Z
perl -e 'my $p = fork; exit 3 unless $p; waitpid $p, 0; print "child ", $? >> 8, "\n"; exec "sh", "-c", "echo exec \$0"'
echo '2^100; scale=10; 1/3' | bc
awk 'BEGIN { while (("echo piped" | getline x) > 0) print x; print ENVIRON["HOME"] != "" }'

echo "== the shell"
trap 'echo trapped' USR1
sh -c "kill -USR1 $$"
sleep 60 & kill -TERM %1; wait %1; echo "sleep $?"
timeout 0.2 sleep 60; echo "timeout $?"
{ timeout -s KILL 0.2 sh -c 'trap "" TERM; sleep 60'; } 2> killed; echo "timeout $?"
set -o pipefail; sh -c 'exit 5' | cat; echo "pipe $?"
yes | head -2; echo "yes ${PIPESTATUS[0]}"
cat <(echo substituted) <<< here
diff <(seq 5 | sort -r) <(seq 5 | tac) && echo equal
(cd /; umask 077; ulimit -n 100; sh -c 'umask; ulimit -n; pwd')
exec 7<> seven; sh -c 'echo seven >&7'; cat seven; exec 7>&-
sh -c 'echo $((6 * 7)); echo err >&2; exit 9'; echo "status $?"
cat /no/such/file; grep -q x /no/such/file; echo "grep $?"
"#;

/// The day in one of the ways to wrap, compared with the native one. A summary shows that something was wrapped.
#[track_caller]
fn compare(way: &str, first: &str, path: &str, variables: &[(&str, &Path)]) {
    let native = native_day();
    let scratch = Scratch::new();
    let summary = scratch.path().join("summary");
    let variables = [variables, &[("VMMLOAD_SUMMARY", &summary)]].concat();
    let wrapped = day(first, path, &variables);
    assert_unnoticed(way, &wrapped, native);
    let summary = std::fs::read_to_string(summary).expect("a summary");
    assert!(
        summary.starts_with("vmmload: summary of process"),
        "{way}: {summary}"
    );
}

/// The day, begun by `first`, in a directory of its own, with `path` and these variables.
fn day(first: &str, path: &str, variables: &[(&str, &Path)]) -> Outcome {
    let scratch = Scratch::new();
    let home = scratch.path().join("home");
    std::fs::create_dir(&home).expect("a directory");
    let _ = scratch.file("day", DAY, 0o644);
    let shell =
        Program::new("/usr/bin/env").args(["-i", &format!("PATH={path}"), "LC_ALL=C", "TERM=dumb"]);
    let variables = variables.iter().map(|(name, value)| {
        let mut variable = std::ffi::OsString::from(*name);
        variable.push("=");
        variable.push(value);
        variable
    });
    let start = format!("{first}\n. ../day");
    shell
        .args(variables)
        .args([bash(), "-c", &start])
        .directory(home)
        .limit(Duration::from_secs(300))
        .native()
}

const PATH: &str = "/usr/bin:/bin";

fn packages() {
    let _ = (c_compiler(), python());
    for (path, package) in [
        ("/usr/bin/git", "git"),
        ("/usr/bin/make", "make"),
        ("/usr/bin/perl", "perl"),
        ("/usr/bin/sqlite3", "sqlite3"),
        ("/usr/bin/7z", "p7zip-full"),
        ("/usr/bin/xz", "xz-utils"),
        ("/usr/bin/bc", "bc"),
        ("/usr/bin/awk", "mawk"),
    ] {
        let _ = program(path, package);
    }
}

#[track_caller]
fn assert_unnoticed(way: &str, wrapped: &Outcome, native: &Outcome) {
    for (what, wrapped, native) in [
        ("output", wrapped.text(), native.text()),
        ("messages", wrapped.messages(), native.messages()),
    ] {
        for (line, (wrapped, native)) in wrapped.lines().zip(native.lines()).enumerate() {
            assert_eq!(wrapped, native, "{way}: line {} of the {what}", line + 1);
        }
        assert_eq!(wrapped, native, "{way}: {what}");
    }
    assert_eq!(wrapped.status, native.status, "{way}");
}

/// The day as it is without vmmload, which must itself be a good one.
fn native_day() -> &'static Outcome {
    static NATIVE: OnceLock<Outcome> = OnceLock::new();
    NATIVE.get_or_init(live_natively)
}

fn live_natively() -> Outcome {
    packages();
    let native = day("", PATH, &[]);
    let text = native.text();
    for line in [
        "passed",
        "level 1",
        "make says 2",
        "gz is whole",
        "7z is whole",
        "timeout 124",
        "pipe 5",
        "trapped",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "no line {line:?}:\n{text}\n{}",
            native.messages()
        );
    }
    native
}

#[test]
fn aliases_survive_a_day() {
    let _ = native_day();
    if !machine::can_run_inside() {
        return;
    }
    let first = format!(
        "shopt -s expand_aliases; eval \"$(\"$V\" alias --shell bash {})\"",
        COMMANDS.join(" ")
    );
    compare("aliases", &first, PATH, &[("V", vmmload())]);
}

#[test]
fn links_survive_a_day() {
    let _ = native_day();
    if !machine::can_run_inside() {
        return;
    }
    let links = Scratch::new();
    let path = format!("{}:{PATH}", links.path().display());
    let link = Program::new(vmmload())
        .arg("link")
        .arg(links.path())
        .args(COMMANDS.iter().copied());
    let linked = link.env("PATH", &path).native();
    linked.assert_success("vmmload link");
    assert_eq!(linked.messages(), "");
    compare("links", "", &path, &[]);
}

#[test]
fn the_preload_library_survives_a_day() {
    let _ = native_day();
    if !machine::can_run_inside() {
        return;
    }
    let variables = [
        ("LD_PRELOAD", preload_library()),
        ("VMMLOAD_LAUNCHER", vmmload()),
    ];
    compare("preload library", "", PATH, &variables);
}
