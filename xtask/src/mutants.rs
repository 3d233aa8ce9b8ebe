//! `cargo xtask mutants`: does a test fail for each way to break the code?

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use crate::workspace;

/// Of which crates (an empty list means all), and which part of the mutants.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Mutants {
    pub(crate) packages: Vec<String>,
    /// `K/N`: the K-th of N parts, counted from 0.
    pub(crate) shard: Option<(u32, u32)>,
}

/// Crates with the files to mutate.
const CRATES: [(&str, &[&str]); 4] = [
    ("ordered-wq", &["*.rs"]),
    ("extent-tree", &["*.rs"]),
    ("delalloc", &["*.rs"]),
    // What has to be as others write and read it.
    ("compress", &["lzo.rs", "zlib.rs", "zstd.rs", "piece.rs"]),
];

/// What the ordinary tests don't compile, or only in part: the model checkers'.
const NOT: [&str; 3] = ["sync.rs", "models.rs", "orderings.rs"];

/// The survivors that are explained.
const EXPLAINED: &str = "mutants.toml";

/// A mutant that no test noticed.
#[derive(Clone, Debug, Default, PartialEq)]
struct Survivor {
    file: String,
    /// What cargo-mutants says behind the position: what is replaced by what, and where.
    mutation: String,
    /// Why that is no fault; empty as long as nobody knows.
    why: String,
}

/// Runs cargo-mutants and prints what survived without an explanation; `false` if anything did.
///
/// What an earlier run caught is not tried again: all is in `mutants/CRATE` of the target
/// directory.
pub(crate) fn run(root: &Path, mutants: &Mutants) -> io::Result<bool> {
    let version = cargo(root).args(["mutants", "--version"]).output()?;
    if !version.status.success() {
        println!(
            "mutants needs cargo-mutants, which isn't installed: \
             cargo install cargo-mutants --version ^27 --locked"
        );
        return Ok(false);
    }
    let explained = parse(&fs::read_to_string(root.join(EXPLAINED))?).map_err(io::Error::other)?;
    let mut passed = true;
    let mut any = false;
    for (name, files) in CRATES {
        let wanted = &mutants.packages;
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        any = true;
        println!("==> {name}");
        passed &= one_crate(root, name, files, mutants.shard, &explained)?;
    }
    if !any {
        println!("no crate of that name is mutated");
    }
    Ok(passed && any)
}

fn one_crate(
    root: &Path,
    name: &str,
    files: &[&str],
    shard: Option<(u32, u32)>,
    explained: &[Survivor],
) -> io::Result<bool> {
    let output = output_dir(root, name, shard);
    fs::create_dir_all(&output)?;
    count_hangs_as_caught(&output.join("mutants.out"))?;
    let mut cargo = cargo(root);
    cargo.args(["mutants", "--iterate", "--no-shuffle", "--colors=never"]);
    cargo.args(["--package", name]).arg("--output").arg(&output);
    for file in files {
        cargo.arg(format!("--file={name}/src/{file}"));
    }
    for file in NOT {
        cargo.arg(format!("--exclude={name}/src/{file}"));
    }
    // What Debug prints is for people. cargo-mutants knows tests by `cfg(test)` alone, and some of
    // ours have a longer condition.
    cargo.args(["--exclude-re=impl fmt::Debug", r"--exclude-re=\btests::"]);
    if let Some((k, n)) = shard {
        cargo.arg(format!("--shard={k}/{n}"));
    }
    // No doc tests: an example is no test.
    cargo.args(["--", "--all-features", "--lib", "--tests"]);
    // It builds a new copy of the project each time; what isn't ours need not be built again.
    cargo.env("CARGO_TARGET_DIR", output.join("build"));
    // Nobody debugs a mutant, and nobody wants to know the smallest input that kills it.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "none");
    cargo.env("PROPTEST_MAX_SHRINK_ITERS", "0");
    let status = cargo.status()?;
    // 2: some survived; 3: some ran into the time limit, which is as good as caught.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        println!("{name}: cargo mutants failed ({status})");
        return Ok(false);
    }
    let missed = fs::read_to_string(output.join("mutants.out/missed.txt"))?;
    let survivors: Vec<_> = missed.lines().filter_map(survivor).collect();
    let explained = explained.iter().filter(|known| {
        let file = known.file.strip_prefix(name);
        file.is_some_and(|file| file.starts_with('/'))
    });
    let (unexplained, stale) = compare(&survivors, explained.cloned().collect());
    for survivor in &unexplained {
        println!("unexplained: {}: {}", survivor.file, survivor.mutation);
    }
    if shard.is_none() {
        for known in &stale {
            println!("no longer survives: {}: {}", known.file, known.mutation);
        }
    }
    println!(
        "{name}: {} survived, {} without an explanation in {EXPLAINED}",
        survivors.len(),
        unexplained.len()
    );
    Ok(unexplained.is_empty())
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(root);
    cargo
}

fn output_dir(root: &Path, name: &str, shard: Option<(u32, u32)>) -> PathBuf {
    let dir = match shard {
        None => name.to_owned(),
        Some((k, n)) => format!("{name}-{k}-of-{n}"),
    };
    workspace::target_dir(root).join("mutants").join(dir)
}

/// A hang is as good as a failed test; but cargo-mutants would try it again, every time for as long.
fn count_hangs_as_caught(results: &Path) -> io::Result<()> {
    let list = |name| match fs::read_to_string(results.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    };
    let hangs = list("timeout.txt")?;
    if !hangs.is_empty() {
        let caught = list("caught.txt")?;
        fs::write(results.join("caught.txt"), caught + &hangs)?;
    }
    Ok(())
}

/// Of a line `FILE:LINE:COLUMN: MUTATION`; the position moves with every edit above it.
fn survivor(line: &str) -> Option<Survivor> {
    let (position, mutation) = line.split_once(": ")?;
    let mut parts = position.rsplitn(3, ':');
    let file = parts.nth(2)?;
    Some(Survivor {
        file: file.to_owned(),
        mutation: mutation.to_owned(),
        why: String::new(),
    })
}

/// Survivors that nothing explains, and explanations of what doesn't survive. One explanation is
/// good for one survivor: what looks the same twice in a function needs two.
fn compare(survivors: &[Survivor], mut known: Vec<Survivor>) -> (Vec<Survivor>, Vec<Survivor>) {
    let mut unexplained = Vec::new();
    for survivor in survivors {
        let same = |of: &Survivor| (&of.file, &of.mutation) == (&survivor.file, &survivor.mutation);
        match known.iter().position(same) {
            Some(at) => drop(known.swap_remove(at)),
            None => unexplained.push(survivor.clone()),
        }
    }
    (unexplained, known)
}

/// As much of TOML as the list needs: `[[survivor]]`, each with `file`, `mutation` and `why`.
fn parse(text: &str) -> Result<Vec<Survivor>, String> {
    let mut list: Vec<Survivor> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        let wrong = |what| format!("{EXPLAINED}:{}: {what}", at + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "[[survivor]]" {
            list.push(Survivor::default());
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| wrong("no key"))?;
        let value = value.trim();
        let value = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let value = value
            .ok_or_else(|| wrong("no string"))?
            .replace("\\\"", "\"");
        let survivor = list
            .last_mut()
            .ok_or_else(|| wrong("no [[survivor]] yet"))?;
        match key.trim() {
            "file" => survivor.file = value,
            "mutation" => survivor.mutation = value,
            "why" => survivor.why = value,
            _ => return Err(wrong("not file, mutation or why")),
        }
    }
    let half = |of: &&Survivor| of.file.is_empty() || of.mutation.is_empty() || of.why.is_empty();
    match list.iter().find(half) {
        Some(of) => Err(format!("{EXPLAINED}: not all is told of {of:?}")),
        None => Ok(list),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Survivor {
        survivor(line).unwrap()
    }

    #[test]
    fn positions_are_left_out() {
        let survivor = of("a/src/b.rs:12:5: replace C::d -> Option<u8> with None");
        assert_eq!(survivor.file, "a/src/b.rs");
        assert_eq!(survivor.mutation, "replace C::d -> Option<u8> with None");
    }

    #[test]
    fn an_explanation_is_good_for_one() {
        let known = "# why\n[[survivor]]\nfile = \"a.rs\"\nmutation = \"replace > with \\\"\"\nwhy = \"x\"\n";
        let known = parse(known).unwrap();
        let twice = [
            of("a.rs:1:2: replace > with \""),
            of("a.rs:3:4: replace > with \""),
        ];
        let (unexplained, stale) = compare(&twice, known.clone());
        assert_eq!((unexplained, stale), (vec![twice[1].clone()], vec![]));
        assert_eq!(compare(&[], known.clone()), (vec![], known));
    }

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        let entry = "[[survivor]]\nfile = \"a.rs\"\nmutation = \"b\"\n";
        assert!(parse(entry).unwrap_err().contains("b"));
        assert!(parse("file = \"a\"").unwrap_err().contains(":1:"));
        assert!(
            parse("[[survivor]]\nwho = \"a\"")
                .unwrap_err()
                .contains(":2:")
        );
    }

    #[test]
    fn the_committed_list_can_be_read() {
        let text = fs::read_to_string(workspace::root().join(EXPLAINED)).unwrap();
        let known = parse(&text).unwrap();
        for of in &known {
            let name = of.file.split('/').next().unwrap();
            assert!(CRATES.iter().any(|(known, _)| *known == name), "{of:?}");
        }
    }
}
