//! Points in time: RFC 3339 in, RFC 3339 UTC out.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECONDS_PER_DAY: i64 = 86_400;

/// A point in time to the nanosecond, shown as RFC 3339 in UTC.
///
/// The fraction is shown with as many digits as it needs, as docker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

impl Timestamp {
    /// The time now, in whole milliseconds: what is written down needs no more.
    pub fn now() -> Self {
        let now = Self::from(SystemTime::now());
        Self {
            nanos: now.nanos - now.nanos % 1_000_000,
            ..now
        }
    }

    /// `seconds` and `nanos` since 1970-01-01T00:00:00Z.
    pub const fn new(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos }
    }

    /// A time in milliseconds since 1970, as the devcontainer CLI's log has it.
    pub fn from_millis(millis: i64) -> Self {
        Self {
            seconds: millis.div_euclid(1000),
            nanos: (millis.rem_euclid(1000) * 1_000_000) as u32,
        }
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.seconds
            .saturating_mul(1000)
            .saturating_add(i64::from(self.nanos / 1_000_000))
    }

    /// Nanoseconds since 1970, as far as they can be counted.
    pub fn as_nanos(self) -> i64 {
        let nanos = self.seconds.saturating_mul(1_000_000_000);
        nanos.saturating_add(i64::from(self.nanos))
    }

    /// Seconds from `earlier` to this time, negative where that is later.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.seconds - earlier.seconds) as f64
            + (f64::from(self.nanos) - f64::from(earlier.nanos)) / 1e9
    }

    /// Reads an RFC 3339 time with `Z` or an offset (podman writes local offsets).
    /// `None` where the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let (clock, rest) = rest.split_at_checked(8)?;
        let mut date = date.split('-').map(digits);
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let mut clock = clock.split(':').map(digits);
        let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (nanos, zone) = match rest.strip_prefix('.') {
            Some(rest) => fraction(rest)?,
            None => (0, rest),
        };
        let local = days_from_civil(year, month, day) * SECONDS_PER_DAY
            + hour * 3600
            + minute * 60
            + second;
        Some(Self {
            seconds: local - offset(zone)?,
            nanos,
        })
    }
}

fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// Nanoseconds and what follows the digits.
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

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    Some(sign * (digits(hours)? * 3600 + digits(minutes)? * 60))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the leap
/// day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
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
                let before = before.duration();
                let nanos = before.subsec_nanos();
                let seconds = -(before.as_secs() as i64);
                match nanos {
                    0 => Self::new(seconds, 0),
                    _ => Self::new(seconds - 1, 1_000_000_000 - nanos),
                }
            }
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.seconds.div_euclid(SECONDS_PER_DAY));
        let second = self.seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if self.nanos != 0 {
            let fraction = format!("{:09}", self.nanos);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("Z")
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
        check("2026-11-23T23:24:44Z", "2026-11-23T23:24:44Z");
        check(
            "2026-11-23T23:24:44.123456789Z",
            "2026-11-23T23:24:44.123456789Z",
        );
        check("2026-11-23T23:24:44.1200Z", "2026-11-23T23:24:44.12Z");
        check("2026-02-28T23:30:00-01:00", "2026-03-01T00:30:00Z");
        check("2024-02-28T23:30:00-01:00", "2024-02-29T00:30:00Z");
        check("2026-01-01T00:30:00.5+05:30", "2025-12-31T19:00:00.5Z");
        check("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z");
        check("1969-12-31T23:59:59.25Z", "1969-12-31T23:59:59.25Z");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2026-11-23",
            "2026-13-01T00:00:00Z",
            "2026-11-23T25:00:00Z",
            "2026-11-23T23:24:44",
            "2026-11-23T23:24:44.Z",
            "2026-11-23T23:24:44+0100",
            "+026-11-23T23:24:44Z",
            "２０２６-11-23T23:24:44Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn showing_and_reading_are_inverse(seconds in -62_135_596_800_i64..253_402_300_799, nanos in 0_u32..1_000_000_000) {
            let time = Timestamp::new(seconds, nanos);
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Timestamp::parse(&text);
        }
    }
}
