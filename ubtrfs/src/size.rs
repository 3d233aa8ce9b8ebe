//! Sizes as people write and read them.

/// Parses a size as `mkfs.btrfs` does: a number, and K, M, G, T, P or E for powers of 1024 in
/// either case, `iB` or `B` behind them allowed. A fraction is allowed before a suffix.
///
/// # Errors
///
/// A sentence that says what is wrong.
pub fn parse(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, suffix) = trimmed.split_at(digits.unwrap_or(trimmed.len()));
    let suffix = suffix.trim().to_ascii_lowercase();
    let unit = suffix
        .strip_suffix("ib")
        .or_else(|| suffix.strip_suffix('b'))
        .unwrap_or(&suffix);
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        "e" => 60,
        _ => return Err(format!("'{suffix}' is no unit; use K, M, G, T, P or E")),
    };
    let not_a_number = || format!("'{number}' is no number");
    let too_large = || format!("{trimmed} is too large");
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && (fraction.is_empty() || shift == 0)) {
        return Err(not_a_number());
    }
    let unit = 1u64 << shift;
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let mut size = whole.checked_mul(unit).ok_or_else(too_large)?;
    if !fraction.is_empty() {
        // More than nine digits would not change a byte of anything sensible.
        let fraction = &fraction[..fraction.len().min(9)];
        let value: u64 = fraction.parse().map_err(|_| not_a_number())?;
        let scale = 10u128.pow(fraction.len() as u32);
        let part = u128::from(value) * u128::from(unit) / scale;
        size = u64::try_from(part)
            .ok()
            .and_then(|part| size.checked_add(part))
            .ok_or_else(too_large)?;
    }
    Ok(size)
}

/// `bytes` with three or four digits and a unit: `1023 B`, `1.50 KiB`.
#[must_use]
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.995 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_powers_of_1024() {
        for (text, size) in [
            ("0", 0),
            ("4096", 4096),
            ("1k", 1024),
            ("2K", 2048),
            ("3MiB", 3 << 20),
            ("1.5G", 3 << 29),
            ("7tb", 7 << 40),
            ("15E", 15 << 60),
            (" 1 m ", 1 << 20),
        ] {
            assert_eq!(parse(text), Ok(size), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "k",
            "-1",
            "1.5",
            "1.",
            ".5k",
            "1x",
            "16E",
            "1kk",
            "99999999999999999999",
            "1.2.3k",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(human(1023), "1023 B");
        assert_eq!(human(1536), "1.50 KiB");
        assert_eq!(human(u64::MAX), "16.00 EiB");
        assert_eq!(human((1 << 20) - 1), "1.00 MiB");
    }
}
