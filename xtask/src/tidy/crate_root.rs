//! lib.rs: documentation, `mod` lines, re-exports; no logic.

use super::Finding;
use crate::source::{code_only, line_of};
use crate::tree::Tree;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        if !path.ends_with("/src/lib.rs") {
            continue;
        }
        if !text.starts_with("//!") {
            findings.push(Finding::new(path, 1, "doesn't start with documentation"));
        }
        if let Some(line) = first_logic(text) {
            let message = "has something else than documentation, mod and use";
            findings.push(Finding::new(path, line, message));
        }
    }
    findings
}

/// The line of the first item that is neither `mod x;` nor `use x;`.
fn first_logic(text: &str) -> Option<usize> {
    let code = without_attributes(&code_only(text));
    let mut at = 0;
    while let Some(skip) = code[at..].find(|c: char| !c.is_whitespace()) {
        let start = at + skip;
        let item = &code[start..];
        let end = item.find(';').map_or(item.len(), |end| end + 1);
        if !is_declaration(&item[..end]) {
            return Some(line_of(&code, start));
        }
        at = start + end;
    }
    None
}

fn is_declaration(item: &str) -> bool {
    let mut item = item.trim_start();
    if let Some(public) = item.strip_prefix("pub") {
        item = public.trim_start();
        if item.starts_with('(') {
            item = item
                .split_once(')')
                .map_or("", |(_, rest)| rest)
                .trim_start();
        }
    }
    let declares = |keyword: &str| {
        item.strip_prefix(keyword)
            .is_some_and(|rest| rest.starts_with(char::is_whitespace))
    };
    declares("use") || declares("extern") || (declares("mod") && !item.contains('{'))
}

/// Blanks attributes, whole.
fn without_attributes(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut depth = 0_usize;
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if depth == 0 && c == '#' {
            let inner = chars.peek() == Some(&'!');
            if inner {
                chars.next();
                out.push(' ');
            }
            if chars.peek() == Some(&'[') {
                chars.next();
                depth = 1;
                out.push_str("  ");
                continue;
            }
        }
        match c {
            '[' if depth > 0 => depth += 1,
            ']' if depth > 0 => {
                depth -= 1;
                out.push(' ');
                continue;
            }
            _ => {}
        }
        out.push(if depth > 0 && c != '\n' { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_no_logic() {
        let text = "//! Docs; fn x() {}\n#![cfg_attr(test, expect(x, reason = \"y]\"))]\n\nmod a;\npub(crate) mod b;\n#[cfg(all(test, x))]\nmod c;\n/// Docs.\npub use a::{\n    B,\n    c::{D, E},\n};\nextern crate alloc;\n";
        assert_eq!(first_logic(text), None);
    }

    #[test]
    fn logic_is_found() {
        for logic in [
            "fn f() {}",
            "pub struct S;",
            "mod m { fn f() {} }",
            "pub const N: u32 = 1;",
            "impl X {}",
            "models!();",
        ] {
            assert_eq!(
                first_logic(&format!("mod a;\n\n{logic}\n")),
                Some(3),
                "{logic}"
            );
        }
    }

    #[test]
    fn the_root_is_documented() {
        let tree = Tree::of(&[("a/src/lib.rs", "mod b;\n"), ("a/src/b.rs", "fn f() {}")]);
        assert_eq!(
            check(&tree),
            [Finding::new(
                "a/src/lib.rs",
                1,
                "doesn't start with documentation"
            )]
        );
    }
}
