//! `tracestate` once more, naively: what it may look like, and what an edit makes of it.
//!
//! Written from the text (Trace Context Level 2 §3.3; OpenTelemetry's `tracestate-handling.md`) with strings and vectors,
//! sharing nothing with the codec. [`check_edit`] compares the two; the property tests and a fuzz target call it.

use bytes::BytesMut;
use patchgate_proxy::trust::{Edit, Mark, MarkEdit, MarkField, OtEdit, SignatureEdit, Threshold, TraceState};

const MARK_KEYS: [&str; 2] = ["patch-group", "patch-version"];
const DOTTED_KEYS: [&str; 2] = ["patch.group", "patch.version"];

/// A change to a list, in plain words.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) mark: Wanted,
    pub(crate) ot: WantedOt,
}

/// What is to become of the mark.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Keep,
    Set(String, String),
    Strip,
}

/// What is to become of the threshold.
#[derive(Clone, Debug)]
pub(crate) enum WantedOt {
    Keep,
    /// Its digits, without trailing zeros.
    Threshold(String),
    Erase,
}

impl Change {
    fn edit(&self) -> Edit<'_> {
        Edit {
            mark: match &self.mark {
                Wanted::Keep => MarkEdit::Keep,
                Wanted::Set(group, version) => MarkEdit::Set(Mark::new(group, version).expect("a legal mark")),
                Wanted::Strip => MarkEdit::Strip,
            },
            signature: SignatureEdit::Keep,
            ot: match &self.ot {
                WantedOt::Keep => OtEdit::Keep,
                WantedOt::Threshold(digits) => {
                    OtEdit::Threshold(Threshold::parse(digits.as_bytes()).expect("a legal threshold"))
                }
                WantedOt::Erase => OtEdit::EraseThreshold,
            },
        }
    }
}

type Pair = (String, String);

/// Compares reading, editing and writing of one list with the model, and asserts what has to hold of any list.
pub(crate) fn check_edit(lines: &[&[u8]], change: &Change) {
    let read = TraceState::parse(lines.iter().copied());
    let model = members(lines);
    assert_eq!(read.is_ok(), model.is_some(), "{read:?}");
    let (Ok(state), Some(model)) = (read, model) else { return };
    let as_text = |(key, value): (&[u8], &[u8])| (text(key), text(value));
    assert_eq!(state.iter().map(as_text).collect::<Vec<_>>(), model);
    assert_eq!(mark_of(state.mark()), model_mark(&model));

    let edit = change.edit();
    let written = write(&state, &edit);
    assert_eq!(written.as_deref().map(text), model_write(&model, change));
    let as_it_came = match lines {
        [] => Some(None),
        [line] => Some(Some(line.to_vec())),
        _ => None,
    };
    assert_eq!(state.unchanged(&edit), as_it_came.as_ref() == Some(&written), "unchanged is: written as it came");
    assert_sound(&model, change, written.as_deref());
}

/// What has to hold of a written list, whatever the model says.
fn assert_sound(before: &[Pair], change: &Change, written: Option<&[u8]>) {
    let line = written.unwrap_or_default();
    let after: Vec<Pair> = written.map_or(vec![], legal_list);
    assert!(line.len() <= 512 && after.len() <= 32);
    // The mark and `ot` are there, whatever else had to go.
    let lines: Vec<&[u8]> = written.into_iter().collect();
    let state = TraceState::parse(lines).expect("what is written can be read");
    match (&change.mark, &model_mark(before)) {
        (Wanted::Set(group, version), _) | (Wanted::Keep, Some(Some((group, version)))) => {
            assert_eq!(mark_of(state.mark()), Some(Some((group.clone(), version.clone()))));
        }
        (Wanted::Keep, _) => {}
        (Wanted::Strip, _) => assert_eq!(state.mark(), MarkField::Absent),
    }
    let ot = |list: &[Pair]| list.iter().find(|(key, _)| key == "ot").map(|(_, value)| value.clone());
    let rv = |value: &Option<String>| value.as_ref().and_then(|value| sub_key(value, "rv"));
    match &change.ot {
        WantedOt::Keep => assert_eq!(ot(&after), ot(before)),
        WantedOt::Threshold(digits) => {
            let th = ot(&after).and_then(|value| sub_key(&value, "th"));
            assert_eq!(th.map(|th| trimmed(&th)), Some(digits.clone()));
        }
        WantedOt::Erase => assert_eq!(ot(&after).and_then(|value| sub_key(&value, "th")), None),
    }
    if state.randomness().is_some() || rv(&ot(before)).is_some_and(|rv| rv.len() == 14 && is_hex(&rv)) {
        assert_eq!(rv(&ot(&after)), rv(&ot(before)), "the trace's randomness is nobody's to change");
    }
    // The others keep their order, and nothing is added to them.
    let mut others = before.iter().filter(|(key, _)| is_foreign(key));
    assert!(after.iter().filter(|(key, _)| is_foreign(key)).all(|member| others.any(|other| other == member)));
    // A second gateway that wants the same changes nothing.
    assert!(state.unchanged(&change.edit()), "idempotent");
    assert_eq!(write(&state, &change.edit()).as_deref(), written);
}

fn write(state: &TraceState<'_>, edit: &Edit<'_>) -> Option<Vec<u8>> {
    // What stands in the buffer before is not ours.
    let mut out = BytesMut::from(&b"before"[..]);
    let is_there = state.write(edit, &mut out);
    let written = out.strip_prefix(b"before").expect("write appends").to_vec();
    assert_eq!(is_there, !written.is_empty());
    is_there.then_some(written)
}

// The model of `tracestate`.

/// The members of all lines, keys as they came; `None` if the list has to be discarded.
fn members(lines: &[&[u8]]) -> Option<Vec<Pair>> {
    let joined = text(&lines.join(&b','));
    let present: Vec<&str> =
        joined.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()).collect();
    if present.len() > 32 {
        return None;
    }
    let mut list: Vec<Pair> = vec![];
    for member in present {
        let (key, value) = member.split_once('=')?;
        if !(is_key(key) || DOTTED_KEYS.contains(&key)) || !is_value(value) {
            return None;
        }
        if !list.iter().any(|(other, _)| undotted(other) == undotted(key)) {
            list.push((key.to_owned(), value.to_owned()));
        }
    }
    Some(list)
}

/// The members of a list that may be sent; panics for any other.
fn legal_list(line: &[u8]) -> Vec<Pair> {
    let line = text(line);
    let list: Vec<Pair> = line
        .split(',')
        .map(|member| {
            let (key, value) = member.split_once('=').expect("a member has an equals sign");
            assert!(is_key(key) && is_value(value), "{member}");
            (key.to_owned(), value.to_owned())
        })
        .collect();
    for (at, (key, _)) in list.iter().enumerate() {
        assert!(list[..at].iter().all(|(other, _)| other != key), "{key} is there twice");
    }
    list
}

fn model_write(before: &[Pair], change: &Change) -> Option<String> {
    let present = model_mark(before);
    let dotted = before.iter().any(|(key, _)| DOTTED_KEYS.contains(&key.as_str()));
    let whole = present.clone().flatten();
    let front_mark = match &change.mark {
        Wanted::Set(group, version) => {
            Some((group.clone(), version.clone())).filter(|new| dotted || Some(new) != whole.as_ref())
        }
        Wanted::Keep => whole.clone().filter(|_| dotted),
        Wanted::Strip => None,
    };
    let mark_stays = front_mark.is_none() && !dotted && !matches!(change.mark, Wanted::Strip);
    let old_ot = before.iter().find(|(key, _)| key == "ot").map_or("", |(_, value)| value);
    let th = sub_key(old_ot, "th");
    let ot_stays = match &change.ot {
        WantedOt::Keep => true,
        WantedOt::Threshold(digits) => {
            th.as_ref().is_some_and(|th| (1..=14).contains(&th.len()) && is_hex(th) && trimmed(th) == *digits)
        }
        WantedOt::Erase => th.is_none(),
    };
    let mut front: Vec<String> = vec![];
    if let Some((group, version)) = front_mark {
        front.extend([format!("patch-group={group}"), format!("patch-version={version}")]);
    }
    if !ot_stays {
        let value = edited_ot(old_ot, &change.ot);
        front.extend(Some(format!("ot={value}")).filter(|_| !value.is_empty()));
    }
    let rest = before.iter().filter(|(key, _)| match key.as_str() {
        "ot" => ot_stays,
        key => is_foreign(key) || mark_stays,
    });
    let is_spare = |key: &str| is_foreign(key) || (MARK_KEYS.contains(&key) && whole.is_none());
    let rest = rest.map(|(key, value)| (is_spare(key), format!("{key}={value}"))).collect();
    Some(fitted(front, rest)).filter(|list| !list.is_empty())
}

/// Drops members one by one until the list is within its limits.
fn fitted(front: Vec<String>, mut rest: Vec<(bool, String)>) -> String {
    loop {
        let all: Vec<&str> =
            front.iter().map(String::as_str).chain(rest.iter().map(|(_, member)| member.as_str())).collect();
        let (list, count) = (all.join(","), all.len());
        if list.len() <= 512 && count <= 32 {
            return list;
        }
        let long = rest.iter().rposition(|(spare, member)| *spare && member.len() > 128).filter(|_| list.len() > 512);
        let dropped = long.or_else(|| rest.iter().rposition(|(spare, _)| *spare));
        rest.remove(dropped.expect("ours alone are within the limits"));
    }
}

/// The threshold first, then the first `rv`, then what else is legal and has room.
fn edited_ot(old: &str, edit: &WantedOt) -> String {
    let pairs = || old.split(';').filter(|pair| is_sub_pair(pair));
    let is = |key: &'static str| move |pair: &&str| pair.starts_with(key);
    let first_rv = old.split(';').find(is("rv:")).filter(|pair| is_sub_pair(pair));
    let others = pairs().filter(|pair| !is("rv:")(pair) && !is("th:")(pair));
    let mut value = match edit {
        WantedOt::Threshold(digits) => format!("th:{digits}"),
        WantedOt::Keep | WantedOt::Erase => String::new(),
    };
    for pair in first_rv.into_iter().chain(others) {
        let longer = if value.is_empty() { pair.to_owned() } else { format!("{value};{pair}") };
        if longer.len() <= 256 {
            value = longer;
        }
    }
    value
}

/// `None`: no part of a mark; `Some(None)`: no mark by what is there.
fn model_mark(list: &[Pair]) -> Option<Option<Pair>> {
    let value = |wanted: &str| list.iter().find(|(key, _)| undotted(key) == wanted).map(|(_, value)| value.clone());
    match (value(MARK_KEYS[0]), value(MARK_KEYS[1])) {
        (None, None) => None,
        (Some(group), Some(version)) if is_mark_value(&group) && is_mark_value(&version) => {
            Some(Some((group, version)))
        }
        _ => Some(None),
    }
}

fn mark_of(field: MarkField<'_>) -> Option<Option<Pair>> {
    match field {
        MarkField::Absent => None,
        MarkField::Malformed => Some(None),
        MarkField::Mark(mark) => Some(Some((mark.group().to_owned(), mark.version().to_owned()))),
    }
}

fn undotted(key: &str) -> &str {
    DOTTED_KEYS.iter().position(|dotted| *dotted == key).map_or(key, |at| MARK_KEYS[at])
}

fn is_foreign(key: &str) -> bool {
    key != "ot" && !MARK_KEYS.contains(&undotted(key))
}

fn is_key(key: &str) -> bool {
    let begins = |first: char| first.is_ascii_lowercase() || first.is_ascii_digit();
    (1..=256).contains(&key.len())
        && key.starts_with(begins)
        && key.chars().all(|at| begins(at) || "_-*/@".contains(at))
}

fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && !value.ends_with(' ')
        && value.chars().all(|at| (' '..='~').contains(&at) && at != ',' && at != '=')
}

pub(crate) fn is_mark_value(value: &str) -> bool {
    (1..=96).contains(&value.len()) && value.chars().all(|at| at.is_ascii_alphanumeric() || "._+~/-".contains(at))
}

fn is_sub_pair(pair: &str) -> bool {
    pair.split_once(':').is_some_and(|(key, value)| {
        key.starts_with(|first: char| first.is_ascii_lowercase())
            && key.chars().all(|at| at.is_ascii_lowercase() || at.is_ascii_digit())
            && value.chars().all(|at| at.is_ascii_alphanumeric() || "._-".contains(at))
    })
}

fn sub_key(value: &str, key: &str) -> Option<String> {
    value
        .split(';')
        .filter_map(|pair| pair.split_once(':'))
        .find(|(found, _)| *found == key)
        .map(|(_, it)| it.to_owned())
}

/// Digits of a threshold without the zeros that add nothing.
pub(crate) fn trimmed(digits: &str) -> String {
    Some(digits.trim_end_matches('0')).filter(|rest| !rest.is_empty()).unwrap_or("0").to_owned()
}

pub(crate) fn is_hex(text: &str) -> bool {
    text.chars().all(|at| "0123456789abcdef".contains(at))
}

/// Each byte as the character of that number, so that lengths in characters are lengths in bytes of the wire.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}
