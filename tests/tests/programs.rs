//! Real programs do the same inside as natively: output, messages, status and files.

use std::path::PathBuf;
use std::time::Duration;

use vmmload_tests::packages::{busybox, program, python};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Program, data};

/// Programs that work for seconds natively may take a while where every page is first touched inside.
const LONG: Duration = Duration::from_secs(180);

#[test]
fn busybox_applets_do_the_same() {
    let text = data::text_file(1);
    let text = text.to_str().expect("the cache path is text");
    let applets: &[&[&str]] = &[
        &["true"],
        &["false"],
        &["echo", "hello", "world"],
        &["ls", "-la", "/usr/bin/"],
        &["sha256sum", text],
        &["md5sum", text],
        &["wc", text],
        &["sort", "-r", text],
        &[
            "awk",
            "{ n += $1; m[$2]++ } END { print n, NR, length(m) }",
            text,
        ],
        &["sed", "-n", "s/quick/slow/p", text],
        &["grep", "-c", "fox no 7", text],
        &["cut", "-c", "1-5", text],
        &["od", "-c", "-N", "1000", text],
        &["gzip", "-c", text],
        &["bzip2", "-c", text],
        &["cat", "/nonexistent"],
        &["find", "/etc/apt", "-name", "*.list"],
        &["expr", "6", "*", "7"],
        &["uname", "-a"],
        &["id"],
        &["nosuchapplet"],
    ];
    for applet in applets {
        Program::new(busybox())
            .args(applet.iter().copied())
            .compare();
    }
}

#[test]
fn coreutils_do_the_same() {
    let text = data::text_file(1);
    let text = text.to_str().expect("the cache path is text");
    let commands: &[&[&str]] = &[
        &["ls", "-l", "/usr/sbin", "/usr/lib"],
        &["ls", "/nonexistent"],
        &["cat", text, "/nonexistent"],
        &["sha512sum", text],
        &["b2sum", text],
        &["sort", "-k2", text],
        &["uniq", "-c", text],
        &["tac", text],
        &["shuf", "-n", "10", "--random-source", text, text],
        &["head", "-n", "20", text],
        &["tail", "-n", "20", text],
        &["cut", "-d", " ", "-f", "3", text],
        &["base64", text],
        &["cksum", text],
        &["seq", "1", "3", "100000"],
        &["factor", "18446744073709551557", "600851475143"],
        &["numfmt", "--to=iec", "123456789"],
        &["date", "-d", "@86400", "-u"],
        &["printenv", "PATH"],
        &["id", "-un"],
        &["nproc"],
        &["stat", "-c", "%a %n", "/etc/passwd"],
        &["du", "-s", "/etc/apt"],
        &["test", "-f", "/etc/passwd"],
        &["test", "-f", "/nonexistent"],
        &["sleep", "0.05"],
        &["pwd"],
    ];
    for command in commands {
        Program::new(command[0])
            .args(command[1..].iter().copied())
            .compare();
    }
}

#[test]
fn programs_that_change_files_leave_the_same_files() {
    let scratch = Scratch::new();
    let text = data::text_file(1);
    let run = |program: Program| program.directory(scratch.path()).compare_success();
    run(Program::new("cp").arg(&text).arg("copy"));
    run(Program::new("cmp").arg(&text).arg("copy"));
    run(Program::new("ln").args(["-sf", "copy", "link"]));
    run(Program::new("chmod").args(["600", "copy"]));
    run(Program::new("touch").args(["-d", "2001-02-03 04:05:06Z", "copy"]));
    run(Program::new("stat").args(["-c", "%n %s %a %Y", "copy"]));
    run(Program::new("mkdir").args(["-p", "a/b/c"]));
    run(Program::new("dd").args([
        "if=copy",
        "of=part",
        "bs=4096",
        "skip=3",
        "count=20",
        "status=none",
    ]));
    run(Program::new("tar").args(["cf", "archive", "copy", "a"]));
    run(Program::new("tar").args(["tvf", "archive", "--full-time"]));
    run(Program::new("truncate").args(["-s", "12345", "part"]));
    run(Program::new("find").args([".", "-type", "f", "-size", "+0", "-printf", "%p %s %m\n"]));
    run(Program::new("rm").args(["-rf", "a"]));
}

/// Threads, compression, JSON and a database, with the interpreter's own memory behind them.
const PYTHON: &str = r#"
import hashlib, json, sqlite3, sys, threading, time, zlib
results = {}
def work(n):
    data = bytes((i * n) & 255 for i in range(200000))
    packed = zlib.compress(data, 6)
    assert zlib.decompress(packed) == data
    results[n] = hashlib.sha256(packed).hexdigest()
threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
[t.start() for t in threads]; [t.join() for t in threads]
db = sqlite3.connect(":memory:")
db.execute("create table t(n integer primary key, h text)")
db.executemany("insert into t values(?, ?)", sorted(results.items()))
rows = db.execute("select n, h from t order by h").fetchall()
start = time.monotonic(); time.sleep(0.02); assert time.monotonic() - start >= 0.02
print(json.dumps({"rows": rows, "argv": sys.argv[1:], "sum": sum(i * i for i in range(10**6))}, sort_keys=True))
print("to standard error", file=sys.stderr)
sys.exit(3)
"#;

#[test]
fn python_with_threads_json_zlib_and_sqlite_does_the_same() {
    let outcome = Program::new(python())
        .args(["-c", PYTHON, "an argument", ""])
        .limit(LONG)
        .compare();
    assert_eq!(outcome.status.code(), Some(3), "{}", outcome.messages());
    assert!(outcome.text().contains("an argument"), "{}", outcome.text());
}

#[test]
fn python_uncaught_exception_does_the_same() {
    let outcome = Program::new(python())
        .args(["-c", "import json; json.loads('{')"])
        .compare();
    assert_eq!(outcome.status.code(), Some(1));
}

#[test]
fn python_reads_a_program_from_standard_input() {
    let text = Program::new(python())
        .arg("-")
        .input("print(sum(range(10**6)))")
        .compare_success()
        .text();
    assert_eq!(text, "499999500000\n");
}

#[test]
fn perl_does_the_same() {
    let script = r#"my %h; for my $i (1..200000) { $h{$i % 977} .= chr(65 + $i % 26) }
        my $s = join '', map { $h{$_} } sort keys %h; $s =~ s/([AEIOU])/lc $1/ge;
        printf "%d %s %.15g\n", length $s, substr($s, 1000, 20), atan2(1,1)*4; warn "warned\n"; exit 5"#;
    let outcome = Program::new(program("/usr/bin/perl", "perl"))
        .args(["-e", script])
        .compare();
    assert_eq!(outcome.status.code(), Some(5));
}

/// Compresses 50 MB natively and inside to equal bytes, and unpacks them inside to the original.
fn round_trip(packer: &'static str, pack: &[&str], unpack: &[&str]) {
    let scratch = Scratch::new();
    let text = data::text_file(50);
    let packed = Program::new(packer)
        .args(pack.iter().copied())
        .input_file(&text)
        .limit(LONG)
        .compare_success();
    let file = scratch.file("packed", &packed.stdout, 0o600);
    let unpacked = Program::new(packer)
        .args(unpack.iter().copied())
        .input_file(file)
        .limit(LONG)
        .compare_success();
    assert!(
        unpacked.stdout == std::fs::read(&text).expect("the data can be read"),
        "{packer} gave other bytes back"
    );
}

#[test]
fn gzip_packs_and_unpacks_fifty_megabytes() {
    round_trip(program("/usr/bin/gzip", "gzip"), &["-1", "-n"], &["-d"]);
}

#[test]
fn xz_packs_and_unpacks_fifty_megabytes() {
    round_trip(
        program("/usr/bin/xz", "xz-utils"),
        &["-0", "-T1", "-c"],
        &["-d", "-c"],
    );
}

#[test]
fn zstd_packs_and_unpacks_fifty_megabytes_with_threads() {
    round_trip(
        program("/usr/bin/zstd", "zstd"),
        &["-3", "-T2", "-q", "-c"],
        &["-d", "-q", "-c"],
    );
}

#[test]
fn sort_sorts_a_million_lines() {
    let lines = data::number_lines(1_000_000);
    let sorted = Program::new("/usr/bin/sort")
        .args(["-n", "--parallel=2"])
        .arg(lines)
        .env("LC_ALL", "C")
        .limit(LONG);
    let text = sorted.compare_success().text();
    assert_eq!(text.lines().count(), 1_000_000);
    let numbers = text
        .lines()
        .map(|line| line.parse::<u64>().expect("a number"));
    assert!(numbers.is_sorted());
}

/// Digits become `#`: what is left is the shape of a report that holds measured numbers. The line
/// that shows raw CPUID words goes: it has bits that are the system's own, such as PCID.
fn shape(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let mut shape: Vec<u8> = lines
        .filter(|line| !line.starts_with(b"CPUINFO:"))
        .flatten()
        .map(|byte| if byte.is_ascii_digit() { b'#' } else { *byte })
        .collect();
    // How many digits a number has, and the spaces that align it, are measurements too.
    shape.dedup_by(|a, b| a == b && matches!(a, b'#' | b' ' | b'-'));
    shape
}

#[test]
fn openssl_measures_itself() {
    let openssl = program("/usr/bin/openssl", "openssl");
    let words = ["speed", "-seconds", "1", "-bytes", "1024", "sha256"];
    // openssl counts with SIGALRM: the handler must have run for it to end at all.
    Program::new(openssl)
        .args(words)
        .compare_through(shape)
        .assert_success("openssl speed");
}

#[test]
fn openssl_hashes_encrypts_and_generates() {
    let openssl = program("/usr/bin/openssl", "openssl");
    let text = data::text_file(10);
    Program::new(openssl)
        .args(["dgst", "-sha3-256"])
        .input_file(&text)
        .compare_success();
    let encrypt = [
        "enc",
        "-aes-256-ctr",
        "-K",
        "00112233",
        "-iv",
        "445566",
        "-nosalt",
    ];
    Program::new(openssl)
        .args(encrypt)
        .input_file(&text)
        .compare_success();
    Program::new(openssl)
        .args([
            "prime",
            "-checks",
            "20",
            "170141183460469231731687303715884105727",
        ])
        .compare_success();
}

/// The program itself: /usr/bin/7z is a shell script that executes it.
fn seven_zip() -> &'static str {
    program("/usr/lib/p7zip/7z", "p7zip-full")
}

#[test]
fn seven_zip_benchmark_ends_well() {
    let seven_zip = seven_zip();
    let benchmark = Program::new(seven_zip)
        .args(["b", "1", "-mmt1", "-md18"])
        .limit(LONG);
    // Its tables hold only measurements: compare that both ran all the way to the totals.
    let outcome = benchmark.compare_through(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        text.lines()
            .filter(|line| line.starts_with("Tot:"))
            .map(|_| b'T')
            .collect()
    });
    assert!(outcome.text().contains("Tot:"), "{}", outcome.text());
}

#[test]
fn seven_zip_packs_with_threads_and_tests_the_archive() {
    let scratch = Scratch::new();
    let seven_zip = seven_zip();
    let text = data::text_file(10);
    let archive = scratch.path().join("archive.7z");
    let essence = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.lines()
            .filter(|line| line.contains("Everything is Ok"))
            .collect::<String>()
            .into_bytes()
    };
    let add = Program::new(seven_zip)
        .args(["a", "-mx1", "-mmt2"])
        .arg(&archive)
        .arg(&text)
        .limit(LONG);
    add.compare_through(essence).assert_success("7z a");
    let test = Program::new(seven_zip)
        .arg("t")
        .arg(&archive)
        .compare_through(essence);
    assert!(test.text().contains("Everything is Ok"), "{}", test.text());
}

#[test]
fn sqlite_handles_a_hundred_thousand_rows() {
    let scratch = Scratch::new();
    let sqlite = program("/usr/bin/sqlite3", "sqlite3");
    let sql = "drop table if exists t; create table t(n integer primary key, v text, w real);
        with recursive c(n) as (select 1 union all select n + 1 from c where n < 100000)
        insert into t select n, printf('row %d', n * 7919 % 100003), n / 7.0 from c;
        create index i on t(v); update t set w = w * 2 where n % 3 = 0;
        select count(*), sum(n), min(v), max(v), round(sum(w), 3) from t;
        select v from t order by v desc limit 5; delete from t where n % 2; vacuum;
        select count(*) from t; pragma integrity_check;";
    let program = Program::new(sqlite)
        .arg("rows.db")
        .arg(sql)
        .directory(scratch.path())
        .limit(LONG);
    let text = program.compare_success().text();
    assert!(
        text.starts_with("100000|5000050000|") && text.ends_with("50000\nok\n"),
        "{text}"
    );
}

#[test]
fn bc_computes_two_hundred_digits_of_pi() {
    let bc = program("/usr/bin/bc", "bc");
    let text = Program::new(bc)
        .arg("-lq")
        .input("scale=200\n4*a(1)\n")
        .compare_success()
        .text();
    assert!(text.starts_with("3.14159265358979323846"), "{text}");
}

#[test]
fn awk_counts_and_formats() {
    let awk = program("/usr/bin/mawk", "mawk");
    let text = data::text_file(10);
    let script = "{ seen[$7]++; length_sum += length($0) } END { for (i = 0; i < 1000; i++) s += seen[i] * i;
        printf \"%d %d %.6f %s\\n\", NR, length_sum, sqrt(s), substr($0, 1, 3); exit 4 }";
    assert_eq!(
        Program::new(awk)
            .arg(script)
            .arg(text)
            .compare()
            .status
            .code(),
        Some(4)
    );
}

#[test]
fn compiler_proper_compiles() {
    // The compiler driver starts other programs; cc1 is the one that works.
    let cc = vmmload_tests::packages::c_compiler();
    let path = Program::new(cc).arg("-print-prog-name=cc1").native().text();
    let source = "int f(int n) { int s = 0; for (int i = 0; i < n; i++) s += i * i; return s; }\n";
    let compile = Program::new(PathBuf::from(path.trim()))
        .args(["-quiet", "-O2", "-o", "-", "-"])
        .input(source);
    assert!(compile.compare_success().text().contains(".globl\tf"));
}

#[test]
fn whole_pipelines_of_wrapped_programs_do_the_same() {
    let lines = data::number_lines(1_000_000);
    let lines = lines.to_str().expect("the cache path is text");
    let pipeline = |prefix: &str| {
        let line = format!(
            "{prefix} cat {lines} | {prefix} grep 7 | {prefix} sort -n | {prefix} uniq -c | {prefix} md5sum"
        );
        Program::new("/bin/sh")
            .arg("-c")
            .arg(line)
            .limit(LONG)
            .native()
    };
    let native = pipeline("");
    native.assert_success("the pipeline natively");
    if vmmload_tests::machine::can_run_inside() {
        let inside = pipeline(&format!("{} run", vmmload_tests::vmmload().display()));
        assert_eq!(
            (native.text(), native.messages()),
            (inside.text(), inside.messages())
        );
    }
}
