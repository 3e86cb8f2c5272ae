//! What holds of every trace context, also of one that nobody sends: the codec against a naive model of the text.

#[path = "trust_model/mod.rs"]
mod model;
#[path = "trust_model/parent.rs"]
mod parent;

use http::{HeaderMap, HeaderValue};
use model::{Change, Wanted, WantedOt, check_edit, is_mark_value, trimmed};
use parent::check_parent;
use patchgate_proxy::trust::{
    Flags, Incoming, Mark, NotAMark, OtEdit, ParentSampling, Randomness, SamplingInput, SpanId, Threshold,
    ThresholdField, TraceId, TraceParent, outgoing, traceparent, tracestate,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Failures are printed in their smallest form, to be kept as tests of their own.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(2_048))]

    #[test]
    fn a_list_is_read_edited_and_written_as_the_model_does(lines in lines(), change in change()) {
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        check_edit(&lines, &change);
    }

    #[test]
    fn arbitrary_bytes_are_a_list_or_none(lines in vec(vec(any::<u8>(), 0..40), 0..4), change in change()) {
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        check_edit(&lines, &change);
    }

    #[test]
    fn a_crowded_list_loses_members_as_the_model_does(lines in crowded_lines(), change in change()) {
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        check_edit(&lines, &change);
    }

    #[test]
    fn a_traceparent_near_the_form_is_judged_as_the_model_does(value in near_traceparent()) {
        check_parent(&value);
    }

    #[test]
    fn arbitrary_bytes_are_a_traceparent_or_none(value in vec(any::<u8>(), 0..70)) {
        check_parent(&value);
    }

    #[test]
    fn a_traceparent_survives_its_encoding(trace in 1..=u128::MAX, span in 1..=u64::MAX, flags in 0..=3_u8) {
        let parent = TraceParent {
            trace_id: TraceId::new(trace).unwrap(),
            parent_id: SpanId::new(span).unwrap(),
            flags: Flags::from_bits(flags),
        };
        prop_assert_eq!(traceparent::parse(&parent.encode()), Ok(parent));
        let text = format!("00-{}-{}-{flags:02x}", parent.trace_id, parent.parent_id);
        prop_assert_eq!(text.as_bytes(), parent.encode());
    }

    #[test]
    fn any_fields_are_read_without_a_panic(
        fields in vec((0..3_usize, vec(any::<u8>(), 0..60)), 0..6),
        (trusted, baggage) in any::<(bool, bool)>(),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(["traceparent", "tracestate", "baggage"][name], value);
            }
        }
        let incoming = Incoming::read(&headers, trusted, baggage);
        prop_assert!(trusted || incoming.mark().mark().is_none());
        prop_assert!(incoming.parent.is_some() || incoming.state.is_empty());
        prop_assert!(incoming.parent.is_none() || incoming.link.is_none());
    }

    #[test]
    fn a_mark_is_what_its_characters_and_lengths_say(group in mark_like(), version in mark_like()) {
        let expected = match (is_mark_value(&group), is_mark_value(&version)) {
            (true, true) => Ok((group.as_str(), version.as_str())),
            (false, _) => Err(NotAMark::Group),
            (true, false) => Err(NotAMark::Version),
        };
        let mark = Mark::new(&group, &version);
        prop_assert_eq!(mark.map(|mark| (mark.group(), mark.version())), expected);
    }

    #[test]
    fn a_lower_probability_keeps_some_of_what_a_higher_one_keeps(a in share(), b in share(), trace in 1..=u128::MAX) {
        let (lower, higher) = (a.min(b), a.max(b));
        let randomness = Randomness::of(TraceId::from_random(trace), None);
        let keeps = |share| Threshold::from_probability(share).is_some_and(|threshold| threshold.keeps(randomness));
        prop_assert!(keeps(higher) || !keeps(lower));
        prop_assert!(Threshold::from_probability(higher).is_some() || Threshold::from_probability(lower).is_none());
    }

    #[test]
    fn a_threshold_is_the_probability_it_was_made_of(share in share()) {
        let Some(threshold) = Threshold::from_probability(share) else {
            // Less than half of the smallest share there is.
            prop_assert!(share * (1_u64 << 57) as f64 <= 1.0);
            return Ok(());
        };
        // Four significant digits of what is kept or rejected, whichever is smaller.
        let smaller = share.min(1.0 - share);
        let error = (threshold.probability() - share).abs();
        prop_assert!(error <= smaller / 2.0 / 4_096.0 * 1.000_001 + 1.0 / (1_u64 << 56) as f64, "{error} of {share}");
        let again = Threshold::from_probability(threshold.probability());
        prop_assert_eq!(again, Some(threshold));
    }

    #[test]
    fn a_threshold_survives_the_wire(digits in "[0-9a-f]{1,14}", before in lines()) {
        let threshold = Threshold::parse(digits.as_bytes()).unwrap();
        prop_assert_eq!(Threshold::parse(trimmed(&digits).as_bytes()), Some(threshold));
        let lines: Vec<&[u8]> = before.iter().map(Vec::as_slice).collect();
        check_edit(&lines, &Change { mark: Wanted::Keep, ot: WantedOt::Threshold(trimmed(&digits)) });
    }

    #[test]
    fn th_goes_on_beside_a_set_flag_only_and_only_if_it_is_true(input in sampling()) {
        let sent = outgoing(&input);
        let threshold = match (sent.ot, input.parent.map(|parent| parent.threshold)) {
            (OtEdit::Threshold(threshold), _) => Some(threshold),
            (OtEdit::Keep, Some(ThresholdField::Present(threshold))) => Some(threshold),
            (OtEdit::Keep, Some(ThresholdField::Malformed)) => panic!("a malformed threshold went on"),
            (OtEdit::Keep, Some(ThresholdField::Absent) | None) | (OtEdit::EraseThreshold, _) => None,
        };
        if let Some(threshold) = threshold {
            prop_assert!(sent.flags.sampled() && threshold.keeps(input.randomness));
        }
        if input.raised && input.canary_threshold == Some(Threshold::ALWAYS) {
            prop_assert_eq!(threshold, Some(Threshold::ALWAYS));
        }
        let theirs = input.parent.map(|parent| parent.flags);
        prop_assert!(sent.flags.sampled() || !theirs.is_some_and(Flags::sampled), "nobody's decision is taken back");
        prop_assert_eq!(sent.flags.random(), theirs.is_none_or(Flags::random) && !input.clear_random_flag);
    }
}

#[test]
fn one_percent_is_the_threshold_that_the_text_gives() {
    let threshold = |digits: &str| Threshold::parse(digits.as_bytes());
    for (share, digits) in [(1.0, "0"), (0.5, "8"), (0.25, "c"), (0.1, "e666"), (0.01, "fd70a"), (1.0 / 3.0, "aaab")] {
        assert_eq!(Threshold::from_probability(share), threshold(digits), "{share}");
    }
    for share in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY, f64::MIN_POSITIVE] {
        assert_eq!(Threshold::from_probability(share), None, "{share}");
    }
    for share in [1.0, 2.0, f64::INFINITY] {
        assert_eq!(Threshold::from_probability(share), Some(Threshold::ALWAYS), "{share}");
    }
}

#[test]
fn every_limit_of_a_field_is_met_by_a_list_that_just_fits() {
    let values = [(32, 15), (4, 127), (2, 255), (1, 256)];
    for (count, value) in values {
        for extra in 0..2 {
            let list = (0..count).map(|at| format!("k{at:02}={}", "x".repeat(value + extra - 2))).collect::<Vec<_>>();
            let line = list.join(",");
            let change =
                Change { mark: Wanted::Set("g".repeat(96), "v".repeat(96)), ot: WantedOt::Threshold("8".into()) };
            check_edit(&[line.as_bytes()], &change);
            check_edit(&[line.as_bytes()], &Change { mark: Wanted::Keep, ot: WantedOt::Keep });
        }
    }
    assert_eq!((tracestate::MAX_LEN, tracestate::MAX_MEMBERS), (512, 32));
}

// What is tried.

fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec((member(), separator()), 0..5), 0..4).prop_map(|lines| lines.iter().map(|line| joined(line)).collect())
}

/// Up to the limits and over them, with legal members only: in characters, or in members.
fn crowded_lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let length = prop_oneof![4 => 1..20_usize, 2 => 100..140_usize, 1 => 200..257_usize];
    let longer = prop_oneof![20 => 1..3_usize, 1 => 100..140_usize];
    prop_oneof![members_of(length.boxed(), 0..17), members_of(longer.boxed(), 9..12)]
}

fn members_of(length: BoxedStrategy<usize>, in_line: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let member = prop_oneof![
        10 => ("[a-z][a-z0-9]{2,4}", length).prop_map(|(key, len)| format!("{key}={}", "x".repeat(len))),
        1 => known_member(),
    ];
    vec(vec((member, Just(",".to_owned())), in_line), 0..4)
        .prop_map(|lines| lines.iter().map(|line| joined(line)).collect())
}

fn joined(line: &[(String, String)]) -> Vec<u8> {
    let text: String = line.iter().flat_map(|(member, separator)| [member.as_str(), separator]).collect();
    // Mostly as a sender writes it.
    text.strip_suffix(',').unwrap_or(&text).bytes().collect()
}

fn separator() -> impl Strategy<Value = String> {
    prop_oneof![20 => Just(",".to_owned()), 1 => "[ \t]{0,2},[ \t]{0,2},?", 1 => Just(String::new())]
}

fn member() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => known_member(),
        6 => ("[a-z0-9][a-z0-9_*/@-]{0,3}", "[ -+--<>-~]{0,5}[!-+--<>-~]").prop_map(|(key, value)| format!("{key}={value}")),
        1 => (250..260_usize, 250..260_usize).prop_map(|(key, value)| format!("{}={}", "k".repeat(key), "v".repeat(value))),
        // Legal or not, as it happens.
        1 => "[a-zA-Z.@_]{0,2}=?[ -~\t]{0,4}",
        1 => Just(String::new()),
    ]
}

fn known_member() -> impl Strategy<Value = String> {
    let key = prop_oneof![Just("patch-group"), Just("patch-version"), Just("patch.group"), Just("patch.version")];
    prop_oneof![
        (key, mark_value()).prop_map(|(key, value)| format!("{key}={value}")),
        vec(sub_pair(), 1..5).prop_map(|pairs| format!("ot={}", pairs.join(";"))),
    ]
}

fn mark_value() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[ab]", 4 => "[A-Za-z0-9._+~/-]{1,96}", 1 => "[a-z]{95,98}", 1 => "[!-+]{1,3}"]
}

fn mark_like() -> impl Strategy<Value = String> {
    prop_oneof![4 => mark_value(), 1 => ".{0,3}", 1 => "[a-z]{90,100}"]
}

fn sub_pair() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "th:[0-9a-f]{1,14}",
        3 => "rv:[0-9a-f]{14}",
        1 => "(th|rv):[0-9a-fA-F]{0,16}",
        1 => "[a-z0-9]{1,3}:?[A-Za-z0-9._:-]{0,8}",
        1 => "[a-z]:[x]{100,200}",
        1 => "[a-z]:[x]{246,252}",
        1 => Just(String::new()),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let set = ("[ab]|[A-Za-z0-9._+~/-]{1,96}", "[ab]|[A-Za-z0-9._+~/-]{1,96}");
    let mark = prop_oneof![
        Just(Wanted::Keep),
        set.prop_map(|(group, version)| Wanted::Set(group, version)),
        Just(Wanted::Strip)
    ];
    let ot = prop_oneof![
        Just(WantedOt::Keep),
        "0|8|[0-9a-f]{1,14}".prop_map(|digits| WantedOt::Threshold(trimmed(&digits))),
        Just(WantedOt::Erase)
    ];
    (mark, ot).prop_map(|(mark, ot)| Change { mark, ot })
}

/// The legal form with at most two bytes replaced, inserted or removed, and something behind it.
fn near_traceparent() -> impl Strategy<Value = Vec<u8>> {
    let form = "(00|01|cc|ff|[0-9a-f]{2})-([0-9a-f]{32}|0{32}|0{31}1)-([0-9a-f]{16}|0{16})-[0-9a-f]{2}";
    let behind = prop_oneof![4 => Just(String::new()), 1 => "-[ -~]{0,3}", 1 => "[ -~\t]{0,3}"];
    let accident = (0..3_u8, any::<prop::sample::Index>(), prop_oneof!["[0-9a-fA-Fg\\-. \t]", "[ -~]"]);
    (form, behind, vec(accident, 0..3)).prop_map(|(form, behind, accidents)| {
        let mut value = (form + &behind).into_bytes();
        for (how, at, byte) in accidents {
            let (at, byte) = (at.index(value.len()), byte.as_bytes()[0]);
            match how {
                0 => value[at] = byte,
                1 => value.insert(at, byte),
                _ => drop(value.remove(at)),
            }
        }
        value
    })
}

fn share() -> impl Strategy<Value = f64> {
    // Shares in use, near 0 and near 1, down to the smallest there are.
    let small = (0.0..60.0_f64).prop_map(|exponent| (-exponent).exp2());
    prop_oneof![0.0..=1.0_f64, small.clone(), small.prop_map(|share| 1.0 - share)]
}

fn threshold() -> impl Strategy<Value = Threshold> {
    "0|[0-9a-f]{1,14}".prop_map(|digits| Threshold::parse(digits.as_bytes()).expect("1 to 14 digits"))
}

fn sampling() -> impl Strategy<Value = SamplingInput> {
    let field = prop_oneof![
        Just(ThresholdField::Absent),
        threshold().prop_map(ThresholdField::Present),
        Just(ThresholdField::Malformed)
    ];
    let parent = (any::<u8>(), field)
        .prop_map(|(flags, threshold)| ParentSampling { flags: Flags::from_bits(flags), threshold });
    let thresholds = (prop::option::of(threshold()), prop::option::of(threshold()));
    (prop::option::of(parent), 1..=u128::MAX, any::<(bool, bool)>(), thresholds).prop_map(
        |(parent, trace, (raised, clear_random_flag), (canary_threshold, default_threshold))| SamplingInput {
            parent,
            randomness: Randomness::of(TraceId::from_random(trace), None),
            raised,
            canary_threshold,
            default_threshold,
            clear_random_flag,
        },
    )
}
