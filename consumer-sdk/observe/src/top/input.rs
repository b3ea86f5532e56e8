//! What comes from outside: keys, signals, another size of the terminal.

use super::app::Key;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;

/// What may wait to be read: somebody can paste anything.
const MOST_WAITING: usize = 1024;

/// Something that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Key(Key),
    Resized,
    Signal(i32),
    /// Nothing can be read from the terminal.
    Gone,
}

/// Listens from now on. Two threads of their own wait, so that whoever listens can sleep until something comes.
///
/// # Errors
/// When handlers of signals or threads cannot be had.
pub(super) fn listen() -> io::Result<Receiver<Message>> {
    let (sender, receiver) = sync_channel(MOST_WAITING);
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT])?;
    let of_signals = sender.clone();
    let spawn =
        |name: &str, body: Box<dyn FnOnce() + Send>| Builder::new().name(name.into()).spawn(body);
    spawn(
        "signals",
        Box::new(move || forward_signals(signals, &of_signals)),
    )?;
    spawn("keys", Box::new(move || forward_keys(&sender)))?;
    Ok(receiver)
}

fn forward_signals(mut signals: Signals, to: &SyncSender<Message>) {
    for signal in signals.forever() {
        if to.send(Message::Signal(signal)).is_err() {
            return;
        }
    }
}

fn forward_keys(to: &SyncSender<Message>) {
    loop {
        let message = match event::read() {
            Ok(event) => meaning(&event),
            Err(_) => Some(Message::Gone),
        };
        let Some(message) = message else { continue };
        if to.send(message).is_err() || message == Message::Gone {
            return;
        }
    }
}

fn meaning(event: &Event) -> Option<Message> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key_of(*key).map(Message::Key),
        Event::Resize(..) => Some(Message::Resized),
        _ => None,
    }
}

fn key_of(event: KeyEvent) -> Option<Key> {
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return match event.code {
            // Ctrl-\ comes as Ctrl-4.
            KeyCode::Char('c' | '\\' | '4') => Some(Key::Interrupt),
            KeyCode::Char('z') => Some(Key::Suspend),
            KeyCode::Char('l') => Some(Key::Redraw),
            KeyCode::Char('u') => Some(Key::ClearLine),
            KeyCode::Char('h') => Some(Key::Backspace),
            _ => None,
        };
    }
    Some(match event.code {
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Char(c) if !event.modifiers.contains(KeyModifiers::ALT) => Key::Char(c),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_terminal_are_ours() {
        let key = |code, modifiers| key_of(KeyEvent::new(code, modifiers));
        let none = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::Char('?'), none), Some(Key::Char('?')));
        assert_eq!(
            key(KeyCode::Char('S'), KeyModifiers::SHIFT),
            Some(Key::Char('S'))
        );
        assert_eq!(
            key(KeyCode::Char('c'), KeyModifiers::CONTROL),
            Some(Key::Interrupt)
        );
        assert_eq!(
            key(KeyCode::Char('z'), KeyModifiers::CONTROL),
            Some(Key::Suspend)
        );
        // Not a q.
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::ALT), None);
        assert_eq!(key(KeyCode::F(1), none), None);
        assert_eq!(meaning(&Event::Resize(80, 24)), Some(Message::Resized));
    }
}
