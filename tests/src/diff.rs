//! Shows where two outputs part.

/// Lines shown before the first difference.
const CONTEXT: usize = 2;
/// Lines shown of each side from the first difference on.
const SHOWN: usize = 8;
/// Bytes shown of a line: binary output has long ones.
const WIDTH: usize = 160;

/// `None` when both are equal, else their sizes and the lines around the first difference.
pub(crate) fn difference(what: &str, native: &[u8], inside: &[u8]) -> Option<String> {
    if native == inside {
        return None;
    }
    let (ours, theirs): (Vec<&[u8]>, Vec<&[u8]>) = (lines(native), lines(inside));
    let first = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    let mut text = format!(
        "{what} differs from line {} on (native {} bytes, inside {} bytes):\n",
        first + 1,
        native.len(),
        inside.len()
    );
    for line in &ours[first.saturating_sub(CONTEXT)..first] {
        text += &shown(' ', line);
    }
    for line in ours.iter().skip(first).take(SHOWN) {
        text += &shown('-', line);
    }
    for line in theirs.iter().skip(first).take(SHOWN) {
        text += &shown('+', line);
    }
    Some(text)
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n').collect()
}

/// Escapes what is not printable, so that a missing newline or a stray byte is seen.
fn shown(side: char, line: &[u8]) -> String {
    let cut = &line[..line.len().min(WIDTH)];
    let more = if cut.len() < line.len() { "..." } else { "" };
    format!("  {side} {}{more}\n", cut.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn equal_outputs_have_no_difference() {
        assert_eq!(difference("stdout", b"a\nb\n", b"a\nb\n"), None);
    }

    #[test]
    fn the_first_differing_line_is_named_and_both_sides_shown() {
        let text = difference("stdout", b"a\nb\nc\n", b"a\nB\nc\n").expect("they differ");
        assert!(text.contains("from line 2 on"), "{text}");
        assert!(text.contains("- b\\n") && text.contains("+ B\\n"), "{text}");
    }

    #[test]
    fn a_missing_final_newline_is_a_difference() {
        let text = difference("stderr", b"a\n", b"a").expect("they differ");
        assert!(text.contains("native 2 bytes, inside 1 bytes"), "{text}");
    }
}
