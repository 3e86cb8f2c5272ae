//! What scalars are read from, and what they are written as.

use super::*;

fn duration(text: &str) -> Option<u128> {
    Duration::from_text(text).ok().map(|duration| duration.0.as_millis())
}

fn percent(text: &str) -> Option<u32> {
    Percent::from_text(text).ok().map(|percent| percent.0)
}

fn share(text: &str) -> Option<f64> {
    Share::from_text(text).ok().map(|share| share.0)
}

fn size(text: &str) -> Option<u64> {
    ByteSize::from_text(text).ok().map(|size| size.0)
}

#[test]
fn durations_are_numbers_with_units_largest_first() {
    assert_eq!(duration("250ms"), Some(250));
    assert_eq!(duration("1m30s"), Some(90_000));
    assert_eq!(duration("1h2m3s4ms"), Some(3_723_004));
    assert_eq!(duration("7d"), duration("168h"));
    for bad in
        ["", "5", "s", "5 s", "-5s", "1.5s", "30s1m", "1s1s", "5w", "9999999999s", "8785h", "367d", "5h1d", "５s"]
    {
        assert_eq!(duration(bad), None, "{bad}");
    }
}

#[test]
fn a_percent_counts_in_hundredths_with_or_without_its_sign() {
    assert_eq!(percent("25"), Some(250_000));
    assert_eq!(percent("25%"), Some(250_000));
    assert_eq!(percent("0.5%"), Some(5_000));
    assert_eq!(percent("99.9999"), Some(999_999));
    assert_eq!(percent("100.00000"), Some(1_000_000));
    for bad in ["", "%", "-1", "100.1", "101", "1e2", "1.", ".5", "0.00001", "5 %", "4294967296", "1.é"] {
        assert_eq!(percent(bad), None, "{bad}");
    }
}

#[test]
fn a_share_counts_from_0_to_1_unless_it_has_a_percent_sign() {
    assert_eq!(share("0.01"), Some(0.01));
    assert_eq!(share("1%"), Some(0.01));
    assert_eq!(share("1"), Some(1.0));
    for bad in ["", "2", "101%", "-0.1", "nan", "inf", "1e-2", ".", "%"] {
        assert_eq!(share(bad), None, "{bad}");
    }
}

#[test]
fn sizes_are_bytes_or_have_a_binary_unit() {
    assert_eq!(size("65536"), Some(65_536));
    assert_eq!(size("64KiB"), Some(65_536));
    assert_eq!(size("1GiB"), Some(1 << 30));
    for bad in ["", "KiB", "64K", "64kb", "1.5MiB", "-1", "99999999999GiB"] {
        assert_eq!(size(bad), None, "{bad}");
    }
}
