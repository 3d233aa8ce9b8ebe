//! Names for eyes.

use std::borrow::Cow;
use std::fmt::Write;

/// A name that can do a terminal no harm: control characters and what is not UTF-8 are escaped.
pub(crate) fn quoted(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) if !text.chars().any(char::is_control) => Cow::Borrowed(text),
        _ => {
            let mut safe = String::new();
            for chunk in name.utf8_chunks() {
                for c in chunk.valid().chars() {
                    if c.is_control() {
                        safe.extend(c.escape_default());
                    } else {
                        safe.push(c);
                    }
                }
                for byte in chunk.invalid() {
                    // Writing to a string cannot fail.
                    let _ = write!(safe, "\\x{byte:02x}");
                }
            }
            Cow::Owned(safe)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(quoted(b"plain name"), "plain name");
        assert_eq!(quoted("gr\u{fc}n".as_bytes()), "gr\u{fc}n");
        assert_eq!(quoted(b"a\x1b[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(quoted(b"\xff-"), "\\xff-");
    }
}
