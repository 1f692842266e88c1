//! Points in time, read and written as RFC 3339.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECONDS_PER_DAY: i64 = 86_400;
/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z, in seconds.
const EARLIEST: i64 = -62_167_219_200;
const LATEST: i64 = 253_402_300_799;

/// A point in time with nanoseconds, displayed as RFC 3339 in UTC.
///
/// It is displayed with three digits of the second, cut off and not rounded, so that texts have the order of their times,
/// and every language reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

impl Timestamp {
    /// Returns the current time, cut to milliseconds, which is enough for the log and `state.json`.
    pub fn now() -> Self {
        let now = Self::from(SystemTime::now());
        Self {
            nanos: now.nanos - now.nanos % 1_000_000,
            ..now
        }
    }

    /// Returns the time `seconds` and `nanos` after 1970-01-01T00:00:00Z.
    pub const fn new(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos }
    }

    /// Returns the time `millis` milliseconds after 1970-01-01T00:00:00Z, the unit of the devcontainer CLI's log.
    pub fn from_millis(millis: i64) -> Self {
        Self {
            seconds: millis.div_euclid(1000),
            nanos: (millis.rem_euclid(1000) * 1_000_000) as u32,
        }
    }

    /// Returns the time `millis` milliseconds after 1970-01-01T00:00:00Z, unless its year has more than four digits.
    pub fn checked_from_millis(millis: i64) -> Option<Self> {
        let time = Self::from_millis(millis);
        (EARLIEST..=LATEST).contains(&time.seconds).then_some(time)
    }

    /// Returns the milliseconds since 1970-01-01T00:00:00Z, rounded down and saturating.
    pub fn as_millis(self) -> i64 {
        self.seconds
            .saturating_mul(1000)
            .saturating_add(i64::from(self.nanos / 1_000_000))
    }

    /// Returns the seconds since 1970-01-01T00:00:00Z with nine decimals, as `docker events --since` takes them.
    pub fn as_seconds_text(self) -> String {
        format!("{}.{:09}", self.seconds, self.nanos)
    }

    /// Returns the nanoseconds since 1970-01-01T00:00:00Z, saturating.
    pub fn as_nanos(self) -> i64 {
        let nanos = self.seconds.saturating_mul(1_000_000_000);
        nanos.saturating_add(i64::from(self.nanos))
    }

    /// Returns the seconds from `earlier` to this time. They are negative if `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.seconds.saturating_sub(earlier.seconds) as f64
            + (f64::from(self.nanos) - f64::from(earlier.nanos)) / 1e9
    }

    /// Reads an RFC 3339 time with `Z` or an offset (podman writes local offsets). Returns `None` for other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, separated) = text.split_at_checked(10)?;
        let after_date = separated.strip_prefix(['T', 't', ' '])?;
        let (clock, after_clock) = after_date.split_at_checked(8)?;
        let [year, month, day] = fields(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
        if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (nanos, zone) = match after_clock.strip_prefix('.') {
            Some(after_point) => fraction(after_point)?,
            None => (0, after_clock),
        };
        let local = days_from_civil(year, month, day) * SECONDS_PER_DAY
            + hour * 3600
            + minute * 60
            + second;
        let seconds = local - offset(zone)?;
        // A time that is shown must be readable again, and takes a year of four digits.
        let has_four_digits = (EARLIEST..=LATEST).contains(&seconds);
        has_four_digits.then_some(Self { seconds, nanos })
    }
}

/// Reads numbers with this separator between them, each with so many digits.
fn fields<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let numbers = widths.map(|width| digits(parts.next().filter(|part| part.len() == width)?));
    let all: Vec<i64> = numbers.into_iter().collect::<Option<_>>()?;
    all.try_into().ok().filter(|_| parts.next().is_none())
}

/// Reads a number without a sign.
fn digits(text: &str) -> Option<i64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Returns the nanoseconds of a fraction, and the text after its digits.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (all, zone) = text.split_at(end);
    let kept = all.get(..all.len().min(9))?;
    let value: u32 = kept.parse().ok()?;
    let scale = 10_u32.pow(9 - kept.len() as u32);
    Some((value * scale, zone))
}

/// Returns the offset of `zone` from UTC in seconds, positive to the east.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let [hours, minutes] = fields(zone.get(1..)?, ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Returns the days since 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the
/// leap day is the last day of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year_from_march = if month <= 2 { year - 1 } else { year };
    let era = year_from_march.div_euclid(400);
    let year_of_era = year_from_march.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Returns the number of days of a month.
fn days_in(year: i64, month: i64) -> i64 {
    let (next_year, next_month) = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    days_from_civil(next_year, next_month, 1) - days_from_civil(year, month, 1)
}

/// Returns the year, month and day of a number that [`days_from_civil`] returns.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days_since_era_0 = days + 719_468;
    let era = days_since_era_0.div_euclid(146_097);
    let day_of_era = days_since_era_0.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::new(after.as_secs() as i64, after.subsec_nanos()),
            Err(before) => {
                let earlier = before.duration();
                let seconds = -(earlier.as_secs() as i64);
                match earlier.subsec_nanos() {
                    0 => Self::new(seconds, 0),
                    nanos => Self::new(seconds - 1, 1_000_000_000 - nanos),
                }
            }
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.seconds.div_euclid(SECONDS_PER_DAY));
        let second_of_day = self.seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute) = (second_of_day / 3600, second_of_day / 60 % 60);
        let second = second_of_day % 60;
        let millis = self.nanos / 1_000_000;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a time should be as in RFC 3339"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &str) {
        let shown = Timestamp::parse(text).map(|t| t.to_string());
        assert_eq!(shown.as_deref(), Some(expected), "{text}");
    }

    #[test]
    fn rfc_3339_is_read_and_shown_in_utc() {
        check("2026-11-23T23:24:44Z", "2026-11-23T23:24:44.000Z");
        check("2026-11-23T23:24:44.123456789Z", "2026-11-23T23:24:44.123Z");
        check("2026-11-23T23:24:44.1200Z", "2026-11-23T23:24:44.120Z");
        check("2026-02-28T23:30:00-01:00", "2026-03-01T00:30:00.000Z");
        check("2024-02-28T23:30:00-01:00", "2024-02-29T00:30:00.000Z");
        check("2026-01-01T00:30:00.5+05:30", "2025-12-31T19:00:00.500Z");
        check("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z");
        check("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z");
        check("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z");
        check("2024-02-29T00:00:00+23:59", "2024-02-28T00:01:00.000Z");
        check("1969-12-31T23:59:59.25Z", "1969-12-31T23:59:59.250Z");
    }

    #[test]
    fn a_time_that_cannot_be_written_is_none() {
        assert_eq!(Timestamp::checked_from_millis(i64::MAX), None);
        assert_eq!(Timestamp::checked_from_millis(i64::MIN), None);
        let last = Timestamp::checked_from_millis(LATEST * 1000 + 999).unwrap();
        assert_eq!(last.to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::checked_from_millis(LATEST * 1000 + 1000), None);
        let far = Timestamp::new(i64::MAX, 0).seconds_since(Timestamp::new(i64::MIN, 0));
        assert!(far > 0.0);
    }

    #[test]
    fn other_text_is_not_a_time() {
        for text in [
            "",
            "yesterday",
            "2026-11-23",
            "2026-13-01T00:00:00Z",
            "2026-11-23T25:00:00Z",
            "2026-11-23T23:24:44",
            "2026-11-23T23:24:44.Z",
            "2026-11-23T23:24:44+0100",
            "2026-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "12026-1-1T00:00:00Z",
            "2026-1-001T00:00:00Z",
            "2026-11-23T1:002:03Z",
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00+00:01",
            "2026-11-23T23:24:44+24:00",
            "2026-11-23T23:24:44+00:60",
            "2026-11-23T23:24:44+9223372036854775807:00",
            "2026-11-23T23:24:44-99999999999999:99999999",
            "2026-11-23T23:24:44+:",
            "2026-11-23T23:24:44+01:00x",
            "+026-11-23T23:24:44Z",
            "20216-1-24T20:45:56Z",
            "2026-1-234T20:45:56Z",
            "2026-11-23T1:2:3:4Z",
            "2026-11-23T23:24:44+24:00",
            "2026-11-23T23:24:44+01:60",
            "2026-11-23T23:24:44-9999999999999999:00",
            "9999-12-31T23:30:00-01:00",
            "0000-01-01T00:30:00+01:00",
            "２０２６-11-23T23:24:44Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn showing_and_reading_are_inverse(seconds in -62_135_596_800_i64..253_402_300_799, millis in 0_u32..1_000) {
            let time = Timestamp::new(seconds, millis * 1_000_000);
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Timestamp::parse(&text);
        }
    }
}
