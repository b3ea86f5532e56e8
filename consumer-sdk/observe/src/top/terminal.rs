//! The terminal, borrowed: set up for drawing, and given back as it was, whatever happens in between.

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::style::ResetColor;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, window_size,
};
use ratatui::crossterm::{execute, queue};
use std::io::{self, BufWriter, Stdout, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// What frames are drawn on: a frame is one write(2), as a rule.
pub(super) type Canvas = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// Enough for a frame of a large terminal.
const FRAME_BYTES: usize = 1 << 16;

/// It is set up for drawing at present.
static IS_BORROWED: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back when dropped.
#[derive(Debug)]
pub(super) struct Borrowed(());

impl Borrowed {
    /// Sets the terminal up.
    ///
    /// # Errors
    /// Whatever the terminal says.
    pub(super) fn new() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| panic::set_hook(restoring(give_back, panic::take_hook())));
        let borrowed = Self(());
        borrowed.set_up()?;
        Ok(borrowed)
    }

    /// Sets it up again behind [`Self::give_back`].
    ///
    /// # Errors
    /// Whatever the terminal says.
    pub(super) fn set_up(&self) -> io::Result<()> {
        // Before anything is changed: half of it is given back, too.
        IS_BORROWED.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, Hide)
    }

    /// Makes the terminal's modes ours again, after somebody else had it without our doing.
    ///
    /// # Errors
    /// Whatever the terminal says.
    pub(super) fn set_modes_again(&self) -> io::Result<()> {
        // The library keeps what was there before, and does nothing where it believes that nothing has changed.
        disable_raw_mode()?;
        enable_raw_mode()?;
        execute!(io::stdout(), Hide)
    }

    /// Leaves it to others for a while.
    pub(super) fn give_back(&self) {
        give_back();
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        give_back();
    }
}

/// What frames are drawn on, with nothing on it: also where anything is on the screen. Another one than before, because
/// the library's own way to clear one asks the terminal where its cursor is, and waits for an answer that comes to
/// whoever reads keys.
///
/// # Errors
/// Whatever the terminal says.
pub(super) fn blank_canvas() -> io::Result<Canvas> {
    execute!(io::stdout(), Clear(ClearType::All))?;
    let output = BufWriter::with_capacity(FRAME_BYTES, io::stdout());
    Terminal::new(CrosstermBackend::new(output))
}

/// Whether there is still a terminal at the other end.
pub(super) fn is_there() -> bool {
    window_size().is_ok()
}

/// Gives the terminal back, once. A terminal that is gone needs nothing.
fn give_back() {
    if IS_BORROWED.swap(false, Ordering::SeqCst) {
        let _ = write_farewell(&mut io::stdout());
        let _ = disable_raw_mode();
    }
}

/// The other screen with what was on it, its cursor, and no colours of ours.
fn write_farewell(output: &mut impl Write) -> io::Result<()> {
    queue!(output, ResetColor, LeaveAlternateScreen, Show)?;
    output.flush()
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// What a panic does: its message must be readable, and nothing is dropped after it.
fn restoring(restore: impl Fn() + Send + Sync + 'static, next: Hook) -> Hook {
    Box::new(move |panic| {
        restore();
        next(panic);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_says_anything() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |what: &'static str| {
            let order = Arc::clone(&order);
            move || order.lock().unwrap().push(what)
        };
        let (restore, message) = (note("restored"), note("said"));
        let ours = std::thread::current().id();
        let before = panic::take_hook();
        // Other tests may panic meanwhile.
        let is_ours = move || std::thread::current().id() == ours;
        let hook = restoring(
            move || {
                if is_ours() {
                    restore();
                }
            },
            Box::new(move |_| {
                if is_ours() {
                    message();
                }
            }),
        );
        panic::set_hook(hook);
        let caught = panic::catch_unwind(|| panic!("on purpose"));
        panic::set_hook(before);
        assert!(caught.is_err());
        assert_eq!(*order.lock().unwrap(), ["restored", "said"]);
    }

    #[test]
    fn giving_back_shows_the_other_screen_and_its_cursor() {
        let mut written = Vec::new();
        write_farewell(&mut written).unwrap();
        let written = String::from_utf8(written).unwrap();
        assert!(
            written.contains("\x1b[?1049l") && written.ends_with("\x1b[?25h"),
            "{written:?}"
        );
    }

    #[test]
    fn a_terminal_that_was_not_borrowed_is_left_alone() {
        // Nothing of it may reach the output of the tests, and there need not be a terminal.
        assert!(!IS_BORROWED.load(Ordering::SeqCst));
        give_back();
    }
}
