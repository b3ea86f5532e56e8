//! Servers under load do the same inside as natively. The clients run inside, too.

use std::net::TcpListener;
use std::time::Duration;

use vmmload_tests::packages::{bash, program};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Outcome, Program};

const LONG: Duration = Duration::from_secs(240);

/// Runs a script natively and inside, in an empty directory each. Servers stay in its process group, so that
/// they are killed with it if it takes too long.
fn same(wrapper: &[&'static str], script: &str, prepare: impl Fn(&Scratch)) -> Outcome {
    let script = format!(
        "set -e; umask 022\n\
         wait_for() {{ for i in $(seq 600); do \"$@\" > /dev/null 2>&1 && return; sleep 0.1; done; return 1; }}\n\
         {script}"
    );
    let command = Program::new(bash()).args(["-c", &script]).limit(LONG);
    command
        .within(wrapper.iter().copied())
        .env("LC_ALL", "C")
        .compare_in_fresh_directories(prepare)
}

#[test]
fn sqlite_fills_and_checks_a_database_with_a_log() {
    let _ = program("/usr/bin/sqlite3", "sqlite3");
    let script = r#"
        sqlite3 a.db 'pragma journal_mode=wal; create table t(a, b);
            with recursive c(x) as (select 1 union all select x + 1 from c where x < 20000)
                insert into t select x, hex(x * x) from c;
            create index i on t(b); select count(*), max(b) from t; pragma integrity_check;'
        for i in 1 2 3; do sqlite3 -cmd '.timeout 20000' a.db "update t set b = b || $i where a % 3 = $i" & done; wait
        sqlite3 a.db .dump | sha256sum; sqlite3 a.db 'select nothing from t' || echo $?"#;
    let text = same(&[], script, |_| {}).text();
    assert!(text.contains("ok\n"), "{text}");
}

#[test]
fn redis_serves_a_benchmark_and_saves_from_a_forked_child() {
    let _ = program("/usr/bin/redis-server", "redis-server");
    let _ = program("/usr/bin/redis-benchmark", "redis-tools");
    let script = r#"
        redis-server --port 0 --unixsocket $PWD/socket --save '' --dir $PWD > log 2>&1 & server=$!
        cli() { redis-cli -s socket "$@"; }
        wait_for cli ping; cli set key value; cli get key
        redis-benchmark -s socket -n 1000 -c 8 -q -t set,get,lpush > speed; cli llen mylist; cli dbsize
        cli eval 'local s = 0; for i = 1, 1000 do s = s + i end; return s' 0
        cli bgsave; wait_for grep 'Background saving terminated with success' log; test -s dump.rdb
        cli config set appendonly yes
        wait_for grep 'Background AOF rewrite finished successfully' log; ls
        kill $server; wait $server; echo "the server: $?""#;
    let text = same(&[], script, |_| {}).text();
    assert!(text.ends_with("the server: 0\n"), "{text}");
}

/// A number that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

#[test]
fn nginx_serves_reloads_and_ends_with_its_workers() {
    let _ = program("/usr/sbin/nginx", "nginx-light");
    let _ = program("/usr/bin/ab", "apache2-utils");
    let port = free_port();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path temp_{kind}; "))
        .concat();
    let configuration = format!(
        "daemon off; worker_processes 2; pid nginx.pid; error_log error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; {paths} server {{ listen 127.0.0.1:{port}; root html; }} }}\n"
    );
    let script = format!(
        r#"url=http://127.0.0.1:{port}; mkdir html; seq 20000 > html/long; echo short > html/short
        nginx -e error.log -p $PWD -c nginx.conf & server=$!; wait_for test -s nginx.pid; wait_for ab -n 1 $url/short
        fetch() {{ ab -q -n $1 -c 5 $url/$2 | grep -E '^(Complete|Failed|Non-2xx|Document Length|HTML)'; }}
        fetch 500 short; fetch 20 long; fetch 5 missing
        old=$(cat /proc/$server/task/$server/children)
        kill -HUP $server; for worker in $old; do wait_for test ! -e /proc/$worker; done; fetch 20 short
        kill -QUIT $server; wait $server; ls; grep -E 'alert|emerg|crit' error.log || true"#
    );
    let prepare = |scratch: &Scratch| {
        // Workers run as another user, who must get here.
        drop(scratch.file("nginx.conf", &configuration, 0o644));
    };
    let text = same(&[], &script, prepare).text();
    assert!(text.contains("Complete requests:      500"), "{text}");
}

#[test]
fn postgresql_starts_a_cluster_and_passes_its_benchmark() {
    let _ = program("/usr/lib/postgresql/15/bin/pgbench", "postgresql-15");
    // It does not serve root. Under another name in a namespace, this user keeps its rights to /dev/kvm.
    let unprivileged = ["unshare", "-U", "--map-user=1000", "--map-group=1000"];
    let script = r#"
        export PATH=/usr/lib/postgresql/15/bin:$PATH PGUSER=owner PGHOST=$PWD PGDATABASE=postgres; id -u
        initdb -D data -A trust -U owner --no-sync > init.log
        postgres -D data -k $PWD -c listen_addresses= -c fsync=off > log 2>&1 & server=$!; wait_for pg_isready
        pgbench -i -q > load.log 2>&1
        pgbench -c 2 -t 20 | grep -E 'actually|failed'
        psql -qAt -c 'select count(*), sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts'
        psql -qAt <<< 'set max_parallel_workers_per_gather=2; set parallel_setup_cost=0; set parallel_tuple_cost=0;
            set min_parallel_table_scan_size=0; select sum(aid), count(distinct bid) from pgbench_accounts'
        psql -qAt -c 'select 1/0' || echo "psql: $?"
        pg_ctl -D data -w -t 120 stop -m fast > stop.log; wait $server; grep -c 'shut down' log"#;
    let text = same(&unprivileged, script, |_| {}).text();
    assert!(text.contains("actually processed: 40/40"), "{text}");
}
