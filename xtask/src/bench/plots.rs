//! Figures as bars: one SVG for each table, the same text for the same figures.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use super::figures::{Figures, Row, median};

const WIDTH: f64 = 720.0;
const MARGIN: f64 = 16.0;
/// Where the bars begin to end: behind them stands what was measured.
const BARS: f64 = WIDTH - 2.0 * MARGIN - 150.0;
const TOP: f64 = 62.0;
const ROW: f64 = 44.0;
const BAR: f64 = 16.0;
const AXIS: f64 = 26.0;

/// Colours for both schemes, on a ground of its own: the page around it may have either.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}\
.head{font-size:15px;font-weight:600}\
.note,.tick{font-size:12px;fill:#59636e}\
.tick{text-anchor:middle}\
.ground{fill:#fff}\
.grid{stroke:#d9dee3}\
.other{fill:#a3acb6}\
.ours{fill:#2f7fd1}\
.range{stroke:#1f2328;stroke-width:1.5;fill:none}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}\
.note,.tick{fill:#9aa4ae}\
.ground{fill:#0d1117}\
.grid{stroke:#30363d}\
.other{fill:#6e7781}\
.ours{fill:#4493f8}\
.range{stroke:#e6edf3}}";

/// Writes a file for each group into `dir`.
pub(crate) fn write(dir: &Path, figures: &Figures) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for group in figures.groups() {
        fs::write(dir.join(file_name(group)), of_group(figures, group))?;
    }
    Ok(())
}

/// `pack, noise` is in `pack-noise.svg`.
pub(crate) fn file_name(group: &str) -> String {
    let words = group.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("-").to_lowercase() + ".svg"
}

fn of_group(figures: &Figures, group: &str) -> String {
    let rows = figures.of_group(group);
    let ours = rows.iter().copied().find(|row| row.is_ours());
    let most = rows
        .iter()
        .flat_map(|row| row.seconds())
        .fold(0.0, f64::max);
    let rounds = rows.iter().map(|row| row.samples.len()).max().unwrap_or(0);
    let step = step_of(most);
    let scale = |seconds: f64| MARGIN + seconds / most.max(f64::MIN_POSITIVE) * BARS;
    let bottom = TOP + ROW * rows.len() as f64;
    let height = bottom + AXIS;
    let title = escaped(group);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\" rx=\"6\"/>\n\
         <text class=\"head\" x=\"{MARGIN}\" y=\"26\">{title}</text>\n\
         <text class=\"note\" x=\"{MARGIN}\" y=\"45\">seconds, shorter is better; median of {rounds}, \
         with the shortest and the longest</text>\n"
    );
    for (value, text) in ticks(most, step) {
        let x = scale(value);
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{x:.1} {:.1}V{bottom:.1}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>",
            TOP - 4.0,
            bottom + 17.0
        );
    }
    for (nth, row) in rows.iter().enumerate() {
        let top = TOP + ROW * nth as f64;
        bar(&mut out, row, ours, top, &scale);
    }
    out + "</svg>\n"
}

fn bar(out: &mut String, row: &Row, ours: Option<&Row>, top: f64, scale: &dyn Fn(f64) -> f64) {
    let seconds = row.seconds();
    let middle = median(&seconds).unwrap_or(0.0);
    let least = seconds.iter().copied().fold(middle, f64::min);
    let most = seconds.iter().copied().fold(middle, f64::max);
    let class = if row.is_ours() { "ours" } else { "other" };
    let (y, line) = (top + 18.0, top + 18.0 + BAR / 2.0);
    let (zero, from, to) = (scale(0.0), scale(least), scale(most));
    let _ = writeln!(
        out,
        "<text x=\"{zero:.1}\" y=\"{:.1}\">{}</text>\
         <rect class=\"{class}\" x=\"{zero:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\"/>",
        top + 13.0,
        escaped(&row.name),
        scale(middle) - zero,
    );
    if least < most {
        let (cap, end) = (line - 4.0, line + 4.0);
        let _ = writeln!(
            out,
            "<path class=\"range\" d=\"M{from:.1} {line:.1}H{to:.1}\
             M{from:.1} {cap:.1}V{end:.1}M{to:.1} {cap:.1}V{end:.1}\"/>"
        );
    }
    let ratio = ours.filter(|_| !row.is_ours());
    let ratio = ratio.and_then(|ours| row.times(ours));
    let ratio = ratio.map_or(String::new(), |ratio| format!(", {ratio:.2} times ours"));
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\">{middle:.2}{ratio}</text>",
        to + 7.0,
        line + 4.5
    );
}

/// A power of ten, or two or five of them, such that there are two to six of it in `most`.
fn step_of(most: f64) -> f64 {
    let power = 10_f64.powf(most.max(1e-9).log10().floor());
    match most / power {
        n if n < 2.0 => power / 2.0,
        n if n < 5.0 => power,
        _ => power * 2.0,
    }
}

/// Where there are lines across the bars, and what is written below them.
fn ticks(most: f64, step: f64) -> Vec<(f64, String)> {
    let decimals = (-step.log10()).ceil().clamp(0.0, 9.0) as usize;
    let values = (0..=10).map(|nth| f64::from(nth) * step);
    values
        .take_while(|value| *value <= most)
        .map(|value| (value, format!("{value:.decimals$}")))
        .collect()
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::figures::Sample;
    use super::super::scratch::Scratch;
    use super::*;

    const GROUP: &str = "pack, a < b, zstd:3";

    fn figures() -> Figures {
        let mut figures = Figures::default();
        let mut add = |name, round, seconds| {
            let sample = Sample {
                seconds,
                ..Sample::default()
            };
            figures.add(GROUP, name, round, sample);
        };
        add("ours: ubtrfs pack", 0, 1.0);
        add("ours: ubtrfs pack", 1, 1.5);
        add("ours: ubtrfs pack", 2, 1.1);
        add("cp & sync", 0, 4.0);
        figures
    }

    #[test]
    fn bars_are_as_long_as_the_medians_and_whiskers_as_the_extremes() {
        let svg = of_group(&figures(), GROUP);
        let x = |seconds: f64| MARGIN + seconds / 4.0 * BARS;
        let width = format!(
            "class=\"ours\" x=\"16.0\" y=\"80.0\" width=\"{:.1}\"",
            x(1.1) - MARGIN
        );
        assert!(svg.contains(&width), "{width} in {svg}");
        let range = format!("d=\"M{:.1} 88.0H{:.1}", x(1.0), x(1.5));
        assert!(svg.contains(&range), "{range} in {svg}");
        // One sample has no range.
        assert_eq!(svg.matches("class=\"range\"").count(), 1);
        assert!(svg.contains(">1.10</text>"));
        assert!(svg.contains(">4.00, 4.00 times ours</text>"));
        assert!(svg.contains("median of 3,"));
    }

    #[test]
    fn names_are_text_and_no_markup() {
        let svg = of_group(&figures(), GROUP);
        assert!(svg.contains("aria-label=\"pack, a &lt; b, zstd:3\""));
        assert!(svg.contains(">cp &amp; sync</text>"));
        assert_eq!(escaped("\">"), "&quot;&gt;");
        // Every tag that is opened is closed.
        for (opened, closed) in [("<svg", "</svg>"), ("<text", "</text>")] {
            assert_eq!(svg.matches(opened).count(), svg.matches(closed).count());
        }
    }

    #[test]
    fn lines_are_at_round_numbers() {
        let told = |most| -> Vec<String> {
            let ticks = ticks(most, step_of(most)).into_iter();
            ticks.map(|(_, text)| text).collect()
        };
        assert_eq!(told(1.7), ["0.0", "0.5", "1.0", "1.5"]);
        assert_eq!(told(4.0), ["0", "1", "2", "3", "4"]);
        assert_eq!(told(6.3), ["0", "2", "4", "6"]);
        assert_eq!(told(0.53), ["0.0", "0.2", "0.4"]);
        assert_eq!(told(23.0), ["0", "10", "20"]);
        assert_eq!(told(0.0), ["0.000000000"]);
    }

    #[test]
    fn a_file_for_each_group() {
        let scratch = Scratch::new(&std::env::temp_dir(), "plots").unwrap();
        let dir = scratch.dir().join("new");
        write(&dir, &figures()).unwrap();
        let written = fs::read_to_string(dir.join("pack-a-b-zstd-3.svg")).unwrap();
        assert_eq!(written, of_group(&figures(), GROUP));
        write(&dir, &Figures::default()).unwrap();
    }
}
