//! Dates.

use fs_core::Timestamp;

/// The time in UTC, to the minute: `1969-12-31 23:59`.
pub(super) fn date(time: Timestamp) -> String {
    let (days, secs) = (time.secs.div_euclid(86_400), time.secs.rem_euclid(86_400));
    // Civil date of a day number, in eras of 400 years that start on 1 March. 64 bits of seconds
    // are fewer days than could overflow here.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (secs / 3600, secs / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

#[cfg(test)]
mod tests {
    use super::date;
    use fs_core::Timestamp;

    #[test]
    fn dates_before_and_after_1970() {
        let at = |secs| date(Timestamp { secs, nanos: 0 });
        assert_eq!(at(0), "1970-01-01 00:00");
        assert_eq!(at(-60), "1969-12-31 23:59");
        assert_eq!(at(951_827_640), "2000-02-29 12:34");
        assert_eq!(at(1_795_478_400), "2026-11-24 00:00");
        for extreme in [i64::MIN, i64::MAX] {
            at(extreme);
        }
    }
}
