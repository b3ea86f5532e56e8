//! The loop: reads, refreshes, obeys keys and signals, draws.

use super::app::{App, Effect};
use super::input::{self, Message};
use super::model::Model;
use super::sample::Sample;
use super::terminal::{self, Borrowed, Canvas};
use super::view::{self, Look};
use crate::failure::{Failure, Outcome};
use crate::fleet::Scope;
use crate::typed::TopArgs;
use rustix::process::{Signal, kill_current_process_group};
use signal_hook::consts::{SIGCONT, SIGTSTP};
use signal_hook::low_level::emulate_default_handler;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often records are read, however rarely the display is refreshed: the rings keep some 65,536 of them.
const READ_EVERY: Duration = Duration::from_millis(100);
/// The first rates come soon, however long the delay.
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// Shows the processes in scope until somebody has seen enough.
pub(super) fn run(args: &TopArgs, scope: Scope) -> Outcome {
    let look = Look::of_environment(args.no_color);
    let messages = input::listen().map_err(unusable)?;
    let borrowed = Borrowed::new().map_err(unusable)?;
    let canvas = terminal::blank_canvas().map_err(unusable)?;
    let mut model = Model::new(scope);
    let now = Instant::now();
    let live = Live {
        shown: model.sample(),
        latest: None,
        app: App::new(args.delay, args.sort),
        model,
        look,
        canvas,
        messages,
        next_refresh: now + args.delay.min(FIRST_DELAY),
        next_read: now + READ_EVERY,
        is_stale: true,
    };
    let end = live.run(&borrowed);
    drop(borrowed);
    match end? {
        End::Quit => Ok(0),
        End::Signal(signal) => {
            // Whoever waits for us learns what it was. It does not come back.
            let _ = emulate_default_handler(signal);
            Ok(u8::try_from(128 + signal).unwrap_or(u8::MAX))
        }
        End::TerminalGone => Err(Failure::Other("the terminal is gone; start again".into())),
    }
}

fn unusable(cause: io::Error) -> Failure {
    Failure::Other(format!(
        "{cause}: cannot set the terminal up; print one plain table with `vmmload top --once`"
    ))
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Quit,
    Signal(i32),
    TerminalGone,
}

struct Live {
    model: Model,
    app: App,
    look: Look,
    canvas: Canvas,
    messages: Receiver<Message>,
    /// What is drawn.
    shown: Sample,
    /// The newest there is, while the display is paused.
    latest: Option<Sample>,
    next_refresh: Instant,
    next_read: Instant,
    /// There is something that was not drawn yet.
    is_stale: bool,
}

impl Live {
    fn run(mut self, borrowed: &Borrowed) -> Result<End, Failure> {
        loop {
            if !terminal::is_there() {
                return Ok(End::TerminalGone);
            }
            if self.is_stale {
                self.draw()?;
            }
            let wait = self.next_refresh.min(self.next_read);
            let wait = wait.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(wait) {
                Ok(message) => {
                    // Keys that came together make one frame.
                    let mut waiting = Some(message);
                    while let Some(message) = waiting {
                        if let Some(end) = self.obey(message, borrowed)? {
                            return Ok(end);
                        }
                        waiting = self.messages.try_recv().ok();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(End::TerminalGone),
            }
            self.work();
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        let Self {
            app,
            shown,
            look,
            canvas,
            ..
        } = self;
        let mut page = 1;
        canvas.draw(|frame| page = view::draw(frame, app, shown, *look))?;
        self.app.page = page;
        self.is_stale = false;
        Ok(())
    }

    /// Reads and refreshes what is due.
    fn work(&mut self) {
        let now = Instant::now();
        if now >= self.next_refresh {
            self.refresh();
        } else if now >= self.next_read {
            self.model.drain();
            self.next_read = Instant::now() + READ_EVERY;
        }
    }

    fn refresh(&mut self) {
        let sample = self.model.sample();
        let now = Instant::now();
        self.next_refresh = now.checked_add(self.app.delay).unwrap_or(now);
        self.next_read = now + READ_EVERY;
        if self.app.is_paused {
            self.latest = Some(sample);
            return;
        }
        self.show(sample);
    }

    fn show(&mut self, sample: Sample) {
        self.shown = sample;
        self.app.follow(&self.shown);
        self.is_stale = true;
    }

    fn obey(&mut self, message: Message, borrowed: &Borrowed) -> Result<Option<End>, Failure> {
        match message {
            Message::Key(key) => {
                let effect = self.app.press(key, &self.shown);
                self.is_stale = true;
                return self.carry_out(effect);
            }
            Message::Resized => self.is_stale = true,
            Message::Signal(SIGTSTP) => {
                borrowed.give_back();
                // Returns when we are told to go on.
                let _ = emulate_default_handler(SIGTSTP);
                borrowed.set_up()?;
                self.draw_anew()?;
            }
            Message::Signal(SIGCONT) => {
                borrowed.set_modes_again()?;
                self.draw_anew()?;
            }
            Message::Signal(signal) => return Ok(Some(End::Signal(signal))),
            Message::Gone => return Ok(Some(End::TerminalGone)),
        }
        Ok(None)
    }

    fn carry_out(&mut self, effect: Effect) -> Result<Option<End>, Failure> {
        match effect {
            Effect::Nothing => {}
            Effect::Quit => return Ok(Some(End::Quit)),
            // All of the job, as the terminal would: a shell that waits for us must stop, too.
            Effect::Suspend => {
                kill_current_process_group(Signal::TSTP).map_err(io::Error::from)?;
            }
            Effect::Redraw => self.draw_anew()?,
            Effect::Closer => {
                self.model.look_closely(self.app.close());
                if !self.app.is_paused {
                    self.model.closer(&mut self.shown);
                }
            }
            Effect::Resume => {
                if let Some(latest) = self.latest.take() {
                    self.show(latest);
                }
            }
            Effect::Delay => {
                let due = Instant::now().checked_add(self.app.delay);
                self.next_refresh = due.map_or(self.next_refresh, |due| due.min(self.next_refresh));
            }
        }
        Ok(None)
    }

    /// Draws everything, whatever is on the screen.
    fn draw_anew(&mut self) -> io::Result<()> {
        self.canvas = terminal::blank_canvas()?;
        self.is_stale = true;
        Ok(())
    }
}
