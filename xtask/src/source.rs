//! Rust source without what isn't code.

/// Blanks comments and the contents of string and character literals. Lines
/// keep their numbers and columns their bytes, but for multi-byte characters.
pub(crate) fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let len = blank_len(rest, out.chars().last());
        if len == 0 {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        out.extend(rest[..len].iter().map(|c| match c {
            '\n' => '\n',
            _ => ' ',
        }));
        at += len;
    }
    out
}

/// How many characters at the start are a comment or a literal.
fn blank_len(rest: &[char], before: Option<char>) -> usize {
    let word_before = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match rest {
        ['/', '/', ..] => rest.iter().take_while(|c| **c != '\n').count(),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, '"'),
        ['b', '"', ..] if !word_before => 1 + quoted(&rest[1..], '"'),
        ['r', '"' | '#', ..] if !word_before => raw_string(rest, 1),
        ['b', 'r', '"' | '#', ..] if !word_before => raw_string(rest, 2),
        // A lifetime has no closing quote right behind its first character.
        ['\'', '\\', ..] => quoted(rest, '\''),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A raw string whose `#`s begin at `at`; 0 if it is a raw identifier.
fn raw_string(rest: &[char], at: usize) -> usize {
    let hashes = rest[at..].iter().take_while(|c| **c == '#').count();
    let open = at + hashes;
    if rest.get(open) != Some(&'"') {
        return 0;
    }
    let mut at = open + 1;
    while at < rest.len() {
        let close = &rest[at..];
        if close[0] == '"' && close.len() > hashes && close[1..=hashes].iter().all(|c| *c == '#') {
            return at + 1 + hashes;
        }
        at += 1;
    }
    rest.len()
}

/// Blanks items under `#[cfg(test)]` and the like; `code` has no comments.
pub(crate) fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    let mut from = 0;
    while let Some((start, end)) = test_item(&code, from) {
        let blank: String = code[start..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        code.replace_range(start..end, &blank);
        from = start;
    }
    code
}

/// The modules without a body that are declared under `cfg(test)`.
pub(crate) fn test_modules(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    let mut from = 0;
    while let Some((start, end)) = test_item(code, from) {
        let item = code[start..end].trim_end();
        if let Some(declaration) = item.strip_suffix(';')
            && let Some((_, name)) = declaration.rsplit_once("mod ")
        {
            modules.push(name.trim().to_owned());
        }
        from = end;
    }
    modules
}

/// The first item at or after `from` with an outer attribute that asks for
/// `cfg(test)`, from the attribute to its `;` or closing brace.
fn test_item(code: &str, from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        let start = at + code[at..].find("#[cfg(")?;
        let attribute_end = start + matching(&code[start + 1..], '[', ']')? + 1;
        let attribute = &code[start..attribute_end];
        let asks = attribute
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == "test");
        if !asks || attribute.contains("not(test") {
            at = attribute_end;
            continue;
        }
        let body = &code[attribute_end..];
        let stop = body.find(['{', ';'])?;
        let end = match &body[stop..=stop] {
            ";" => stop + 1,
            _ => stop + matching(&body[stop..], '{', '}')?,
        };
        return Some((start, attribute_end + end));
    }
}

/// The length of a text that starts with `open`, up to and with its `close`.
fn matching(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(at + close.len_utf8());
            }
        }
    }
    None
}

/// The line of a byte position, counted from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let source = r##"a // std::thread
/* x /* y */ z */ b "std::thread \" c" d r#"e " f"# g 'h' '\'' i<'j>(k: &'j str) b"l" r#type"##;
        let code = code_only(source);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(
            words,
            ["a", "b", "d", "g", "i<'j>(k:", "&'j", "str)", "r#type"]
        );
        assert_eq!(code.lines().count(), source.lines().count());
    }

    #[test]
    fn an_open_literal_ends_with_the_file() {
        for open in ["\"a", "/* a", "r#\"a\"", "'\\", "//"] {
            assert_eq!(code_only(open).trim(), "", "{open}");
        }
    }

    #[test]
    fn test_items_are_blanked() {
        let code = "a\n#[cfg(test)]\nmod tests {\n fn x() { y }\n}\nb #[cfg(all(test, shuttle))] mod models;\n#[cfg(not(test))] c { d } #[cfg(unix)] e;";
        let left = without_tests(code);
        let words: Vec<&str> = left.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "a",
                "b",
                "#[cfg(not(test))]",
                "c",
                "{",
                "d",
                "}",
                "#[cfg(unix)]",
                "e;"
            ]
        );
        assert_eq!(test_modules(code), ["models"]);
        assert_eq!(left.lines().count(), code.lines().count());
    }
}
