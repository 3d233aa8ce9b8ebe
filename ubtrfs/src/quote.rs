//! Names that may hold anything, shown so that they can do no harm.

use std::borrow::Cow;
use std::fmt::Write;

/// `name` with control characters, invalid UTF-8 and backslashes escaped as in C.
///
/// A name of printable characters only comes back as it is.
#[must_use]
pub fn quoted(name: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(name)
        && !text
            .chars()
            .any(|c| c.is_control() || c == '\\' || is_invisible(c))
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(name.len() + 8);
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '\\' => out.push_str("\\\\"),
                c if c.is_control() || is_invisible(c) => {
                    let mut bytes = [0; 4];
                    escape(&mut out, c.encode_utf8(&mut bytes).as_bytes());
                }
                c => out.push(c),
            }
        }
        escape(&mut out, chunk.invalid());
    }
    Cow::Owned(out)
}

/// Characters that reorder or hide what stands around them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn escape(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(out, "\\{byte:03o}").expect("writing to a string");
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn only_what_could_do_harm_is_escaped() {
        assert_eq!(quoted("grün und $blau'".as_bytes()), "grün und $blau'");
        assert_eq!(quoted(b"a\nb\x1b[31m\xff\\"), "a\\nb\\033[31m\\377\\\\");
        assert_eq!(quoted("a\u{202e}b".as_bytes()), "a\\342\\200\\256b");
        assert_eq!(quoted("\u{85}".as_bytes()), "\\302\\205");
    }
}
