//! How often the sampling heuristic errs, and what that costs: asks `advise` about each 128 KiB of
//! the files below some paths, compresses them all the same, and compares.
//!
//! `heuristic METHOD PATH...`, such as `heuristic zstd:3 /usr`. Prints for each reason how many
//! pieces it was given for, how many of those compression would store in fewer sectors, how many
//! not, how much of the bytes of those that shrink that saves, and how long asking and trying take
//! for one. `is_noise` is asked, too: the last line tells what it would have lost.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use compress::{
    Method, Registry, Spec, Verdict, Workspaces, advise, compress_piece, is_noise,
    is_noise_throughout, room_to_save,
};

const PIECE: usize = 128 << 10;
const SECTOR: usize = 4 << 10;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let method = args.first().and_then(|text| text.parse::<Spec>().ok());
    let (Some(method), [_, paths @ ..]) = (method.and_then(Spec::method), &args[..]) else {
        eprintln!("usage: heuristic METHOD PATH...");
        return ExitCode::from(2);
    };
    let mut survey = Survey::new(method);
    for path in paths {
        survey.walk(Path::new(path));
    }
    survey.print();
    ExitCode::SUCCESS
}

/// What became of the pieces that got one answer.
#[derive(Default)]
struct Row {
    shrank: u64,
    stayed: u64,
    /// Of those that shrank.
    bytes: u64,
    saved: u64,
    advising: Duration,
    compressing: Duration,
    /// Of that, what went into pieces that stayed.
    in_vain: Duration,
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.shrank += other.shrank;
        self.stayed += other.stayed;
        self.bytes += other.bytes;
        self.saved += other.saved;
        self.advising += other.advising;
        self.compressing += other.compressing;
        self.in_vain += other.in_vain;
    }

    fn count(&mut self, verdict: &Verdict, len: usize, advising: Duration, compressing: Duration) {
        self.advising += advising;
        self.compressing += compressing;
        match verdict {
            Verdict::Compressed { stored, .. } => {
                let len = len.next_multiple_of(SECTOR);
                self.shrank += 1;
                self.bytes += len as u64;
                self.saved += (len - stored) as u64;
            }
            Verdict::Raw(_) => {
                self.stayed += 1;
                self.in_vain += compressing;
            }
        }
    }

    fn print(&self, name: &str) {
        let pieces = self.shrank + self.stayed;
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / pieces.max(1) as f64;
        println!(
            "{name:26} {pieces:8} {:8} {:8} {:6.1} % {:8.1} {:8.1}",
            self.shrank,
            self.stayed,
            percent(self.saved, self.bytes),
            micros(self.advising),
            micros(self.compressing),
        );
    }
}

struct Survey {
    workspaces: Workspaces,
    method: Method,
    rows: BTreeMap<(bool, String), Row>,
    /// What `is_noise` says no to, and yes; and the same of `is_noise_throughout`.
    noise: [[Row; 2]; 2],
    piece: Vec<u8>,
    packed: Vec<u8>,
}

impl Survey {
    fn new(method: Method) -> Self {
        Self {
            workspaces: Workspaces::new(Registry::btrfs(), 1),
            method,
            rows: BTreeMap::new(),
            noise: Default::default(),
            piece: vec![0; PIECE],
            packed: vec![0; PIECE],
        }
    }

    /// Neither follows links nor minds what cannot be read.
    fn walk(&mut self, path: &Path) {
        let Ok(kind) = path.symlink_metadata().map(|meta| meta.file_type()) else {
            return;
        };
        if kind.is_file() {
            self.file(path);
        } else if kind.is_dir()
            && let Ok(entries) = path.read_dir()
        {
            let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            paths.iter().for_each(|path| self.walk(path));
        }
    }

    fn file(&mut self, path: &Path) {
        let Ok(mut file) = File::open(path) else {
            return;
        };
        loop {
            self.piece.resize(PIECE, 0);
            let mut len = 0;
            while let Ok(more @ 1..) = file.read(&mut self.piece[len..]) {
                len += more;
            }
            // What has one sector cannot save one.
            if room_to_save(len, SECTOR).is_none() {
                return;
            }
            self.piece.truncate(len);
            self.ask();
        }
    }

    fn ask(&mut self) {
        let start = Instant::now();
        let advice = advise(&self.piece);
        let advised = Instant::now();
        let quickly = is_noise(&self.piece);
        let asked = Instant::now();
        let throughout = is_noise_throughout(&self.piece);
        let ready = Instant::now();
        let (from, to) = (&self.piece, &mut self.packed);
        let verdict = compress_piece(&self.workspaces, self.method, from, to, SECTOR);
        let compressing = ready.elapsed();
        let key = (!advice.is_compress(), format!("{advice:?}"));
        let row = self.rows.entry(key).or_default();
        row.count(&verdict, self.piece.len(), advised - start, compressing);
        let answers = [(quickly, asked - advised), (throughout, ready - asked)];
        for (rows, (noise, asking)) in self.noise.iter_mut().zip(answers) {
            rows[usize::from(noise)].count(&verdict, self.piece.len(), asking, compressing);
        }
    }

    fn print(&self) {
        println!(
            "{:26} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "advice", "pieces", "shrank", "stayed", "saved", "us asked", "us tried"
        );
        let [mut yes, mut no] = [Row::default(), Row::default()];
        for ((is_no, name), row) in &self.rows {
            row.print(name);
            if *is_no { &mut no } else { &mut yes }.add(row);
        }
        yes.print("all that it wants");
        no.print("all that it does not");
        println!(
            "false yes: {:.2} % of those that do not shrink, {:.2} % of the answers yes",
            percent(yes.stayed, yes.stayed + no.stayed),
            percent(yes.stayed, yes.stayed + yes.shrank),
        );
        println!(
            "false no:  {:.2} % of those that shrink, {:.2} % of the answers no, {:.3} % of what \
             compression saves",
            percent(no.shrank, yes.shrank + no.shrank),
            percent(no.shrank, no.stayed + no.shrank),
            percent(no.saved, yes.saved + no.saved),
        );
        println!(
            "seconds:   {:.2} to try all, {:.2} of them in vain, {:.2} of these spared; {:.2} to ask",
            (yes.compressing + no.compressing).as_secs_f64(),
            (yes.in_vain + no.in_vain).as_secs_f64(),
            no.in_vain.as_secs_f64(),
            (yes.advising + no.advising).as_secs_f64(),
        );
        for (name, [other, noise]) in ["is_noise", "throughout"].iter().zip(&self.noise) {
            println!(
                "{name}: yes to {:.2} % of those that do not shrink, to {} of the {} that do, \
                 {:.4} % of what compression saves; {:.2} s of trying spared, {:.2} to ask",
                percent(noise.stayed, noise.stayed + other.stayed),
                noise.shrank,
                noise.shrank + other.shrank,
                percent(noise.saved, noise.saved + other.saved),
                noise.in_vain.as_secs_f64(),
                (noise.advising + other.advising).as_secs_f64(),
            );
        }
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}
