//! As much of Cargo.toml as the rules need; not a TOML parser.

/// A dependency as a manifest names it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dependency {
    /// The package, not what it may be renamed to.
    pub(crate) package: String,
    pub(crate) dev: bool,
    pub(crate) optional: bool,
    pub(crate) line: usize,
}

/// All dependencies of all tables of a manifest.
pub(crate) fn dependencies(text: &str) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    for entry in entries(text) {
        let Some((kind, tail)) = dependency_table(&entry.table) else {
            continue;
        };
        // `[dependencies.x] key = v`, `x.key = v` and `x = v` all name x.
        let path = format!("{tail}{}", entry.key);
        let (name, attribute) = path.split_once('.').unwrap_or((path.as_str(), ""));
        let dev = kind == "dev-dependencies";
        let known = found
            .iter()
            .position(|of| of.package == name && of.dev == dev);
        let index = known.unwrap_or_else(|| {
            found.push(Dependency {
                package: name.to_owned(),
                dev,
                optional: false,
                line: entry.line,
            });
            found.len() - 1
        });
        let dependency = &mut found[index];
        if attribute == "optional" && entry.value == "true"
            || inline_value(&entry.value, "optional") == Some("true")
        {
            dependency.optional = true;
        }
        let renamed = match attribute {
            "package" => Some(entry.value.as_str()),
            _ => inline_value(&entry.value, "package"),
        };
        if let Some(package) = renamed {
            dependency.package = package.trim_matches('"').to_owned();
        }
    }
    found
}

/// The value of a key, as written.
pub(crate) fn value_of(text: &str, table: &str, key: &str) -> Option<String> {
    let mut entries = entries(text).into_iter();
    let entry = entries.find(|entry| entry.table == table && entry.key == key)?;
    Some(entry.value)
}

/// The strings of an array.
pub(crate) fn strings_of(text: &str, table: &str, key: &str) -> Vec<String> {
    let value = value_of(text, table, key).unwrap_or_default();
    value
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

struct Entry {
    table: String,
    key: String,
    value: String,
    line: usize,
}

fn entries(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut table = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let line = uncommented(line);
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_matches(['[', ']']).replace([' ', '"'], "");
        } else if let Some((key, value)) = line.split_once('=') {
            let mut value = value.trim().to_owned();
            while value.matches('[').count() > value.matches(']').count() {
                let Some((_, more)) = lines.next() else {
                    break;
                };
                value.push_str(uncommented(more));
            }
            entries.push(Entry {
                table: table.clone(),
                key: key.trim().replace('"', ""),
                value,
                line: index + 1,
            });
        }
    }
    entries
}

fn uncommented(line: &str) -> &str {
    let mut in_string = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => in_string = !in_string,
            '#' if !in_string => return line[..at].trim(),
            _ => {}
        }
    }
    line.trim()
}

/// The kind of a table of dependencies, and `name.` if it is one dependency's.
fn dependency_table(table: &str) -> Option<(&'static str, String)> {
    for kind in ["dev-dependencies", "build-dependencies", "dependencies"] {
        if table.starts_with("workspace") {
            return None;
        }
        if table == kind || (table.starts_with("target.") && table.ends_with(&format!(".{kind}"))) {
            return Some((kind, String::new()));
        }
        if let Some((before, name)) = table.rsplit_once(&format!("{kind}."))
            && (before.is_empty() || before.starts_with("target."))
        {
            return Some((kind, format!("{name}.")));
        }
    }
    None
}

/// The value of a key of an inline table.
fn inline_value<'a>(value: &'a str, key: &str) -> Option<&'a str> {
    let inner = value.strip_prefix('{')?.strip_suffix('}')?;
    inner.split(',').find_map(|pair| {
        let (found, value) = pair.split_once('=')?;
        (found.trim() == key).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_found_in_every_spelling() {
        let text = r#"
[package]
name = "x" # not a dependency
[dependencies]
a.workspace = true
b = { workspace = true, optional = true }
c = "1" # c
d = { package = "real-d", version = "1", features = ["x", "y"] }
[dependencies.e]
path = "../e"
optional = true
[target.'cfg(shuttle)'.dependencies]
f = "1"
[target.'cfg(unix)'.dev-dependencies.g]
version = "1"
[dev-dependencies]
a.workspace = true
h.workspace = true
[workspace.dependencies]
i = "1"
[features]
j = ["b"]
"#;
        let found: Vec<(String, bool, bool)> = dependencies(text)
            .into_iter()
            .map(|of| (of.package, of.dev, of.optional))
            .collect();
        let expected = [
            ("a", false, false),
            ("b", false, true),
            ("c", false, false),
            ("real-d", false, false),
            ("e", false, true),
            ("f", false, false),
            ("g", true, false),
            ("a", true, false),
            ("h", true, false),
        ];
        let expected: Vec<_> = expected
            .map(|(package, dev, optional)| (package.to_owned(), dev, optional))
            .into();
        assert_eq!(found, expected);
    }

    #[test]
    fn arrays_may_span_lines() {
        let text = "[workspace]\nmembers = [\n  \"a\", # one\n  \"b\",\n]\nresolver = \"3\"\n";
        assert_eq!(strings_of(text, "workspace", "members"), ["a", "b"]);
        assert_eq!(
            value_of(text, "workspace", "resolver").as_deref(),
            Some("\"3\"")
        );
        assert!(strings_of(text, "workspace", "exclude").is_empty());
    }
}
