//! A terminal with a shell in it, driven through tmux(1): keys go in, screens come out.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::machine;
use crate::packages::{bash, program};

/// At the end of what the shell shows.
const PROMPT: &str = "ready>";

/// A terminal with a shell in it.
#[derive(Debug)]
pub struct Terminal {
    tmux: &'static str,
    socket: String,
}

impl Terminal {
    /// Opens one of this size, with bash(1) in it.
    ///
    /// # Panics
    /// When tmux or the shell does not start.
    #[must_use]
    pub fn open(width: u16, height: u16) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let socket = format!("vmmload-tests-{}-{number}", std::process::id());
        let terminal = Self {
            tmux: program("/usr/bin/tmux", "tmux"),
            socket,
        };
        let (width, height) = (width.to_string(), height.to_string());
        let shell = format!("PS1='{PROMPT} ' exec {} --norc --noprofile", bash());
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "-u",
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
            &shell,
        ]);
        terminal.wait_for("the shell", |screen| screen.contains(PROMPT));
        terminal
    }

    fn command(&self, arguments: &[&str]) -> Output {
        Command::new(self.tmux)
            .args(["-L", &self.socket])
            .args(arguments)
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("tmux can be started")
    }

    /// Has tmux do something, and gives what it says.
    ///
    /// # Panics
    /// When tmux refuses.
    #[track_caller]
    pub fn tmux(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {messages}");
        String::from_utf8(output.stdout).expect("tmux writes text")
    }

    /// Types a line into the shell.
    pub fn shell(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.keys(&["Enter"]);
    }

    /// Presses keys, by tmux's names for them.
    pub fn keys(&self, keys: &[&str]) {
        let arguments: Vec<&str> = ["send-keys"]
            .into_iter()
            .chain(keys.iter().copied())
            .collect();
        self.tmux(&arguments);
    }

    /// What is on the screen.
    #[must_use]
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// What the terminal itself knows: `cursor_flag`, `alternate_on` and so on.
    #[must_use]
    pub fn knows(&self, what: &str) -> String {
        let format = format!("#{{{what}}}");
        self.tmux(&["display-message", "-p", &format])
            .trim()
            .to_owned()
    }

    /// Waits until the screen is as wanted, and gives it.
    ///
    /// # Panics
    /// When it is not in time.
    #[track_caller]
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let limit = machine::patience(Duration::from_secs(30));
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(
                began.elapsed() < limit,
                "no {what} on the screen:\n{screen}"
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until the shell can be used again.
    #[track_caller]
    pub fn wait_for_prompt(&self) {
        self.wait_for("prompt", |screen| screen.trim_end().ends_with(PROMPT));
    }

    /// The process that the shell has started last.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    #[track_caller]
    pub fn child(&self) -> u32 {
        let shell = self.knows("pane_pid");
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
        let children = children.expect("the shell runs");
        let last = children.split_whitespace().next_back();
        last.expect("it has a child").parse().expect("a pid")
    }

    /// The terminal's modes, as the shell sees them. `mark` is a word that was not on the screen before.
    #[must_use]
    pub fn modes(&self, mark: &str) -> String {
        self.shell(&format!("clear; stty -a; echo {mark}=$?"));
        let end = format!("{mark}=0");
        let screen = self.wait_for("modes", |screen| screen.contains(&end));
        screen
            .split(&end)
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.command(&["kill-server"]);
    }
}
