//! Scalars that people write with units: durations, percents, shares, sizes.
//!
//! Two kinds of proportion are told apart by type, and so by field. A [`Percent`] counts in hundredths: `25` and `25%`
//! are the same. A [`Share`] counts from 0 to 1: `0.01` and `1%` are the same.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A length of time, such as `250ms`, `1m30s` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) struct Duration(pub(crate) StdDuration);

/// A proportion in percent, kept in millionths of the whole: `0.5%` or `0.5` is 5,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Percent(pub(crate) u32);

/// A proportion from 0 to 1, such as `0.01` or `1%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Share(pub(crate) f64);

/// A number of bytes, such as `64KiB` or `65536`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

/// `auto`, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workers {
    Auto,
    Count(u32),
}

/// `p95`, or a length of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum HedgeAfter {
    P95,
    Delay(Duration),
}

/// Units of a duration, largest first.
const UNITS: [(&str, StdDuration); 5] = [
    ("d", StdDuration::from_secs(24 * 3600)),
    ("h", StdDuration::from_secs(3600)),
    ("m", StdDuration::from_secs(60)),
    ("s", StdDuration::from_secs(1)),
    ("ms", StdDuration::from_millis(1)),
];

/// Longest duration: beyond it, adding one to a clock need not be defined.
const LONGEST: StdDuration = StdDuration::from_secs(366 * 24 * 3600);

// === impl parse ===

/// A scalar that is read from its text. An error is a message and, on a second line, the remedy.
trait FromText: Sized {
    const EXPECTED: &'static str;
    fn from_text(text: &str) -> Result<Self, String>;
}

impl FromText for Duration {
    const EXPECTED: &'static str = "a duration";

    fn from_text(text: &str) -> Result<Self, String> {
        const HELP: &str = "write a number and a unit of ms, s, m, h or d, such as 250ms, 5s or 1m30s";
        let bad = || format!("`{text}` is not a duration\n{HELP}");
        let mut total = StdDuration::ZERO;
        let mut rest = text;
        let mut smallest = StdDuration::MAX;
        loop {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, after) = rest.split_at(digits);
            let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let (unit, after) = after.split_at(letters);
            let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, unit)| *unit).ok_or_else(bad)?;
            let number: u32 = number.parse().map_err(|_| bad())?;
            if unit >= smallest {
                return Err(bad());
            }
            smallest = unit;
            total = unit.checked_mul(number).and_then(|part| total.checked_add(part)).ok_or_else(bad)?;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        match total <= LONGEST {
            true => Ok(Self(total)),
            false => Err(format!("`{text}` is more than a year\nwrite at most 366d")),
        }
    }
}

impl fmt::Display for Duration {
    /// As it is read; what is shorter than a millisecond is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in UNITS {
            let length = length.as_millis();
            if rest >= length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

impl Percent {
    /// The whole.
    pub(crate) const ALL: Self = Self(1_000_000);
}

impl FromText for Percent {
    const EXPECTED: &'static str = "a percentage";

    fn from_text(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a percentage\nwrite a number from 0 to 100, such as 0.5% or 25");
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(bad());
        }
        if fraction.trim_end_matches('0').len() > 4 {
            return Err(format!("`{text}` is finer than a millionth of the whole\nwrite at most four decimals"));
        }
        let fraction: u32 = format!("{fraction:0<4}")[..4].parse().map_err(|_| bad())?;
        let whole: u32 = whole.parse().map_err(|_| bad())?;
        let millionths = whole.checked_mul(10_000).and_then(|millionths| millionths.checked_add(fraction));
        match millionths.filter(|&millionths| millionths <= 1_000_000) {
            Some(millionths) => Ok(Self(millionths)),
            None => Err(format!("`{text}` is more than 100 %\nwrite a number from 0 to 100")),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.0) / 10_000.0)
    }
}

impl FromText for Share {
    const EXPECTED: &'static str = "a share";

    fn from_text(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a share\nwrite a number from 0 to 1, or a percentage such as 1%");
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let (number, whole) = match text.strip_suffix('%') {
            Some(number) => (number, 100.0),
            None => (text, 1.0),
        };
        if !plain(number) {
            return Err(bad());
        }
        let share = number.parse::<f64>().map_err(|_| bad())? / whole;
        match share <= 1.0 {
            true => Ok(Self(share)),
            false if whole > 1.0 => {
                Err(format!("`{text}` is more than 100 %\nwrite a number from 0 to 1, or 0% to 100%"))
            }
            false => Err(format!(
                "`{text}` is more than the whole\nwrite a share from 0 to 1, or `{text}%` for a percentage"
            )),
        }
    }
}

impl FromText for ByteSize {
    const EXPECTED: &'static str = "a size";

    fn from_text(text: &str) -> Result<Self, String> {
        let bad =
            || format!("`{text}` is not a size\nwrite bytes, or a number and a unit of KiB, MiB or GiB, such as 64KiB");
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(bad()),
        };
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).map(Self).ok_or_else(bad)
    }
}

impl FromText for Workers {
    const EXPECTED: &'static str = "`auto` or a number of threads";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Count).map_err(|_| {
                format!("`{text}` is not a number of threads\nwrite `auto` for one a core, or a whole number")
            }),
        }
    }
}

impl FromText for HedgeAfter {
    const EXPECTED: &'static str = "`p95` or a duration";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "p95" => Ok(Self::P95),
            _ => Duration::from_text(text).map(Self::Delay).map_err(|_| {
                format!("`{text}` is neither `p95` nor a duration\nwrite p95, or a duration such as 50ms")
            }),
        }
    }
}

// === impl Serialize ===

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Percent {
    /// With its sign, so that nobody takes it for a share.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}%", f64::from(self.0) / 10_000.0))
    }
}

// === impl Deserialize, JsonSchema ===

struct TextVisitor<T>(std::marker::PhantomData<T>);

impl<T: FromText> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }
}

macro_rules! scalar {
    ($($type:ident: $schema:tt;)+) => {
        $(
            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_str(TextVisitor(std::marker::PhantomData))
                }
            }

            impl JsonSchema for $type {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($type).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )+
    };
}

scalar! {
    Duration: {
        "description": "A length of time: whole numbers with the units d, h, m, s and ms, largest first.",
        "type": "string",
        "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        "minLength": 2,
        "examples": ["250ms", "1m30s", "7d"]
    };
    Percent: {
        "description": "A percentage, with or without its sign: 25 and 25% are the same. At most four decimals.",
        "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 100 },
            { "type": "string", "pattern": "^[0-9]{1,3}(\\.[0-9]+)?%?$" }
        ],
        "examples": [25, "0.5%"]
    };
    Share: {
        "description": "A share of the whole: 0.01 and 1% are the same.",
        "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 1 },
            { "type": "string", "pattern": "^[0-9]*\\.?[0-9]+%?$" }
        ],
        "examples": [0.01, "1%"]
    };
    ByteSize: {
        "description": "A number of bytes, with the unit KiB, MiB or GiB if any.",
        "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$" }
        ],
        "examples": ["64KiB", 65536]
    };
    Workers: {
        "description": "`auto` for one a core, or a number.",
        "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1, "maximum": 1024 }]
    };
    HedgeAfter: {
        "description": "`p95` for the backend's live 95th percentile, or a fixed length of time.",
        "anyOf": [
            { "const": "p95" },
            { "type": "string", "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$", "minLength": 2 }
        ]
    };
}

#[cfg(test)]
mod tests;
